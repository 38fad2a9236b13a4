//! C2SP signed notes: text with detached Ed25519 signatures that people can read and copy.
//!
//! ```
//! use phi_audit::VerifierKey;
//!
//! // The example key of the specification.
//! let key: VerifierKey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k".parse()?;
//! assert_eq!(key.name(), "example.com/foo");
//! # Ok::<(), phi_audit::InvalidNote>(())
//! ```

use core::fmt;
use core::str::FromStr;

use base64ct::{Base64, Encoding};
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::hash::{sha256, write_hex};

/// The signature type byte of plain Ed25519.
const ED25519_TYPE: u8 = 0x01;
/// Longer notes are refused before they are parsed; a checkpoint with 16 large signatures stays far below.
const MAX_NOTE: usize = 256 * 1024;
/// The specification asks for at least 16; more are refused.
const MAX_SIGNATURES: usize = 32;

/// A signed note, checkpoint or verifier key that cannot be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidNote {
    /// Not of the form that the specification gives.
    Malformed,
    /// No signature of the pinned key, or one that does not fit the text.
    Signature,
    /// Signed by the pinned key, but for a log of another name.
    Origin,
    /// A verifier key that is not `name+hash+base64`, or whose hash does not fit.
    Key,
}

impl fmt::Display for InvalidNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a signed note: expected text, an empty line and signature lines",
            Self::Signature => "the note bears no valid signature of the pinned verifier key",
            Self::Origin => "the note was signed for another log: compare its first line with the configured origin",
            Self::Key => "not a verifier key: expected name+hash+base64 as printed when the log was opened",
        })
    }
}

impl core::error::Error for InvalidNote {}

/// The public half of a log's signing key, pinned by whoever verifies: `name+hash+base64`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    name: String,
    public: [u8; 32],
}

impl VerifierKey {
    /// A key by its name and its Ed25519 public key.
    ///
    /// # Errors
    /// [`InvalidNote::Key`] when the name is empty, over 255 bytes, or holds white space, control characters or `+`.
    pub fn new(name: impl Into<String>, public: [u8; 32]) -> Result<Self, InvalidNote> {
        let name = name.into();
        let unclean = |c: char| c.is_whitespace() || c.is_control() || c == '+';
        if name.is_empty() || name.len() > 255 || name.contains(unclean) {
            return Err(InvalidNote::Key);
        }
        Ok(Self { name, public })
    }

    /// The key's name, which is also the origin of the log.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The Ed25519 public key.
    #[must_use]
    pub const fn public_key(&self) -> &[u8; 32] {
        &self.public
    }

    fn id(&self) -> [u8; 4] {
        let digest = sha256(&[self.name.as_bytes(), b"\n", &[ED25519_TYPE], &self.public]);
        let [a, b, c, d, ..] = *digest.as_bytes();
        [a, b, c, d]
    }

    /// The note of `text` with one signature line of this key.
    pub(crate) fn note(&self, text: &str, signature: &[u8; 64]) -> String {
        let blob = [&self.id()[..], signature].concat();
        format!("{text}\n— {} {}\n", self.name, Base64::encode_string(&blob))
    }

    /// The text of a note that this key signed. Signatures of other keys are ignored, as the specification asks.
    pub(crate) fn open<'a>(&self, note: &'a str) -> Result<&'a str, InvalidNote> {
        if note.len() > MAX_NOTE || note.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(InvalidNote::Malformed);
        }
        let blank = note.rfind("\n\n").ok_or(InvalidNote::Malformed)?;
        let (text, signatures) = note.split_at_checked(blank + 1).ok_or(InvalidNote::Malformed)?;
        let signatures = signatures.strip_prefix('\n').and_then(|lines| lines.strip_suffix('\n'));
        let mut signed = false;
        for (number, line) in signatures.ok_or(InvalidNote::Malformed)?.split('\n').enumerate() {
            let mut words = line.split(' ');
            let (Some("—"), Some(name), Some(blob), None) = (words.next(), words.next(), words.next(), words.next())
            else {
                return Err(InvalidNote::Malformed);
            };
            let blob = Base64::decode_vec(blob).map_err(|_| InvalidNote::Malformed)?;
            let (id, signature) = blob.split_first_chunk::<4>().ok_or(InvalidNote::Malformed)?;
            if number >= MAX_SIGNATURES {
                return Err(InvalidNote::Malformed);
            }
            if name == self.name && *id == self.id() {
                UnparsedPublicKey::new(&ED25519, &self.public)
                    .verify(text.as_bytes(), signature)
                    .map_err(|_| InvalidNote::Signature)?;
                signed = true;
            }
        }
        if signed { Ok(text) } else { Err(InvalidNote::Signature) }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+", self.name)?;
        write_hex(f, &self.id())?;
        let key = [&[ED25519_TYPE][..], &self.public].concat();
        write!(f, "+{}", Base64::encode_string(&key))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

impl FromStr for VerifierKey {
    type Err = InvalidNote;

    fn from_str(text: &str) -> Result<Self, InvalidNote> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(InvalidNote::Key);
        };
        let key = Base64::decode_vec(key).map_err(|_| InvalidNote::Key)?;
        let [ED25519_TYPE, public @ ..] = key.as_slice() else {
            return Err(InvalidNote::Key);
        };
        let key = Self::new(name, public.try_into().map_err(|_| InvalidNote::Key)?)?;
        // The canonical text is compared, so that one key has one spelling.
        let given: String = key.id().iter().map(|byte| format!("{byte:02x}")).collect();
        if given == id { Ok(key) } else { Err(InvalidNote::Key) }
    }
}
