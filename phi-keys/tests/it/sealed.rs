//! Values of format F1 as their callers hold them: where their salts come from, and in how much memory they are made.

use phi_keys::backend::Backend;
use phi_keys::derive::Label;
use phi_keys::f1::{self, MessageKey, Nonce, OVERHEAD, Suite};

const SUITES: [Suite; 4] =
    [Suite::Aes256Gcm, Suite::ChaCha20Poly1305, Suite::Aes256GcmPadded, Suite::ChaCha20Poly1305Padded];

/// The message key of a suite with each padding to try: none where the suite has none.
fn padded() -> impl Iterator<Item = (MessageKey, usize)> {
    SUITES.into_iter().flat_map(|suite| {
        let paddings: &[usize] = if suite.is_padded() { &[1, 2, 7, 100, 1000] } else { &[0] };
        paddings.iter().map(move |padding| (MessageKey::derive(&[7; 32], Label::FIELD, suite, [3; 12]), *padding))
    })
}

#[test]
fn every_fresh_salt_is_another() {
    let fresh = [f1::fresh_salt(), f1::fresh_salt(), f1::fresh_salt_of(Backend::ring())].map(Result::unwrap);
    assert!(fresh[0] != fresh[1] && fresh[1] != fresh[2] && fresh[0] != fresh[2]);
    assert_ne!(fresh[2], f1::fresh_salt_of(Backend::ring()).unwrap());
}

#[test]
fn a_message_key_says_what_its_values_are_named_by() {
    for suite in SUITES {
        let key = MessageKey::derive(&[7; 32], Label::FIELD, suite, [3; 12]);
        let sealed = key.seal(Nonce::random().unwrap(), b"aad", b"x").unwrap();
        let parts = f1::parse(&sealed).unwrap();
        assert_eq!((key.suite(), key.kid(), key.salt()), (parts.suite(), parts.kid(), parts.salt()));
        assert_eq!((parts.suite(), parts.salt()), (suite, [3; 12]));
    }
}

/// A vector that grows gives back memory with a plaintext in it.
#[test]
fn a_value_is_sealed_into_memory_that_was_taken_at_once() {
    for (key, padding) in padded() {
        for length in [0, 1, 57, 1000] {
            let mut out = Vec::new();
            key.seal_padded_into(Nonce::random().unwrap(), b"aad", &vec![b'x'; length], padding, &mut out).unwrap();
            assert_eq!(out.len(), OVERHEAD + length + padding);
            // No more than the value takes, but for the smallest piece of memory that a vector takes.
            assert_eq!(out.capacity(), out.len(), "{length} and {padding}");
        }
    }
}

#[test]
fn in_place_a_buffer_is_changed_for_a_larger_one_only_where_it_has_no_room() {
    for (key, padding) in padded() {
        for length in [0, 1, 57, 1000] {
            let needed = OVERHEAD + length + padding;
            for room in [length.max(1), needed - 1, needed, needed + 1, 3 * needed] {
                let mut buffer = Vec::with_capacity(room);
                buffer.resize(length, b'x');
                let (before, capacity) = (buffer.as_ptr(), buffer.capacity());
                key.seal_in_place(Nonce::random().unwrap(), b"aad", padding, &mut buffer).unwrap();
                assert_eq!(buffer.len(), needed);
                if room < needed {
                    assert_eq!(buffer.capacity(), needed, "{length} and {padding} in {room}");
                } else {
                    assert_eq!((buffer.as_ptr(), buffer.capacity()), (before, capacity), "{length} in {room}");
                }
                key.open_in_place(b"aad", &mut buffer).unwrap();
                assert_eq!(buffer, vec![b'x'; length]);
            }
        }
    }
}
