//! AWS-LC-FIPS through aws-lc-rs: the one place that calls it. `cargo xtask fips` asserts that the module's indicator finds
//! each of these approved.

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, Signature};
use aws_lc_rs::{digest, hkdf, hmac, rand};

use super::Hash;
use crate::derive::KEY_LEN;
use crate::f1::{NONCE_LEN, TAG_LEN};
use crate::random::NoRandomness;

/// The version of the module that this backend was written for and that certificates name. The build of aws-lc-fips-sys links a
/// later one as well, where it finds one installed.
const MODULE: u32 = 3;

/// Whether what was built is a FIPS build, and of that module. Both are constants of the build: a module whose own tests fail
/// ends the process before anybody can ask.
pub(super) fn is_ready() -> bool {
    aws_lc_rs::try_fips_mode().is_ok() && aws_lc_rs::fips_version() == Some(MODULE)
}

/// The release of the linked library, as it names itself.
pub(super) fn release() -> &'static str {
    aws_lc_rs::awslc_version()
}

pub(super) fn fill(out: &mut [u8]) -> Result<(), NoRandomness> {
    rand::fill(out).map_err(|_| NoRandomness)
}

pub(super) fn sha256<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.into_iter().for_each(|part| context.update(part));
    let mut out = [0; 32];
    // SHA-256 has 32 bytes.
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// The module's own HKDF-Expand: to its indicator a key derivation of SP 800-108, which the same HMACs, called one by one,
/// would not be.
pub(super) fn expand(hash: Hash, key: &[u8; KEY_LEN], info: &[&[u8]], out: &mut [u8]) {
    let algorithm = match hash {
        Hash::Sha256 => hkdf::HKDF_SHA256,
        Hash::Sha512 => hkdf::HKDF_SHA512,
    };
    let length = Length(out.len());
    let filled = hkdf::Prk::new_less_safe(algorithm, key).expand(info, length).and_then(|okm| okm.fill(out));
    #[expect(
        clippy::expect_used,
        reason = "fails only for more than 255 blocks, which the callers' constant lengths are not, or out of memory, where Rust ends too"
    )]
    filled.expect("an output of less than 255 blocks");
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// AES-256-GCM whose nonces the module draws: with a nonce from outside, encrypting is no approved service.
pub(super) struct AeadKey(RandomizedNonceKey);

impl AeadKey {
    pub(super) fn new(key: &[u8; KEY_LEN]) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "fails only for a wrong key length, and AES-256 takes 32 bytes, or out of memory"
        )]
        Self(RandomizedNonceKey::new(&AES_256_GCM, key).expect("AES-256 takes keys of 32 bytes"))
    }

    /// Overwrites `nonce` with the one that the module drew.
    pub(super) fn encrypt(&self, nonce: &mut [u8; NONCE_LEN], aad: &[u8], body: &mut [u8]) -> Option<[u8; TAG_LEN]> {
        let (drawn, tag) = self.0.seal_in_place_separate_tag(Aad::from(aad), body).ok()?;
        *nonce = *drawn.as_ref();
        // AES-GCM has tags of 16 bytes here.
        tag.as_ref().first_chunk().copied()
    }

    pub(super) fn open<'b>(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        bytes: &'b mut [u8],
        from: usize,
    ) -> Option<&'b mut [u8]> {
        let length = bytes.len().checked_sub(from)?;
        bytes.copy_within(from.., 0);
        let bytes = bytes.get_mut(..length)?;
        self.0.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(aad), bytes).ok()
    }
}

/// In a box, because it is four times the size of *ring*'s.
#[derive(Clone)]
pub(super) struct HmacKey(Box<hmac::Key>);

impl HmacKey {
    /// HMAC-SHA-256.
    pub(super) fn new(key: &[u8]) -> Self {
        Self(Box::new(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    pub(super) fn sign(&self, message: &[u8], tag: &mut [u8; 32]) {
        // A tag of SHA-256 has 32 bytes.
        tag.copy_from_slice(hmac::sign(&self.0, message).as_ref());
    }
}

pub(super) struct Ed25519Key(Ed25519KeyPair);

impl Ed25519Key {
    pub(super) fn from_seed(seed: &[u8; 32]) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "fails only for a wrong seed length, and a seed has 32 bytes, or out of memory"
        )]
        Self(Ed25519KeyPair::from_seed_unchecked(seed).expect("a seed of 32 bytes"))
    }

    pub(super) fn public_key(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Signature, Unspecified> {
        self.0.try_sign(message)
    }
}
