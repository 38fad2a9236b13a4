//! One message on its way: fixed, then given a nonce, then sealed.
//!
//! Its steps are functions of their own, which leave what they find in their caller's memory: there the nonce is drawn, and a
//! result of many words would be written field by field and read in one piece, which the processor waits for.

use core::ops::Deref;
use std::sync::Arc;

use phi_keys::f1::{HEADER_LEN, Nonce};

use super::SealError;
use super::epoch::Epoch;
use super::nonces::{Run, Start};
use super::scoped::Inner;
use crate::Context;
use crate::aad::AadBuf;

pub(super) struct Message<'s> {
    sealer: &'s Inner,
    aad: AadBuf,
    /// Once it is fixed, and until it is sealed: no start serves twice.
    fixed: Option<(Current<'s>, Start)>,
}

impl<'s> Message<'s> {
    #[inline]
    pub(super) const fn new(sealer: &'s Inner) -> Self {
        Self { sealer, aad: AadBuf::new(), fixed: None }
    }

    /// Fixes what is bound to a plaintext of so many bytes with its padding, and takes room for it.
    pub(super) fn fix(&mut self, context: &Context<'_>, bytes: usize) -> Result<(), SealError> {
        // What was drawn before does not serve what is fixed now.
        self.fixed = None;
        self.sealer.aad.write(context, &mut self.aad)?;
        let epoch = self.sealer.reserve(1, bytes)?;
        let start = Start::of(&epoch);
        self.fixed = Some((epoch, start));
        Ok(())
    }

    /// Draws what the nonce is made of. The system call is made in the function that seals: returning from one takes long
    /// afterwards, because the processor has forgotten where to.
    #[inline(always)]
    pub(super) fn draw(&mut self) -> Result<(), SealError> {
        match &mut self.fixed {
            Some((_, start)) => start.draw(&self.sealer.shared.randomness),
            None => Ok(()),
        }
    }

    /// Seals the plaintext that is framed in `value`.
    pub(super) fn seal_framed(&mut self, plaintext: &[u8], padding: usize, value: &mut [u8]) -> Result<(), SealError> {
        // Not `debug_assert_eq`, whose message would show both.
        let framed = value.get(HEADER_LEN..HEADER_LEN + plaintext.len());
        debug_assert!(framed == Some(plaintext), "another plaintext is framed");
        let (epoch, nonce) = self.nonce(plaintext, padding)?;
        epoch.key.seal_framed(nonce, self.aad.written(), padding, value).map_err(SealError::from)
    }

    pub(super) fn seal_into(&mut self, plaintext: &[u8], padding: usize, out: &mut Vec<u8>) -> Result<(), SealError> {
        let (epoch, nonce) = self.nonce(plaintext, padding)?;
        epoch.key.seal_padded_into(nonce, self.aad.written(), plaintext, padding, out).map_err(SealError::from)
    }

    pub(super) fn seal_in_place(&mut self, padding: usize, buffer: &mut Vec<u8>) -> Result<(), SealError> {
        let (epoch, nonce) = self.nonce(buffer, padding)?;
        epoch.key.seal_in_place(nonce, self.aad.written(), padding, buffer).map_err(SealError::from)
    }

    #[inline]
    fn nonce(&mut self, plaintext: &[u8], padding: usize) -> Result<(Current<'s>, Nonce), SealError> {
        // Never without: each caller has fixed the message and drawn.
        let (epoch, start) = self.fixed.take().ok_or(SealError::NoRandomness)?;
        let mut run = Run::from(start, &epoch, &self.sealer.shared.randomness)?;
        let nonce = run.draw(self.aad.written(), plaintext, padding);
        Ok((epoch, nonce))
    }
}

/// The epoch to seal in.
pub(super) enum Current<'s> {
    Known(&'s Epoch),
    Found(Arc<Epoch>),
}

impl Deref for Current<'_> {
    type Target = Epoch;

    fn deref(&self) -> &Epoch {
        match self {
            Self::Known(epoch) => epoch,
            Self::Found(epoch) => epoch,
        }
    }
}
