//! Lower-case hexadecimal digits.

use core::fmt::Write;

pub(crate) fn encode(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(crate) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_survive_the_way_back_and_other_text_is_refused() {
        assert_eq!(decode::<3>(&encode(&[0, 0x9f, 0xff])), Some([0, 0x9f, 0xff]));
        for bad in ["", "00", "0000000", "00000g", "+1+1+1"] {
            assert_eq!(decode::<3>(bad), None, "{bad}");
        }
    }
}
