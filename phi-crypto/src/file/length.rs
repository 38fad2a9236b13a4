//! Lengths and offsets, which follow from the plaintext's alone.

use core::ops::Range;

use super::FileHead;
use super::cobblestone::{CHUNK, MAX_CHUNKS, SEALED_CHUNK, TAG};

/// Where the chunks begin.
pub(super) const HEAD: u64 = FileHead::LEN as u64;

/// Bytes of the sealed file of a plaintext.
///
/// ```
/// assert_eq!(phi_crypto::file::sealed_len(0), 96);
/// assert_eq!(phi_crypto::file::sealed_len(16_384), 80 + 16_400 + 16);
/// ```
#[must_use]
pub const fn sealed_len(plaintext: u64) -> u64 {
    let tags = (plaintext / CHUNK as u64 + 1).saturating_mul(TAG as u64);
    plaintext.saturating_add(tags).saturating_add(HEAD)
}

/// The bytes of a sealed file that hold a range of its plaintext: what to ask an object store for, beside the first 80.
///
/// The end may lie behind that of the file; a store then answers with less.
///
/// ```
/// assert_eq!(phi_crypto::file::ciphertext_range(20_000..20_001), 80 + 16_400..80 + 2 * 16_400);
/// ```
#[must_use]
pub const fn ciphertext_range(plaintext: Range<u64>) -> Range<u64> {
    let first = plaintext.start / CHUNK as u64;
    let behind = if plaintext.end > plaintext.start { (plaintext.end - 1) / CHUNK as u64 + 1 } else { first };
    HEAD.saturating_add(first.saturating_mul(SEALED_CHUNK as u64))
        ..HEAD.saturating_add(behind.saturating_mul(SEALED_CHUNK as u64))
}

/// The number of the last chunk and the length of the plaintext, of so many sealed bytes behind the head; nothing when no
/// complete file has that many.
pub(super) fn end(sealed: u64) -> Option<(u64, u64)> {
    let (number, rest) = (sealed / SEALED_CHUNK as u64, sealed % SEALED_CHUNK as u64);
    let last = rest.checked_sub(TAG as u64)?;
    (number < MAX_CHUNKS).then_some((number, number * CHUNK as u64 + last))
}

/// Whether a place of the plaintext can be read, of so many sealed bytes behind the head: full chunks can, whatever
/// follows them.
pub(super) fn is_within(position: u64, sealed: u64) -> bool {
    position < sealed / SEALED_CHUNK as u64 * CHUNK as u64 || end(sealed).is_some_and(|(_, end)| position < end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_finds_its_way_back() {
        for length in (0..3 * 16_384 + 5).chain([u64::from(u32::MAX), (1 << 52) - 1]) {
            let chunks = length / 16_384;
            assert_eq!(end(sealed_len(length) - HEAD), Some((chunks, length)));
        }
    }

    #[test]
    fn no_other_length_is_one_of_a_file() {
        for rest in 0..16 {
            assert_eq!(end(rest), None);
            assert_eq!(end(16_400 * 7 + rest), None);
        }
        assert_eq!(end(16_400 << 38), None);
        // A last chunk that is empty, behind one full chunk fewer than a file may have, and behind as many.
        assert_eq!(end((16_400 << 38) - 16_400 + 16), Some(((1 << 38) - 1, ((1 << 38) - 1) << 14)));
        assert_eq!(end((16_400 << 38) + 16), None);
    }

    #[test]
    fn what_can_be_read_ends_with_the_last_full_chunk_or_with_the_file() {
        // So many sealed bytes behind the head, and how many of the plaintext can be read of them.
        for (sealed, readable) in [
            (0, 0),
            (15, 0),
            (16, 0),
            (17, 1),
            (26, 10),
            (16_399, 16_383),
            (16_400, 16_384),
            (16_415, 16_384),
            (16_416, 16_384),
            (16_417, 16_385),
            (2 * 16_400, 2 * 16_384),
        ] {
            for position in 0..readable {
                assert!(is_within(position, sealed), "{position} of {sealed}");
            }
            for position in [readable, readable + 1, 3 * 16_400, u64::MAX] {
                assert!(!is_within(position, sealed), "{position} of {sealed}");
            }
        }
    }

    #[test]
    fn a_range_is_covered_by_whole_chunks() {
        assert_eq!(ciphertext_range(0..0), 80..80);
        assert_eq!(ciphertext_range(0..1), 80..16_480);
        assert_eq!(ciphertext_range(0..16_384), 80..16_480);
        assert_eq!(ciphertext_range(16_383..16_385), 80..32_880);
        assert_eq!(ciphertext_range(Range { start: 5, end: 3 }), 80..80);
        assert_eq!(ciphertext_range(0..u64::MAX).end, u64::MAX);
    }
}
