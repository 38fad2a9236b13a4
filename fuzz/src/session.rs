//! phi-session: what browsers send and what stores give back.

use phi_session::{AuthEvent, PublicId, Token};

/// A presented token: one token has one text.
pub(crate) fn token(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Some(token) = Token::parse(text) {
        assert_eq!(token.expose(), text);
    }
    if let Some(id) = PublicId::parse(text) {
        assert_eq!(id.to_string(), text);
    }
}

/// A column of authentication events: what is read is written as the same bytes.
pub(crate) fn auth_events(input: &[u8]) {
    if let Some(events) = AuthEvent::decode(input) {
        assert_eq!(AuthEvent::encode(&events), input);
    }
}
