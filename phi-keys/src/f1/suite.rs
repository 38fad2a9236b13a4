//! Which cipher a value is under, and whether its plaintext is padded.

use super::FormatError;

/// The cipher of a value. The numbers are frozen for ever and never chosen from a configuration while opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Suite {
    /// `0x01`: AES-256-GCM (NIST SP 800-38D).
    Aes256Gcm = 0x01,
    /// `0x02`: ChaCha20-Poly1305 (RFC 8439), for machines without AES instructions.
    ChaCha20Poly1305 = 0x02,
    /// `0x11`: AES-256-GCM over a padded plaintext, whose length the value does not show.
    Aes256GcmPadded = 0x11,
    /// `0x12`: ChaCha20-Poly1305 over a padded plaintext.
    ChaCha20Poly1305Padded = 0x12,
}

impl Suite {
    /// The first byte of a value.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// The same cipher over a padded plaintext.
    #[must_use]
    pub const fn padded(self) -> Self {
        match self {
            Self::Aes256Gcm | Self::Aes256GcmPadded => Self::Aes256GcmPadded,
            Self::ChaCha20Poly1305 | Self::ChaCha20Poly1305Padded => Self::ChaCha20Poly1305Padded,
        }
    }

    /// Whether the plaintext is padded.
    #[must_use]
    pub const fn is_padded(self) -> bool {
        matches!(self, Self::Aes256GcmPadded | Self::ChaCha20Poly1305Padded)
    }

    /// The fewest bytes of padding that a plaintext has: none, or the byte that marks its end.
    pub(super) const fn least_padding(self) -> usize {
        if self.is_padded() { 1 } else { 0 }
    }

    pub(super) const fn from_byte(byte: u8) -> Result<Self, FormatError> {
        match byte {
            0x01 => Ok(Self::Aes256Gcm),
            0x02 => Ok(Self::ChaCha20Poly1305),
            0x11 => Ok(Self::Aes256GcmPadded),
            0x12 => Ok(Self::ChaCha20Poly1305Padded),
            _ => Err(FormatError::NotSealed),
        }
    }
}
