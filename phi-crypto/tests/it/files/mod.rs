//! Sealed files (format F2).

#[cfg(feature = "tokio")]
mod asynchronous;
#[cfg(unix)]
mod forks;
#[cfg(all(unix, feature = "serde", feature = "sqlite"))]
mod golden;
mod leases;
mod memory;
mod parallel;
mod random_access;
mod refusals;
mod round_trips;

use std::io::{Cursor, Read as _, Write as _};

use phi_crypto::file::{FileError, FileOpener};
use phi_crypto::{Context, ScopedOpener, ScopedSealer};

use crate::support::Clinic;

pub(super) const CHUNK: usize = 16_384;

/// Bytes of which no two chunks are equal.
pub(super) fn plaintext(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at * 31 + at / 7919) % 251).unwrap()).collect()
}

pub(super) fn place() -> Context<'static> {
    Context::new("Scan", "image").record_id("7431").row_version(2).pair("ward", "7")
}

pub(super) fn seal(sealer: &ScopedSealer, plaintext: &[u8]) -> Vec<u8> {
    let mut file = sealer.file(Vec::new(), &place()).unwrap();
    file.write_all(plaintext).unwrap();
    file.finish().unwrap()
}

/// Everything that comes out before an error, and the error.
pub(super) fn read(file: &mut FileOpener<impl std::io::Read>) -> (Vec<u8>, Option<FileError>) {
    let mut out = Vec::new();
    let error = file.read_to_end(&mut out).err().map(FileError::from);
    (out, error)
}

pub(super) fn open(opener: &ScopedOpener, sealed: &[u8]) -> Result<Vec<u8>, FileError> {
    let mut file = opener.file(sealed, &place())?;
    match read(&mut file) {
        (opened, None) => Ok(opened),
        (_, Some(error)) => Err(error),
    }
}

pub(super) fn seekable<'a>(opener: &ScopedOpener, sealed: &'a [u8]) -> Result<FileOpener<Cursor<&'a [u8]>>, FileError> {
    opener.file(Cursor::new(sealed), &place())
}

/// A clinic with the sealer and opener of one patient.
pub(super) async fn patient() -> (Clinic, ScopedSealer, ScopedOpener) {
    let clinic = Clinic::new().await;
    let (sealer, opener) = (clinic.sealer("ada").await, clinic.opener("ada").await);
    let opener =
        if opener.file(&seal(&sealer, b"")[..], &place()).is_ok() { opener } else { clinic.opener("ada").await };
    (clinic, sealer, opener)
}
