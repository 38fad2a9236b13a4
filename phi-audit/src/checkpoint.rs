//! Signed statements of what the log holds, in the format C2SP tlog-checkpoint.
//!
//! ```
//! use phi_audit::{Checkpoint, InvalidNote, VerifierKey};
//!
//! let key: VerifierKey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k".parse()?;
//! assert_eq!(Checkpoint::open("unsigned\n", &key), Err(InvalidNote::Malformed));
//! # Ok::<(), InvalidNote>(())
//! ```

use core::fmt;

use base64ct::{Base64, Encoding};

use crate::{Hash, InvalidNote, VerifierKey};

/// A tree size and root hash that the log has signed. It exists only with a verified signature.
///
/// Two are equal when they say the same of the same log: its origin, size and root. Their notes may differ, since signatures
/// of the same text may.
#[derive(Clone)]
pub struct Checkpoint {
    size: u64,
    root: Hash,
    note: String,
}

impl Checkpoint {
    /// Reads a signed note and checks origin and signature against the pinned key.
    ///
    /// Extension lines and signatures of other keys are accepted and ignored, as the specification asks.
    ///
    /// # Errors
    /// [`InvalidNote`] says whether the form, the signature or the origin is wrong.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, InvalidNote> {
        let text = key.open(note)?;
        let mut lines = text.strip_suffix('\n').ok_or(InvalidNote::Malformed)?.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(InvalidNote::Malformed);
        };
        if origin != key.name() {
            return Err(InvalidNote::Origin);
        }
        let canonical = |size: &u64| size.to_string();
        let parsed: u64 = size.parse().map_err(|_| InvalidNote::Malformed)?;
        let mut bytes = [0; 32];
        let root = Base64::decode(root, &mut bytes).map_err(|_| InvalidNote::Malformed)?;
        if canonical(&parsed) != size || root.len() != 32 || lines.any(str::is_empty) {
            return Err(InvalidNote::Malformed);
        }
        Ok(Self { size: parsed, root: Hash::from_bytes(bytes), note: note.to_owned() })
    }

    /// The text that is signed: origin, size and root, one line each.
    pub(crate) fn text(origin: &str, size: u64, root: &Hash) -> String {
        format!("{origin}\n{size}\n{}\n", Base64::encode_string(root.as_bytes()))
    }

    /// The number of entries.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root over them.
    #[must_use]
    pub const fn root(&self) -> &Hash {
        &self.root
    }

    /// The signed note, to be kept elsewhere: who holds it can tell a restored old log from the true one.
    #[must_use]
    pub fn note(&self) -> &str {
        &self.note
    }
}

impl PartialEq for Checkpoint {
    fn eq(&self, other: &Self) -> bool {
        fn origin(checkpoint: &Checkpoint) -> Option<&str> {
            checkpoint.note.lines().next()
        }
        self.size == other.size && self.root == other.root && origin(self) == origin(other)
    }
}

impl Eq for Checkpoint {}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checkpoint({} entries, root {})", self.size, self.root)
    }
}

#[cfg(test)]
mod tests {
    use phi_keys::PublicKey;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

    use super::*;

    enum Pair {
        Ed25519(Ed25519KeyPair),
        EcdsaP256(EcdsaKeyPair),
    }

    impl Pair {
        fn public_key(&self) -> PublicKey {
            match self {
                Self::Ed25519(pair) => PublicKey::Ed25519(pair.public_key().as_ref().try_into().unwrap()),
                Self::EcdsaP256(pair) => PublicKey::EcdsaP256(pair.public_key().as_ref().try_into().unwrap()),
            }
        }

        fn sign(&self, text: &str) -> [u8; 64] {
            let text = text.as_bytes();
            let signature = match self {
                Self::Ed25519(pair) => pair.sign(text).as_ref().to_vec(),
                Self::EcdsaP256(pair) => pair.sign(&SystemRandom::new(), text).unwrap().as_ref().to_vec(),
            };
            signature.try_into().unwrap()
        }
    }

    fn ed25519(seed: u8) -> Pair {
        Pair::Ed25519(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }

    fn ecdsa() -> Pair {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Pair::EcdsaP256(EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap())
    }

    fn key(pair: &Pair) -> VerifierKey {
        VerifierKey::new("clinic.example/audit", pair.public_key()).unwrap()
    }

    fn sign(pair: &Pair, text: &str) -> String {
        key(pair).note(text, &pair.sign(text))
    }

    #[test]
    fn the_note_of_another_implementation_is_accepted() {
        // The example in the documentation of Go's golang.org/x/mod/sumdb/note.
        let key: VerifierKey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
        let note = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n\n\
                    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        assert!(key.open(note).unwrap().ends_with("problem is.\n"));
        assert_eq!(key.to_string(), "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
    }

    #[test]
    fn every_flipped_bit_of_a_checkpoint_is_noticed() {
        for pair in [ed25519(1), ecdsa()] {
            let key = key(&pair);
            let note = sign(&pair, &Checkpoint::text("clinic.example/audit", 9, &Hash::leaf(b"root")));
            assert_eq!(Checkpoint::open(&note, &key).unwrap().size(), 9);
            for bit in 0..note.len() * 8 {
                let mut changed = note.clone().into_bytes();
                changed[bit / 8] ^= 1 << (bit % 8);
                if let Ok(changed) = String::from_utf8(changed) {
                    assert!(Checkpoint::open(&changed, &key).is_err(), "bit {bit}: {changed}");
                }
            }
            for length in (0..note.len()).filter(|length| note.is_char_boundary(*length)) {
                assert!(Checkpoint::open(&note[..length], &key).is_err());
            }
        }
    }

    #[test]
    fn only_the_pinned_key_and_origin_count() {
        for (pair, other) in
            [(ed25519(1), ed25519(2)), (ecdsa(), ecdsa()), (ed25519(1), ecdsa()), (ecdsa(), ed25519(1))]
        {
            let root = Hash::leaf(b"root");
            let foreign = sign(&other, &Checkpoint::text("clinic.example/audit", 9, &root));
            assert_eq!(Checkpoint::open(&foreign, &key(&pair)), Err(InvalidNote::Signature));
            let moved = sign(&pair, &Checkpoint::text("other.example/audit", 9, &root));
            assert_eq!(Checkpoint::open(&moved, &key(&pair)), Err(InvalidNote::Origin));
            // A second signature by somebody unknown is ignored, a wrong one in the pinned name is not.
            let note = sign(&pair, &Checkpoint::text("clinic.example/audit", 9, &root));
            let witness = format!("{note}— witness.example AAAAAAAA\n");
            assert!(Checkpoint::open(&witness, &key(&pair)).is_ok());
            let (_, line) = note.split_once("\n\n").unwrap();
            let wrong = sign(&pair, &Checkpoint::text("clinic.example/audit", 8, &root));
            assert_eq!(Checkpoint::open(&format!("{wrong}{line}"), &key(&pair)), Err(InvalidNote::Signature));
        }
    }

    #[test]
    fn sizes_and_roots_have_one_spelling() {
        let pair = ed25519(1);
        let root = Base64::encode_string(Hash::leaf(b"root").as_bytes());
        for text in [
            format!("clinic.example/audit\n09\n{root}\n"),
            format!("clinic.example/audit\n+9\n{root}\n"),
            format!("clinic.example/audit\n9\n{}\n", &root[..40]),
            format!("clinic.example/audit\n18446744073709551616\n{root}\n"),
            "clinic.example/audit\n9\n".to_owned(),
            format!("clinic.example/audit\n9\n{root}\n\n"),
        ] {
            assert_eq!(Checkpoint::open(&sign(&pair, &text), &key(&pair)), Err(InvalidNote::Malformed), "{text}");
        }
        let extended = format!("clinic.example/audit\n0\n{root}\nextension\n");
        assert!(Checkpoint::open(&sign(&pair, &extended), &key(&pair)).is_ok());
    }

    #[test]
    fn a_verifier_key_has_one_spelling() {
        for pair in [ed25519(1), ecdsa()] {
            let text = key(&pair).to_string();
            let parsed: VerifierKey = text.parse().unwrap();
            assert_eq!((&parsed.to_string(), parsed), (&text, key(&pair)));
            for bad in [
                "",
                "name",
                "name+00000000",
                &text.to_uppercase(),
                &text.replacen('+', "+0", 1),
                &format!("{text}="),
                &text[..text.len() - 1],
            ] {
                assert_eq!(bad.parse::<VerifierKey>(), Err(InvalidNote::Key), "{bad}");
            }
            for name in ["", "a b", "a+b", "a\nb", "a\u{a0}b", &"x".repeat(256)] {
                assert_eq!(VerifierKey::new(name, pair.public_key()), Err(InvalidNote::Key));
            }
            assert!(VerifierKey::new("x".repeat(255), pair.public_key()).is_ok());
        }
    }
}
