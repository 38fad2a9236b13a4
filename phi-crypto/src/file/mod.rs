//! Files of any length (format F2): sealed and opened in constant memory, and readable from any offset.
//!
//! ```
//! # use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore};
//! use std::io::{Read as _, Write as _};
//! use phi_crypto::{Context, Opener, Sealer};
//! use phi_keys::Scope;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).build().await?;
//! let scope = Scope::group("scans");
//! let place = Context::new("Scan", "image").record_id("7431");
//!
//! let mut file = Sealer::builder(keys.clone()).build().for_scope(&scope).await?.file(Vec::new(), &place)?;
//! file.write_all(b"DICM")?;
//! let stored = file.finish()?;
//!
//! let mut file = Opener::builder(keys).build().for_scope(&scope).await?.file(stored.as_slice(), &place)?;
//! let mut image = Vec::new();
//! file.read_to_end(&mut image)?;
//! assert_eq!(image, b"DICM");
//! # Ok(()) }
//! ```
//!
//! | to | use |
//! |---|---|
//! | seal what is written | [`FileSealer`], from [`ScopedSealer::file`](crate::ScopedSealer::file) |
//! | seal a whole source, on one thread or several | [`FileSealer::seal_from`], [`FileSealer::seal_from_parallel`] |
//! | read and seek | [`FileOpener`], from [`ScopedOpener::file`](crate::ScopedOpener::file) |
//! | open a range of a local file | [`FileOpener::open_range`] |
//! | do the same in asynchronous code | `AsyncFileSealer`, `AsyncFileOpener` (feature `tokio`) |
//! | open a range out of an object store | [`ciphertext_range`] and [`RangeOpener`] |
//!
//! A file is a 24-byte header that names its key, and a stream of C2SP chunked-encryption (Cobblestone-256): chunks of
//! 16 KiB under AES-256-GCM, a commitment to key and context, and a last chunk that is known by being short. It is 96
//! bytes and 0.1 % longer than its plaintext.
//!
//! # What a file does not do
//! - Its chunks are numbered within one file, so a writer that runs twice from one state repeats nonces. A writer can
//!   neither seek nor resume, and stops when the process was forked. A virtual machine that is set back to a snapshot taken
//!   while a file was being written is not noticed: seal files where memory is not restored from snapshots.
//! - It shows its length. It proves origin and place, not freshness: an older file of the same place can be put back unless
//!   the context names a version.

mod cobblestone;
mod error;
mod head;
mod lease;
mod length;
mod open;
mod opening;
mod parallel;
mod range;
mod seal;
mod sealing;
#[cfg(feature = "tokio")]
mod tokio;
#[cfg(test)]
mod vectors;

#[cfg(feature = "tokio")]
pub use self::tokio::{AsyncFileOpener, AsyncFileSealer};
pub use error::FileError;
pub use head::FileHead;
pub(crate) use lease::Grant;
pub use lease::Renewal;
pub use length::{ciphertext_range, sealed_len};
pub use open::FileOpener;
pub use range::RangeOpener;
pub use seal::FileSealer;
