//! Evidence that one entry is in the log, which can be checked without the log.

use core::fmt;

use base64ct::{Base64, Encoding};

use crate::{Checkpoint, Hash, InvalidNote, InvalidProof, VerifierKey, verify_inclusion};

/// The first line of the text form.
const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// An inclusion proof with the signed checkpoint that it leads to; its text form is C2SP tlog-proof.
///
/// ```
/// use phi_audit::{InvalidNote, Proof, VerifierKey};
///
/// # let key: VerifierKey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k".parse()?;
/// assert_eq!(Proof::open("c2sp.org/tlog-proof@v1\nindex 0\n", &key).unwrap_err(), InvalidNote::Malformed);
/// # Ok::<(), InvalidNote>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    index: u64,
    hashes: Vec<Hash>,
    checkpoint: Checkpoint,
}

impl Proof {
    pub(crate) const fn new(index: u64, hashes: Vec<Hash>, checkpoint: Checkpoint) -> Self {
        Self { index, hashes, checkpoint }
    }

    /// Reads the text form and checks the checkpoint's signature against the pinned key.
    ///
    /// # Errors
    /// [`InvalidNote`] when the text is no proof, or the checkpoint is not signed by this key.
    pub fn open(text: &str, key: &VerifierKey) -> Result<Self, InvalidNote> {
        let (proof, checkpoint) = text.split_once("\n\n").ok_or(InvalidNote::Malformed)?;
        let checkpoint = Checkpoint::open(checkpoint, key)?;
        let mut lines = proof.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(InvalidNote::Malformed);
        }
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).ok_or(InvalidNote::Malformed)?;
        let parsed: u64 = index.parse().map_err(|_| InvalidNote::Malformed)?;
        let hashes = lines.map(hash).collect::<Option<Vec<_>>>().ok_or(InvalidNote::Malformed)?;
        if parsed.to_string() != index || hashes.len() > 64 {
            return Err(InvalidNote::Malformed);
        }
        Ok(Self { index: parsed, hashes, checkpoint })
    }

    /// The entry's place in the log.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// The sibling hashes, from the leaf's up.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// The signed checkpoint.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Checks that these bytes are the entry.
    ///
    /// # Errors
    /// [`InvalidProof`] when they are not.
    pub fn verify(&self, entry: &[u8]) -> Result<(), InvalidProof> {
        let (size, root) = (self.checkpoint.size(), self.checkpoint.root());
        verify_inclusion(self.index, size, &Hash::leaf(entry), &self.hashes, root)
    }
}

fn hash(line: &str) -> Option<Hash> {
    let mut bytes = [0; 32];
    let decoded = Base64::decode(line, &mut bytes).ok()?.len();
    (decoded == 32).then(|| Hash::from_bytes(bytes))
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}\nindex {}", self.index)?;
        for hash in &self.hashes {
            writeln!(f, "{}", Base64::encode_string(hash.as_bytes()))?;
        }
        write!(f, "\n{}", self.checkpoint.note())
    }
}
