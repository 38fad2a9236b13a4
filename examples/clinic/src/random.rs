//! Randomness from the operating system.

use ring::rand::{SecureRandom, SystemRandom};
use uuid::Uuid;

use crate::failure::Failure;

/// `N` fresh random bytes.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Failure::While { doing: "drawing random bytes", source: "the system gave none".into() })?;
    Ok(bytes)
}

/// A record id that says nothing about the record: a random UUID (RFC 9562, version 4).
pub(crate) fn record_id() -> Result<Uuid, Failure> {
    Ok(uuid::Builder::from_random_bytes(bytes()?).into_uuid())
}
