//! C2SP signed notes: text with detached signatures that people can read and copy.
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
use phi_keys::PublicKey;

use crate::ecdsa;
use crate::hash::{sha256, write_hex};

/// The signature type byte of plain Ed25519.
const ED25519_TYPE: u8 = 0x01;
/// The signature type byte of ECDSA.
const ECDSA_TYPE: u8 = 0x02;
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
///
/// Ed25519, or ECDSA on P-256 with SHA-256 for tokens that have no other. The key says which of them its signatures are of;
/// nothing in a note does.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    name: String,
    public: PublicKey,
    /// The first bytes of a hash, which signature lines name the key by.
    id: [u8; 4],
    /// The type byte and the encoded public key.
    typed: Vec<u8>,
}

impl VerifierKey {
    /// A key by its name and its public key.
    ///
    /// # Errors
    /// [`InvalidNote::Key`] when the name is empty, over 255 bytes, or holds white space, control characters or `+`; and for a
    /// public key that is no point on P-256 or of an algorithm that notes are not signed with.
    pub fn new(name: impl Into<String>, public: PublicKey) -> Result<Self, InvalidNote> {
        let name = name.into();
        if !is_name(&name) {
            return Err(InvalidNote::Key);
        }
        let (typed, digest) = match &public {
            PublicKey::Ed25519(key) => {
                let typed = [&[ED25519_TYPE][..], key].concat();
                let digest = sha256(&[name.as_bytes(), b"\n", &typed]);
                (typed, digest)
            }
            PublicKey::EcdsaP256(point) if ecdsa::is_on_p256(point) => {
                let encoded = ecdsa::encode(point);
                // Without the name, unlike those of other types: so the specification has it.
                let digest = sha256(&[&encoded]);
                ([&[ECDSA_TYPE][..], &encoded].concat(), digest)
            }
            _ => return Err(InvalidNote::Key),
        };
        let [a, b, c, d, ..] = *digest.as_bytes();
        Ok(Self { name, public, id: [a, b, c, d], typed })
    }

    /// The key's name, which is also the origin of the log.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key, which names the algorithm.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The note of `text` with one signature line of this key, from a signature as a [`Signer`](phi_keys::Signer) gives it.
    pub(crate) fn note(&self, text: &str, signature: &[u8; 64]) -> String {
        let signature = match self.public {
            PublicKey::EcdsaP256(_) => ecdsa::signature_der(signature),
            _ => signature.to_vec(),
        };
        let blob = [&self.id[..], &signature].concat();
        format!("{text}\n— {} {}\n", self.name, Base64::encode_string(&blob))
    }

    fn verify(&self, text: &[u8], signature: &[u8]) -> Result<(), InvalidNote> {
        let fits = match &self.public {
            PublicKey::EcdsaP256(point) => ecdsa::verify_der(point, text, signature),
            other => other.verify(text, signature).is_ok(),
        };
        if fits { Ok(()) } else { Err(InvalidNote::Signature) }
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
            if name == self.name && *id == self.id {
                self.verify(text.as_bytes(), signature)?;
                signed = true;
            }
        }
        if signed { Ok(text) } else { Err(InvalidNote::Signature) }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+", self.name)?;
        write_hex(f, &self.id)?;
        write!(f, "+{}", Base64::encode_string(&self.typed))
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
        let (Some(name), Some(_), Some(typed)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(InvalidNote::Key);
        };
        let typed = Base64::decode_vec(typed).map_err(|_| InvalidNote::Key)?;
        let public = match typed.as_slice() {
            [ED25519_TYPE, key @ ..] => key.try_into().ok().map(PublicKey::Ed25519),
            [ECDSA_TYPE, encoded @ ..] => ecdsa::decode(encoded).map(PublicKey::EcdsaP256),
            _ => None,
        };
        let key = Self::new(name, public.ok_or(InvalidNote::Key)?)?;
        // The canonical text is compared, hash and all, so that one key has one spelling.
        if key.to_string() == text { Ok(key) } else { Err(InvalidNote::Key) }
    }
}

/// Whether a log and its key may be called so.
pub(crate) fn is_name(name: &str) -> bool {
    let unclean = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    !name.is_empty() && name.len() <= 255 && !name.contains(unclean)
}
