//! What the types of the formats print: enough to tell them apart in a log, and nothing that they hold.

use core::fmt::{Debug, Display};

use phi_keys::derive::{Label, full_id};
use phi_keys::f1::{self, MessageKey, NonceKey, Suite};
use phi_keys::tlv::{TlvError, Writer};
use phi_keys::{Binding, KeyRow, KeyState, KeyUse, RowKind, Slot, Wrapped, WrappedError};
use phi_types::Timestamp;

#[test]
fn each_type_names_itself_and_not_its_bytes() {
    let kid = full_id(&[7; 32]).kid();
    let key = MessageKey::derive(&[7; 32], Label::FIELD, Suite::Aes256Gcm, [3; 12]);
    let mut list = Writer::new("t");
    list.field(1, b"Lovelace").unwrap();
    let slot = Slot::new("clinic", KeyUse::Data, Some([7; 32]));
    let (state, none) = (KeyState::Active, Vec::new());
    let row = KeyRow::new(
        RowKind::Data,
        slot.clone(),
        2,
        Some(full_id(&[7; 32])),
        None,
        state,
        Timestamp::UNIX_EPOCH,
        none,
        [9; 32],
    );
    let wrapped = Wrapped::new("local:clinic", "2", Binding::Native, vec![1, 2, 3]).unwrap();
    for (value, expected) in [
        (&Label::FIELD as &dyn Debug, "Label(phi/v1/field)"),
        (&key, &format!("MessageKey({kid})")),
        (&NonceKey::from_derived(&[7; 32]), "NonceKey([key])"),
        (&list, "Writer(1 fields)"),
        (&slot, &format!("Slot(\"clinic\" {} [scope])", KeyUse::Data)),
        (&Slot::root(), &format!("Slot(\"\" {})", KeyUse::Root)),
        (&row, &format!("KeyRow(data key row {} v2 active {kid})", KeyUse::Data)),
        (&wrapped, "Wrapped(\"local:clinic\" version \"2\", 3 bytes)"),
    ] {
        assert_eq!(format!("{value:?}"), expected);
    }
}

#[test]
fn kinds_and_states_have_the_words_of_the_specification() {
    assert_eq!(
        RowKind::ALL.map(|kind| kind.to_string()),
        ["domain key row", "data key row", "tombstone", "generation row"]
    );
    assert_eq!(RowKind::ALL.map(RowKind::has_key), [true, true, false, false]);
    assert_eq!(
        KeyState::ALL.map(|state| state.to_string()),
        ["pending", "active", "decrypt_only", "retired", "destroyed"]
    );
}

#[test]
fn each_error_of_a_format_says_what_is_wrong() {
    let key = MessageKey::derive(&[7; 32], Label::FIELD, Suite::Aes256Gcm, [3; 12]);
    let refused = key.open_in_place(b"", &mut vec![0; 57]).unwrap_err();
    for (error, words) in [
        (&TlvError::Order as &dyn Display, "ascending order"),
        (&TlvError::TooLong, "4 GiB"),
        (&TlvError::TooMany, "255 fields"),
        (&f1::FormatError::NotSealed, "not a sealed value"),
        (&f1::SealError::TooLong, "at most 64 MiB"),
        (&f1::SealError::NoNonce, "the nonce was left"),
        (&f1::SealError::Cipher, "the cipher failed"),
        (&refused, "does not open under this key and context"),
        (&WrappedError::Format(7), "has format 7"),
        (&WrappedError::Binding(7), "has binding 7, which needs a later version"),
        (&WrappedError::Malformed, "not well-formed"),
        (&WrappedError::TooLong, "65,535 bytes"),
    ] {
        let text = error.to_string();
        assert!(text.contains(words), "{text}");
    }
}
