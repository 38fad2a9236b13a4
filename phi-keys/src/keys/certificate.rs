//! Certificates of destruction: what a shred achieved, from when, and what may be left, signed.
//!
//! ```
//! use core::time::Duration;
//! use phi_keys::{Certificate, EphemeralKeyring, Keys, MemoryKeyStore, Signer};
//! use phi_types::SubjectId;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).build().await?;
//! let shredded = keys.shred(&SubjectId::new("22d6efc6")?).await?;
//! let signer = keys.signer("destruction").await?;
//! // Copies of the key tables are kept for 35 days.
//! let horizon = Duration::from_secs(35 * 86_400);
//! let certificate = keys.certify(&shredded, horizon, &signer).await?;
//!
//! let read = Certificate::verify(certificate.text(), &signer.public_key())?;
//! assert_eq!(read.irrecoverable_after(), shredded.at.saturating_add(horizon));
//! # Ok(())
//! # }
//! ```

use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use std::error::Error as StdError;
use std::fmt::Write as _;

use base64ct::{Base64, Encoding};
use phi_types::Timestamp;

use super::Keys;
use super::report::Shredded;
use crate::error::Error;
use crate::id::{Fingerprint, FullId};
use crate::signer::{PublicKey, Signer};
use crate::store::Residue;

const TITLE: &str = "phi-keys certificate of destruction v1";
const SIGNATURE: &str = "signature ";

/// A signed statement that the keys of one scope were deleted: unreadable live since one time, irrecoverable after another,
/// if copies of the key tables are kept no longer than was said. `SPEC.md` describes the text. It names the subject by the
/// store's pseudonym only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    text: String,
    fields: Fields,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Fields {
    store: [u8; 32],
    tenant: String,
    scope: [u8; 32],
    generation: u64,
    deleted: Timestamp,
    unreadable: Timestamp,
    irrecoverable: Timestamp,
    keys: Vec<FullId>,
    residues: Vec<Residue>,
    /// Algorithm and public key.
    signer: String,
}

impl Keys {
    /// Certifies a shred. `key_backup_horizon` is how long any copy of the key tables is kept that this store's shred does
    /// not reach: backups, snapshots, archived logs, replicas, and the residues that the shred reported. It is the caller's
    /// statement; nothing here can check it.
    ///
    /// # Errors
    /// [`Error::Config`] for a shred of another tenant or store; [`Error::Sign`] when the signer gives no signature.
    pub async fn certify(
        &self,
        shredded: &Shredded,
        key_backup_horizon: Duration,
        signer: &dyn Signer,
    ) -> Result<Certificate, Error> {
        let (slot, store) = (&shredded.slot, self.fingerprint());
        let Some(scope) = slot.scope.filter(|_| slot.tenant == self.tenant() && shredded.store.matches(&store)) else {
            return Err(Error::Config("certify a shred with a key manager of its own store and tenant"));
        };
        // Leases of other processes may last that long, by clocks that differ; those of this one ended at once.
        let unreadable = shredded.at.saturating_add(self.window());
        let fields = Fields {
            store: *store.as_bytes(),
            tenant: slot.tenant.clone(),
            scope,
            generation: shredded.generation,
            deleted: shredded.at,
            unreadable,
            irrecoverable: shredded.at.saturating_add(key_backup_horizon).max(unreadable),
            keys: shredded.keys.clone(),
            residues: shredded.residues.clone(),
            signer: signer_text(&signer.public_key()),
        };
        let mut text = fields.to_string();
        let signature = signer.sign(text.as_bytes()).await.map_err(Error::Sign)?;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\n{SIGNATURE}{}", Base64::encode_string(&signature));
        Ok(Certificate { text, fields })
    }
}

impl Certificate {
    /// Reads a certificate and checks its signature, with a public key that is known from elsewhere.
    ///
    /// # Errors
    /// [`CertificateError`] for a text that is no certificate, of another signer, or not signed as it is.
    pub fn verify(text: &str, public_key: &PublicKey) -> Result<Self, CertificateError> {
        let (signed, signature) = text.split_once("\n\n").ok_or(CertificateError::Malformed)?;
        let signed = format!("{signed}\n");
        let signature = signature.strip_prefix(SIGNATURE).and_then(|rest| rest.strip_suffix('\n'));
        let signature = signature.and_then(|text| Base64::decode_vec(text).ok()).ok_or(CertificateError::Malformed)?;
        let fields = Fields::from_str(&signed)?;
        if fields.signer != signer_text(public_key) {
            return Err(CertificateError::OtherSigner);
        }
        public_key.verify(signed.as_bytes(), &signature).map_err(|_| CertificateError::Signature)?;
        Ok(Self { text: text.to_owned(), fields })
    }

    /// The text, to be kept.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The key store.
    #[must_use]
    pub const fn store(&self) -> Fingerprint {
        Fingerprint::from_bytes(self.fields.store)
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.fields.tenant
    }

    /// The pseudonym of the subject in that store.
    #[must_use]
    pub const fn scope(&self) -> &[u8; 32] {
        &self.fields.scope
    }

    /// The generation of the store with the shred: a copy of a lower one may hold the keys.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.fields.generation
    }

    /// When the keys were deleted from the store.
    #[must_use]
    pub const fn deleted(&self) -> Timestamp {
        self.fields.deleted
    }

    /// From when no process can use them any more: their leases are over, and what is allowed beyond those in outages is too.
    #[must_use]
    pub const fn unreadable_since(&self) -> Timestamp {
        self.fields.unreadable
    }

    /// From when no copy of them is left anywhere, if what was said about copies holds.
    #[must_use]
    pub const fn irrecoverable_after(&self) -> Timestamp {
        self.fields.irrecoverable
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &[FullId] {
        &self.fields.keys
    }

    /// Where the store itself may hold copies until then.
    #[must_use]
    pub fn residues(&self) -> &[Residue] {
        &self.fields.residues
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What is signed.
impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{TITLE}")?;
        writeln!(f, "store {}", FullId::from_bytes(self.store))?;
        writeln!(f, "tenant {}", self.tenant)?;
        writeln!(f, "scope {}", FullId::from_bytes(self.scope))?;
        writeln!(f, "generation {}", self.generation)?;
        writeln!(f, "deleted {}", self.deleted)?;
        writeln!(f, "unreadable-live-since {}", self.unreadable)?;
        writeln!(f, "irrecoverable-after {}", self.irrecoverable)?;
        self.keys.iter().try_for_each(|key| writeln!(f, "key {key}"))?;
        self.residues.iter().try_for_each(|residue| writeln!(f, "residue {residue}"))?;
        writeln!(f, "residue backups")?;
        writeln!(f, "signer {}", self.signer)
    }
}

impl FromStr for Fields {
    type Err = CertificateError;

    /// Accepts only what is written.
    fn from_str(text: &str) -> Result<Self, CertificateError> {
        let malformed = || CertificateError::Malformed;
        let mut lines = text.lines().peekable();
        if lines.next().ok_or_else(malformed)? != TITLE {
            return Err(CertificateError::Malformed);
        }
        let mut field = |name: &str| {
            let value = lines.next_if(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))?;
            value.get(name.len() + 1..)
        };
        let time = |text: Option<&str>| text.and_then(|text| text.parse().ok()).ok_or_else(malformed);
        let fields = Self {
            store: bytes(field("store"))?,
            tenant: field("tenant").ok_or_else(malformed)?.to_owned(),
            scope: bytes(field("scope"))?,
            generation: field("generation").and_then(|text| text.parse().ok()).ok_or_else(malformed)?,
            deleted: time(field("deleted"))?,
            unreadable: time(field("unreadable-live-since"))?,
            irrecoverable: time(field("irrecoverable-after"))?,
            keys: core::iter::from_fn(|| field("key"))
                .map(|text| bytes(Some(text)).map(FullId::from_bytes))
                .collect::<Result<_, _>>()?,
            residues: core::iter::from_fn(|| field("residue"))
                .take_while(|text| *text != "backups")
                .map(|text| Residue::from_text(text).ok_or_else(malformed))
                .collect::<Result<_, _>>()?,
            signer: field("signer").ok_or_else(malformed)?.to_owned(),
        };
        if fields.to_string() == text { Ok(fields) } else { Err(CertificateError::Malformed) }
    }
}

fn signer_text(public_key: &PublicKey) -> String {
    let key = public_key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("{} {key}", public_key.algorithm())
}

/// Thirty-two bytes in lower-case hexadecimal digits; the caller sees that they are written the same.
fn bytes(text: Option<&str>) -> Result<[u8; 32], CertificateError> {
    let (digits, []) = text.unwrap_or_default().as_bytes().as_chunks::<2>() else {
        return Err(CertificateError::Malformed);
    };
    let digits = digits.iter().map(|pair| {
        let pair = core::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    });
    digits.collect::<Option<Vec<_>>>().and_then(|bytes| bytes.try_into().ok()).ok_or(CertificateError::Malformed)
}

/// A text is not a certificate of this signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateError {
    /// It is not a certificate, or of a later version.
    Malformed,
    /// It names another signer.
    OtherSigner,
    /// The signature is not right: the text was altered.
    Signature,
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => {
                "the text is no certificate of destruction of version 1: give the whole text as it was written"
            }
            Self::OtherSigner => "the certificate names another signer: give the public key of whoever signed it",
            Self::Signature => "the signature of the certificate is not right: the text was altered",
        })
    }
}

impl StdError for CertificateError {}
