//! Signed statements of what the log holds, in the format C2SP tlog-checkpoint.
//!
//! ```
//! use phi_audit::{Checkpoint, InvalidNote, VerifierKey};
//!
//! let key: VerifierKey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k".parse()?;
//! assert_eq!(Checkpoint::open("unsigned\n", &key), Err(InvalidNote::Malformed));
//! # Ok::<(), InvalidNote>(())
//! ```

use core::fmt;

use base64ct::{Base64, Encoding};

use crate::{Hash, InvalidNote, VerifierKey};

/// A tree size and root hash that the log has signed. It exists only with a verified signature.
#[derive(Clone, PartialEq, Eq)]
pub struct Checkpoint {
    size: u64,
    root: Hash,
    note: String,
}

impl Checkpoint {
    /// Reads a signed note and checks origin and signature against the pinned key.
    ///
    /// Extension lines and signatures of other keys are accepted and ignored, as the specification asks.
    ///
    /// # Errors
    /// [`InvalidNote`] says whether the form, the signature or the origin is wrong.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, InvalidNote> {
        let text = key.open(note)?;
        let mut lines = text.strip_suffix('\n').ok_or(InvalidNote::Malformed)?.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(InvalidNote::Malformed);
        };
        if origin != key.name() {
            return Err(InvalidNote::Origin);
        }
        let canonical = |size: &u64| size.to_string();
        let parsed: u64 = size.parse().map_err(|_| InvalidNote::Malformed)?;
        let mut bytes = [0; 32];
        let root = Base64::decode(root, &mut bytes).map_err(|_| InvalidNote::Malformed)?;
        if canonical(&parsed) != size || root.len() != 32 || lines.any(str::is_empty) {
            return Err(InvalidNote::Malformed);
        }
        Ok(Self { size: parsed, root: Hash::from_bytes(bytes), note: note.to_owned() })
    }

    /// The text that is signed: origin, size and root, one line each.
    pub(crate) fn text(origin: &str, size: u64, root: &Hash) -> String {
        format!("{origin}\n{size}\n{}\n", Base64::encode_string(root.as_bytes()))
    }

    /// The number of entries.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root over them.
    #[must_use]
    pub const fn root(&self) -> &Hash {
        &self.root
    }

    /// The signed note, to be kept elsewhere: who holds it can tell a restored old log from the true one.
    #[must_use]
    pub fn note(&self) -> &str {
        &self.note
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checkpoint({} entries, root {})", self.size, self.root)
    }
}
