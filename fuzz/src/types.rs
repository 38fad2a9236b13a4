//! phi-types: text that applications and stored rows bring back.

use phi_types::Timestamp;

/// RFC 3339 text: what is accepted has one canonical form, which reads back as the same instant.
pub(crate) fn timestamp(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(instant) = text.parse::<Timestamp>() {
        assert_eq!(instant.to_string().parse(), Ok(instant), "{text}");
    }
}
