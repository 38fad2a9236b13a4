//! phi-keys: sealed values, lists of fields, wrapped keys, and stores, anchors and certificates that were tampered with.
//!
//! What the adapters read of the answers of key services is not here but in the property tests beside it: a service's SDK
//! would enter this workspace with each of them.

mod anchor;
mod certificate;
mod keyring;
mod rows;

use phi_keys::derive::{self, Label};
use phi_keys::f1::{self, MessageKey, Nonce, Suite};
use phi_keys::{KeyRow, KeyState, RevocationNotice, RowKind, Slot, StoreError, Wrapped, tlv};
use phi_types::Timestamp;

pub(crate) use anchor::{file as anchor_file, records_changed as anchor_records};
pub(crate) use certificate::certificate;
pub(crate) use keyring::{key_file, keyring};
pub(crate) use rows::tampered_row;

use crate::input::Input;

const KEY: [u8; 32] = [7; 32];
const AAD: &[u8] = b"context";

/// Bytes as a sealed value. Whatever opens is exactly what sealing that plaintext under that header gives.
pub(crate) fn f1_open(input: &[u8]) {
    let Ok(parts) = f1::parse(input) else { return };
    assert_eq!(input.len(), f1::OVERHEAD + parts.plaintext_len());
    let key = MessageKey::derive(&KEY, Label::FIELD, parts.suite(), parts.salt());
    let Ok(plaintext) = key.open(&parts, AAD) else { return };
    let nonce = input[f1::HEADER_LEN - 12..f1::HEADER_LEN].try_into().expect("12 bytes");
    let (padding, mut again) = (parts.plaintext_len() - plaintext.len(), Vec::new());
    key.seal_padded_into(Nonce::dangerous_from_bytes(nonce), AAD, &plaintext, padding, &mut again)
        .expect("as short as before");
    assert_eq!(again, input);
    let mut buffer = input.to_vec();
    key.open_in_place(AAD, &mut buffer).expect("what has opened");
    assert_eq!(buffer, plaintext.as_slice());
    key.seal_in_place(Nonce::dangerous_from_bytes(nonce), AAD, padding, &mut buffer).expect("as short as before");
    assert_eq!(buffer, input);
}

/// A value sealed with everything of the fuzzer's choosing opens, and does not after any one change.
pub(crate) fn f1_seal(input: &[u8]) {
    let mut input = Input::new(input);
    let chosen = input.byte();
    let suite = if chosen.is_multiple_of(2) { Suite::Aes256Gcm } else { Suite::ChaCha20Poly1305 };
    let suite = if chosen & 2 == 0 { suite } else { suite.padded() };
    let padding = if suite.is_padded() { 1 + usize::from(chosen >> 2) } else { 0 };
    let (key, salt, nonce) = (input.array(), input.array(), Nonce::dangerous_from_bytes(input.array()));
    let (at, change) = (u16::from_be_bytes(input.array()), input.byte());
    let aad = input.short();
    let plaintext = input.rest();
    let message_key = MessageKey::derive(&key, Label::FIELD, suite, salt);
    let mut sealed = Vec::new();
    message_key.seal_padded_into(nonce, aad, plaintext, padding, &mut sealed).expect("a short plaintext");
    let parts = f1::parse(&sealed).expect("what was sealed");
    assert_eq!((parts.suite(), parts.kid(), parts.salt()), (suite, derive::full_id(&key).kid(), salt));
    assert_eq!(message_key.open(&parts, aad).expect("what was sealed").as_slice(), plaintext);

    let at = usize::from(at) % sealed.len();
    sealed[at] ^= change.max(1);
    if let Ok(parts) = f1::parse(&sealed) {
        // The opener of such a header, as any reader would derive it.
        let other = MessageKey::derive(&key, Label::FIELD, parts.suite(), parts.salt());
        assert!(other.open(&parts, aad).is_err(), "byte {at}");
        assert!(message_key.open(&parts, aad).is_err(), "byte {at}");
    }
}

/// Text as a sealed value: one value has one text, and one changed character makes it none or that of another value.
pub(crate) fn f1_text(input: &[u8]) {
    let read = |text: &[u8]| {
        let text = std::str::from_utf8(text).ok()?;
        let value = f1::from_text(text).ok()?;
        assert_eq!(f1::to_text(&value), text);
        Some(value)
    };
    read(input);

    let mut input = Input::new(input);
    let (at, character) = (usize::from(u16::from_be_bytes(input.array())), input.byte() & 0x7f);
    let value = input.rest();
    let written = f1::to_text(value).into_bytes();
    assert_eq!(read(&written).as_deref(), Some(value));
    let mut changed = written.clone();
    changed[at % written.len()] = character;
    assert_eq!(read(&changed).as_deref() == Some(value), changed == written);
}

/// A list of fields reads back as what was written, by the description of the format alone: no two lists share bytes.
pub(crate) fn tlv_write(input: &[u8]) {
    let mut input = Input::new(input);
    let mut written = Vec::new();
    let mut list = tlv::Writer::new("t");
    while !input.is_empty() {
        let (tag, value) = (input.byte(), input.short());
        if list.field(tag, value).is_ok() {
            written.push((tag, value));
        }
    }
    let bytes = list.finish();
    let mut rest = bytes.strip_prefix(b"t").expect("the domain");
    let count = rest[0];
    rest = &rest[1..];
    let mut read = Vec::new();
    for _ in 0..count {
        let length = u32::from_be_bytes(rest[1..5].try_into().expect("four bytes")) as usize;
        read.push((rest[0], &rest[5..5 + length]));
        rest = &rest[5 + length..];
    }
    assert!(rest.is_empty());
    assert_eq!(read, written);
}

/// Bytes as a wrapped carrier: what is read is written as the same bytes.
pub(crate) fn wrapped(input: &[u8]) {
    if let Ok(wrapped) = Wrapped::from_bytes(input) {
        assert_eq!(wrapped.to_bytes(), input);
    }
}

/// Text as a revocation notice: what names a target is written as the same text, everything else revokes all.
pub(crate) fn revocation(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let notice = RevocationNotice::from_text(text);
    let written = notice.to_text();
    assert!(written == text || written == "phi-revoke-1 all", "{written}");
    assert_eq!(RevocationNotice::from_text(&written), notice);
}

/// Bytes as the further fields of a key row: what is taken is given back as the same bytes, and what another version may have
/// written is told from damage.
pub(crate) fn row_more(input: &[u8]) {
    let (state, none) = (KeyState::Active, Vec::new());
    let row = KeyRow::new(RowKind::Data, Slot::root(), 1, None, None, state, Timestamp::UNIX_EPOCH, none, [0; 32]);
    match row.with_more(input) {
        Ok(row) => assert_eq!(row.more(), input),
        Err(StoreError::Unknown { column, found }) => assert!(column == "more" && found <= u64::from(u8::MAX)),
        Err(error) => assert!(matches!(error, StoreError::Malformed("more")), "{error:?}"),
    }
}
