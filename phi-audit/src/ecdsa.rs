//! ECDSA on P-256 as signed notes have it: keys as SubjectPublicKeyInfo, signatures in DER.

use ring::agreement::{self, ECDH_P256, EphemeralPrivateKey};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

/// What stands before an uncompressed point in its SubjectPublicKeyInfo (RFC 5480): id-ecPublicKey, secp256r1, and a bit
/// string of 65 bytes. All of these keys are equally long, so nothing in it varies.
const SPKI: [u8; 26] =
    *b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";

/// A point as SubjectPublicKeyInfo in DER.
pub(crate) fn encode(point: &[u8; 65]) -> Vec<u8> {
    [&SPKI[..], point].concat()
}

/// The point in a SubjectPublicKeyInfo that is spelled as [`encode`] does. It may lie anywhere.
pub(crate) fn decode(encoded: &[u8]) -> Option<[u8; 65]> {
    encoded.strip_prefix(&SPKI)?.try_into().ok()
}

/// Whether this is an uncompressed point of the curve.
///
/// *ring* checks a point only where it computes with it, and a key agreement is what can be computed with a public key alone.
/// Its result is thrown away. Without randomness there is none, and no key is accepted.
pub(crate) fn is_on_p256(point: &[u8; 65]) -> bool {
    let agreed = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()).and_then(|ours| {
        let theirs = agreement::UnparsedPublicKey::new(&ECDH_P256, point);
        agreement::agree_ephemeral(ours, &theirs, |_| ())
    });
    agreed.is_ok()
}

/// Checks an ECDSA-Sig-Value over the SHA-256 of a message. *ring* takes DER alone, no other encoding of the same numbers.
pub(crate) fn verify_der(point: &[u8; 65], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature).is_ok()
}

/// `r ‖ s` as ECDSA-Sig-Value (RFC 3279 section 2.2.3) in DER. By hand, because it is two integers of bounded length, and no
/// crate that writes DER is among the dependencies.
pub(crate) fn signature_der(signature: &[u8; 64]) -> Vec<u8> {
    let (r, s) = signature.split_at(32);
    tagged(0x30, &[integer(r), integer(s)].concat())
}

/// A positive integer: as short as it can be with its first bit zero, because that bit is the sign.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let padded = [&[0], bytes].concat();
    let mut shortest = padded.as_slice();
    // Only before a byte that is no sign: the last byte stays, also that of zero.
    while let Some((0, rest)) = shortest.split_first()
        && rest.first().is_some_and(|next| next & 0x80 == 0)
    {
        shortest = rest;
    }
    tagged(0x02, shortest)
}

/// Of at most 127 bytes, whose length is one byte: an integer has up to 33 and two of them with their headers 70.
fn tagged(tag: u8, value: &[u8]) -> Vec<u8> {
    #[expect(clippy::cast_possible_truncation, reason = "at most 70, see above")]
    let length = value.len() as u8;
    [&[tag, length], value].concat()
}

#[cfg(test)]
mod tests {
    use phi_keys::PublicKey;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::{Checkpoint, InvalidNote, VerifierKey};

    fn vectors() -> Value {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/phi-audit-ecdsa-v1.json");
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
    }

    fn bytes<const N: usize>(hex: &Value) -> [u8; N] {
        let hex = hex.as_str().unwrap();
        let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
        bytes.collect::<Vec<_>>().try_into().unwrap()
    }

    #[test]
    fn the_vectors_of_another_implementation_are_read_and_written() {
        let vectors = vectors();
        let text = vectors["verifier_key"].as_str().unwrap();
        let point = bytes(&vectors["public_key"]);
        let key: VerifierKey = text.parse().unwrap();
        assert_eq!(key, VerifierKey::new("clinic.example/audit", PublicKey::EcdsaP256(point)).unwrap());
        assert_eq!((key.to_string().as_str(), key.public_key()), (text, &PublicKey::EcdsaP256(point)));
        for case in vectors["known_answers"].as_array().unwrap() {
            let signature = [bytes::<32>(&case["r"]), bytes(&case["s"])].concat().try_into().unwrap();
            let message = case["message"].as_str().unwrap().as_bytes();
            assert!(verify_der(&point, message, &signature_der(&signature)));
        }
        let checkpoints = vectors["checkpoints"].as_array().unwrap();
        for case in checkpoints {
            let note = case["note"].as_str().unwrap();
            assert_eq!(Checkpoint::open(note, &key).unwrap().size(), case["size"].as_u64().unwrap(), "{case}");
            let (text, _) = note.rsplit_once('\n').unwrap().0.rsplit_once('\n').unwrap();
            assert_eq!(key.note(text, &bytes(&case["signature"])), note, "{case}");
        }
        assert_eq!(checkpoints.len(), 9);
    }

    #[test]
    fn what_another_implementation_refuses_is_refused() {
        let vectors = vectors();
        let key: VerifierKey = vectors["verifier_key"].as_str().unwrap().parse().unwrap();
        let cases = |name: &str| vectors[name].as_array().unwrap().clone();
        for case in cases("invalid_checkpoints") {
            let expected = match case["name"].as_str().unwrap() {
                "origin of another log" => InvalidNote::Origin,
                _ => InvalidNote::Signature,
            };
            assert_eq!(Checkpoint::open(case["note"].as_str().unwrap(), &key), Err(expected), "{case}");
        }
        for case in cases("invalid_keys") {
            assert_eq!(case["verifier_key"].as_str().unwrap().parse::<VerifierKey>(), Err(InvalidNote::Key), "{case}");
        }
        assert_eq!((cases("invalid_checkpoints").len(), cases("invalid_keys").len()), (26, 23));
    }

    /// Two signatures of the same text, of which anybody can make one from the other: the text is what is signed.
    #[test]
    fn the_other_signature_of_a_checkpoint_says_the_same() {
        let vectors = vectors();
        let key: VerifierKey = vectors["verifier_key"].as_str().unwrap().parse().unwrap();
        let named = |name: &str| {
            let case = vectors["checkpoints"].as_array().unwrap().iter().find(|case| case["name"] == name).unwrap();
            Checkpoint::open(case["note"].as_str().unwrap(), &key).unwrap()
        };
        let (one, other) = (named("r with a high bit"), named("r with a high bit, and the other s"));
        assert_eq!((one.size(), one.root()), (other.size(), other.root()));
        assert_eq!(one, other);
        assert_ne!(one.note(), other.note());
    }

    #[test]
    fn every_flipped_bit_of_a_point_is_off_the_curve() {
        let point: [u8; 65] = bytes(&vectors()["public_key"]);
        assert!(is_on_p256(&point));
        for bit in 0..point.len() * 8 {
            let mut changed = point;
            changed[bit / 8] ^= 1 << (bit % 8);
            let refused = VerifierKey::new("clinic.example/audit", PublicKey::EcdsaP256(changed));
            assert_eq!(refused, Err(InvalidNote::Key), "bit {bit}");
        }
    }

    #[test]
    fn integers_are_as_short_as_their_sign_allows() {
        let written = |number: &[u8]| {
            let mut padded = [0; 32];
            padded[32 - number.len()..].copy_from_slice(number);
            integer(&padded)
        };
        for (number, expected) in [
            (&[][..], &[0x02, 1, 0][..]),
            (&[1], &[0x02, 1, 1]),
            (&[0x7f], &[0x02, 1, 0x7f]),
            (&[0x80], &[0x02, 2, 0, 0x80]),
            (&[0xff], &[0x02, 2, 0, 0xff]),
            (&[1, 0], &[0x02, 2, 1, 0]),
            (&[0x7f, 0xff], &[0x02, 2, 0x7f, 0xff]),
            (&[0x80, 0], &[0x02, 3, 0, 0x80, 0]),
        ] {
            assert_eq!(written(number), expected);
        }
        assert_eq!(written(&[0x7f; 32]), [&[0x02, 32][..], &[0x7f; 32]].concat());
        assert_eq!(written(&[0x80; 32]), [&[0x02, 33, 0][..], &[0x80; 32]].concat());
        assert_eq!(written(&[0x80; 31]), [&[0x02, 32, 0][..], &[0x80; 31]].concat());
        assert_eq!(signature_der(&[0xff; 64]).len(), 72);
        let mut smallest = [0; 64];
        (smallest[31], smallest[63]) = (1, 2);
        assert_eq!(signature_der(&smallest), [0x30, 6, 2, 1, 1, 2, 1, 2]);
    }

    /// The two numbers, by the rules of X.690 for reading them.
    fn read(der: &[u8]) -> Option<[u8; 64]> {
        let [0x30, length, content @ ..] = der else { return None };
        let mut numbers = [0; 64];
        let mut rest = content;
        for number in numbers.chunks_exact_mut(32) {
            let [0x02, length, after @ ..] = rest else { return None };
            let (digits, after) = after.split_at_checked(usize::from(*length))?;
            let digits = match digits {
                [0, digits @ ..] if digits.first().is_none_or(|first| first & 0x80 != 0) => digits,
                [first, ..] if *first != 0 && first & 0x80 == 0 => digits,
                _ => return None,
            };
            number[32 - digits.len()..].copy_from_slice(digits);
            rest = after;
        }
        (rest.is_empty() && usize::from(*length) == content.len()).then_some(numbers)
    }

    proptest! {
        #[test]
        fn what_is_written_is_der_of_the_same_numbers(
            mut signature in proptest::array::uniform32(any::<[u8; 2]>()).prop_map(|pairs| {
                let mut bytes = [0; 64];
                for (to, from) in bytes.iter_mut().zip(pairs.as_flattened()) { *to = *from; }
                bytes
            }),
            zeros in (0..=32_usize, 0..=32_usize),
        ) {
            signature[..zeros.0].fill(0);
            signature[32..32 + zeros.1].fill(0);
            prop_assert_eq!(read(&signature_der(&signature)), Some(signature));
        }
    }
}
