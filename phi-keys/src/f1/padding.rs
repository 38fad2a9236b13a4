//! ISO/IEC 7816-4 padding: `0x80`, then zeros. What enters the cipher then has a length that its plaintext does not.

/// The byte behind the plaintext.
pub(super) const MARK: u8 = 0x80;

/// Appends `padding` bytes; none for a suite without padding.
pub(super) fn pad(out: &mut Vec<u8>, padding: usize) {
    if padding > 0 {
        out.push(MARK);
        out.resize(out.len() + (padding - 1), 0);
    }
}

/// The length of the plaintext that was padded; `None` when nothing that was padded looks like this.
pub(super) fn unpadded_len(padded: &[u8]) -> Option<usize> {
    let end = padded.iter().rposition(|byte| *byte != 0)?;
    (padded.get(end) == Some(&MARK)).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_padded_has_one_plaintext_whatever_it_ends_with() {
        for plaintext in [&b""[..], b"x", b"\x80", b"\0", b"\x80\0", b"\0\x80\0\0"] {
            for padding in 1..20 {
                let mut padded = plaintext.to_vec();
                pad(&mut padded, padding);
                assert_eq!(padded.len(), plaintext.len() + padding);
                assert_eq!(unpadded_len(&padded), Some(plaintext.len()));
            }
        }
        for never_padded in [&b""[..], b"\0\0", b"x", b"\x80x", b"\x81\0"] {
            assert_eq!(unpadded_len(never_padded), None);
        }
    }
}
