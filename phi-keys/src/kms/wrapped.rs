//! The self-describing bytes of a wrapped carrier.

use core::fmt;

/// The format of [`Wrapped::to_bytes`], frozen.
const FORMAT: u8 = 1;

/// How a carrier is bound to its context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Binding {
    /// By key derivation only: the KMS takes no context.
    Derivation,
    /// By key derivation and by the KMS itself, which authenticates the context's digest.
    Native,
}

impl Binding {
    /// The byte that stands for it, also in the derivation.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Derivation => 1,
            Self::Native => 2,
        }
    }

    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Derivation),
            2 => Some(Self::Native),
            _ => None,
        }
    }
}

/// A carrier as a KMS wrapped it, with what is needed to find that KMS again.
///
/// ```
/// use phi_keys::{Binding, Wrapped};
///
/// let wrapped = Wrapped::new("local:clinic", "2", Binding::Native, vec![1, 2, 3])?;
/// assert_eq!(Wrapped::from_bytes(&wrapped.to_bytes())?, wrapped);
/// # Ok::<(), phi_keys::WrappedError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Wrapped {
    kek_id: String,
    kek_version: String,
    algorithm: String,
    binding: Binding,
    blob: Vec<u8>,
}

impl Wrapped {
    /// What a KMS answered. `kek_version` is what the answer names, empty where it names none.
    ///
    /// # Errors
    /// [`WrappedError::TooLong`] when a text or the blob has more than 65,535 bytes.
    pub fn new(
        kek_id: impl Into<String>,
        kek_version: impl Into<String>,
        binding: Binding,
        blob: Vec<u8>,
    ) -> Result<Self, WrappedError> {
        let (kek_id, kek_version) = (kek_id.into(), kek_version.into());
        let longest = kek_id.len().max(kek_version.len()).max(blob.len());
        u16::try_from(longest).map_err(|_| WrappedError::TooLong)?;
        Ok(Self { kek_id, kek_version, algorithm: String::new(), binding, blob })
    }

    /// Names the algorithm in the KMS's own words, such as `RSA-OAEP-256`, where the KEK or its blob leaves a choice.
    /// The name is part of the derivation, so that nobody makes one algorithm's bytes be taken for another's.
    ///
    /// # Errors
    /// [`WrappedError::TooLong`] when it has more than 65,535 bytes.
    pub fn with_algorithm(mut self, algorithm: impl Into<String>) -> Result<Self, WrappedError> {
        self.algorithm = algorithm.into();
        u16::try_from(self.algorithm.len()).map_err(|_| WrappedError::TooLong)?;
        Ok(self)
    }

    /// The KEK that wrapped it.
    #[must_use]
    pub fn kek_id(&self) -> &str {
        &self.kek_id
    }

    /// The version of the KEK, in the KMS's own words; empty where it names none.
    #[must_use]
    pub fn kek_version(&self) -> &str {
        &self.kek_version
    }

    /// The algorithm, in the KMS's own words; empty where the KEK has only one.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// How it is bound to its context.
    #[must_use]
    pub const fn binding(&self) -> Binding {
        self.binding
    }

    /// The KMS's own bytes.
    #[must_use]
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// `0x01 ‖ u8 binding ‖ 4 × (u16be length ‖ bytes)` of KEK id, KEK version, algorithm and blob.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![FORMAT, self.binding.byte()];
        for part in [self.kek_id.as_bytes(), self.kek_version.as_bytes(), self.algorithm.as_bytes(), &self.blob] {
            // `new` and `with_algorithm` bound every part.
            let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(part);
        }
        out
    }

    /// The reverse of [`to_bytes`](Self::to_bytes). Nothing may follow.
    ///
    /// # Errors
    /// [`WrappedError`] when the format or the binding is newer, or the bytes are not well-formed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WrappedError> {
        let (&format, rest) = bytes.split_first().ok_or(WrappedError::Malformed)?;
        if format != FORMAT {
            return Err(WrappedError::Format(format));
        }
        let (&binding, rest) = rest.split_first().ok_or(WrappedError::Malformed)?;
        let binding = Binding::from_byte(binding).ok_or(WrappedError::Binding(binding))?;
        let (kek_id, rest) = part(rest)?;
        let (kek_version, rest) = part(rest)?;
        let (algorithm, rest) = part(rest)?;
        let (blob, rest) = part(rest)?;
        if !rest.is_empty() {
            return Err(WrappedError::Malformed);
        }
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| WrappedError::Malformed);
        Ok(Self {
            kek_id: text(kek_id)?,
            kek_version: text(kek_version)?,
            algorithm: text(algorithm)?,
            binding,
            blob: blob.to_vec(),
        })
    }
}

/// Splits off one part behind its length.
fn part(bytes: &[u8]) -> Result<(&[u8], &[u8]), WrappedError> {
    let (length, rest) = bytes.split_first_chunk().ok_or(WrappedError::Malformed)?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(WrappedError::Malformed)
}

impl fmt::Debug for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wrapped({:?} version {:?}, {} bytes)", self.kek_id, self.kek_version, self.blob.len())
    }
}

/// Bytes that are not a wrapped carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WrappedError {
    /// A format that this version does not know.
    Format(u8),
    /// A binding to the context that this version does not know.
    Binding(u8),
    /// Truncated, followed by something else, or otherwise not well-formed.
    Malformed,
    /// A part has more than 65,535 bytes.
    TooLong,
}

impl fmt::Display for WrappedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(format) => {
                write!(f, "the wrapped key has format {format}, which needs a later version of this crate")
            }
            Self::Binding(binding) => {
                write!(f, "the wrapped key has binding {binding}, which needs a later version of this crate")
            }
            Self::Malformed => f.write_str("the wrapped key is truncated or not well-formed: restore the key row"),
            Self::TooLong => f.write_str("a part of the wrapped key is longer than 65,535 bytes"),
        }
    }
}

impl core::error::Error for WrappedError {}
