//! The names of keys: short, full and pinned.

use core::fmt;

use subtle::ConstantTimeEq;

/// Writes bytes as lower-case hexadecimal digits.
fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// The short name of a key, 16 bytes, found at a fixed place in everything that the key sealed.
///
/// It is the first half of the key's [`FullId`], so it commits to the key: finding a second key for a given kid takes
/// about 2^128 tries. It is not secret.
///
/// ```
/// use phi_keys::KeyId;
///
/// let kid = KeyId::from_bytes([0xab; 16]);
/// assert_eq!(kid.to_string(), "ab".repeat(16));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; 16]);

impl KeyId {
    /// A kid as it was stored.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// The full name of a key: `HKDF-Expand-SHA-256(key, "phi/v1/kid", 32)`. It is not secret.
///
/// Key rows store it and every unwrapping computes it again, so a row cannot be made to answer with another key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FullId([u8; 32]);

impl FullId {
    /// A full id as it was stored.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 16 bytes, which headers carry.
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        KeyId(first_half(&self.0))
    }

    /// Compares in constant time.
    #[must_use]
    pub(crate) fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

const fn first_half(bytes: &[u8; 32]) -> [u8; 16] {
    let (half, _) = bytes.split_at(16);
    let mut out = [0; 16];
    out.copy_from_slice(half);
    out
}

impl fmt::Display for FullId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for FullId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FullId({self})")
    }
}

/// The commitment of a key store's root key, to be kept where the database's writers cannot reach.
///
/// A store whose root key does not have the pinned fingerprint is refused: without that check whoever can write the
/// database could put a root key of their own choice there, and with it any key row.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// A fingerprint from a configuration.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl From<FullId> for Fingerprint {
    fn from(root: FullId) -> Self {
        Self(root.0)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kid_is_the_first_half_of_the_full_id() {
        let full = FullId(core::array::from_fn(|i| u8::try_from(i).unwrap()));
        assert_eq!(full.kid().as_bytes(), &full.as_bytes()[..16]);
        assert_eq!(full.kid().to_string(), "000102030405060708090a0b0c0d0e0f");
    }
}
