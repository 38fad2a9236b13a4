//! The small encodings the services share.

use base64ct::{Base64, Base64UrlUnpadded, Encoding};

/// Standard base64 with padding.
pub(crate) fn b64(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

pub(crate) fn from_b64(text: &str) -> Option<Vec<u8>> {
    Base64::decode_vec(text).ok()
}

/// URL-safe base64 without padding, as JOSE and Azure write it.
pub(crate) fn b64url(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

pub(crate) fn from_b64url(text: &str) -> Option<Vec<u8>> {
    Base64UrlUnpadded::decode_vec(text).ok()
}

/// A `bytes` field of proto3 JSON: either alphabet, with or without padding.
pub(crate) fn from_proto_b64(text: &str) -> Option<Vec<u8>> {
    let plain: String = text
        .trim_end_matches('=')
        .chars()
        .map(|c| match c {
            '+' => '-',
            '/' => '_',
            other => other,
        })
        .collect();
    from_b64url(&plain)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// CRC-32C (Castagnoli), reflected, as RFC 3720 B.4 gives it.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32c_agrees_with_the_published_vectors() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA, "RFC 3720 B.4, 32 bytes of zeroes");
        assert_eq!(crc32c(&[0xFF; 32]), 0x62A8_AB43, "RFC 3720 B.4, 32 bytes of ones");
        assert_eq!(crc32c(b""), 0);
    }

    #[test]
    fn proto_bytes_come_in_four_spellings() {
        for text in ["-_8=", "-_8", "+/8=", "+/8"] {
            assert_eq!(from_proto_b64(text).as_deref(), Some(&[0xFB, 0xFF][..]), "{text}");
        }
        assert_eq!(from_proto_b64("not base64!"), None);
    }
}
