//! Other systems that seal fields: one file each.

mod age;
pub(super) mod asherah;
#[cfg(feature = "esdk")]
mod esdk;
mod orion;
pub(super) mod tink;
mod xaes;

use crate::Result;
use crate::measure::Contender;

/// A system that turns a value into bytes that can be stored, and back. What a process does once (keys, handles, caches)
/// is done before.
pub(super) trait Peer {
    const NAME: &'static str;
    /// The crate whose version counts.
    const PACKAGE: &'static str;
    /// What it binds, whether it commits to its key, whether it streams, and where keys and nonces come from.
    const NOTES: &'static str;

    /// What is stored.
    type Stored: AsRef<[u8]>;

    fn seal(&self, plaintext: &[u8]) -> Self::Stored;

    fn open(&self, stored: &Self::Stored) -> Vec<u8>;

    /// What of it depends on nothing but key, nonce and plaintext.
    fn of_cipher(stored: &Self::Stored) -> &[u8] {
        stored.as_ref()
    }
}

/// A peer at the workloads of fields, whatever it stores.
pub(super) trait Fields {
    fn name(&self) -> &'static str;

    fn version(&self) -> String;

    fn notes(&self) -> &'static str;

    fn seal(&self, length: usize) -> Contender<'_>;

    fn open(&self, length: usize) -> Contender<'_>;

    /// Bytes that a stored value of so many bytes has beyond these.
    fn overhead(&self, length: usize) -> f64;

    /// What is the same for the same plaintext under the same key and nonce, and for no others.
    fn cipher_bytes(&self, length: usize) -> Vec<u8>;
}

impl<P: Peer> Fields for P {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn version(&self) -> String {
        crate::version(P::PACKAGE)
    }

    fn notes(&self) -> &'static str {
        P::NOTES
    }

    fn seal(&self, length: usize) -> Contender<'_> {
        let plaintext = vec![7; length];
        Contender::new(P::NAME, self.version(), P::NOTES, move || Peer::seal(self, std::hint::black_box(&plaintext)))
    }

    fn open(&self, length: usize) -> Contender<'_> {
        let stored = Peer::seal(self, &vec![7; length]);
        assert_eq!(Peer::open(self, &stored), vec![7; length], "{} opens what it sealed", P::NAME);
        Contender::new(P::NAME, self.version(), P::NOTES, move || Peer::open(self, std::hint::black_box(&stored)))
    }

    fn overhead(&self, length: usize) -> f64 {
        Peer::seal(self, &vec![7; length]).as_ref().len() as f64 - length as f64
    }

    fn cipher_bytes(&self, length: usize) -> Vec<u8> {
        P::of_cipher(&Peer::seal(self, &vec![7; length])).to_vec()
    }
}

/// All of them that this program was built with.
pub(super) fn all() -> Result<Vec<Box<dyn Fields>>> {
    Ok(vec![
        Box::new(asherah::Asherah::new()?),
        Box::new(tink::Tink::new()?),
        Box::new(xaes::Xaes::new()?),
        Box::new(orion::Orion::new()?),
        Box::new(age::Age::new()),
        #[cfg(feature = "esdk")]
        Box::new(esdk::Esdk::<esdk::Committing>::new()?),
        #[cfg(feature = "esdk")]
        Box::new(esdk::Esdk::<esdk::Signing>::new()?),
    ])
}
