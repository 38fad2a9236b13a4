//! CRC-32C (RFC 3720, appendix B.4), with which Google Cloud KMS finds damage on the way. It protects nothing from an attacker.

/// The reversed polynomial.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The checksum of `bytes`, as the service counts it.
pub(super) fn crc32c(bytes: &[u8]) -> i64 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        // Bit by bit: a carrier and a digest are 32 bytes each, and a table would be read at places that depend on the carrier.
        for _ in 0..8 {
            crc = (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg());
        }
    }
    i64::from(!crc)
}

/// Whether an answer gives the right checksum of `bytes`; one without any does not.
pub(super) fn matches(bytes: &[u8], answered: Option<i64>) -> bool {
    answered == Some(crc32c(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_examples_hold() {
        let ascending: Vec<u8> = (0..32).collect();
        let descending: Vec<u8> = (0..32).rev().collect();
        let table: &[(&[u8], i64)] = &[
            (b"", 0),
            (b"123456789", 0xe306_9283),
            (&[0; 32], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&ascending, 0x46dd_794e),
            (&descending, 0x113f_db5c),
        ];
        for (bytes, crc) in table {
            assert_eq!(crc32c(bytes), *crc, "{bytes:?}");
        }
    }

    #[test]
    fn no_checksum_and_a_wrong_one_do_not_match() {
        assert!(matches(b"123456789", Some(0xe306_9283)));
        for wrong in [None, Some(0), Some(0xe306_9282), Some(-1), Some(0xe306_9283 + (1 << 32))] {
            assert!(!matches(b"123456789", wrong), "{wrong:?}");
        }
    }
}
