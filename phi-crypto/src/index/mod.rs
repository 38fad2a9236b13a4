//! Finding rows by the exact value of a sealed field without opening any.

mod tag;
mod transform;

use core::fmt;

use phi_keys::derive::Label;
use phi_keys::tlv::Writer;
use phi_keys::{DomainKey, KeyUse, Keys};
use ring::hmac;
use zeroize::Zeroizing;

pub use tag::Tag;
pub use transform::Transform;

/// The version of tags and index keys that this crate writes.
const VERSION: u8 = 1;

/// Bits of HMAC in a tag unless the index says otherwise: unequal values do not collide in practice.
const DEFAULT_BITS: u16 = 128;

/// Bytes of the input of a tag before the value.
const HEAD_LEN: usize = 12;

/// What an index is over, declared once in the code.
///
/// Record type, field and name are part of the key: they are constants that outlive table and column names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexSpec {
    record_type: &'static str,
    field: &'static str,
    name: &'static str,
    transform: Transform,
    bits: u16,
}

impl IndexSpec {
    /// Shortens the tags to this many bits, from 8 to 256; other numbers are taken as the nearest of these.
    ///
    /// With `b` bits a search among `n` rows finds about `n / 2^b` others, which opening the rows weeds out, and an
    /// attacker with the index key is as unsure. The number cannot change once rows are indexed.
    #[must_use]
    pub const fn bits(mut self, bits: u16) -> Self {
        self.bits = match bits {
            ..8 => 8,
            8..=256 => bits,
            257.. => 256,
        };
        self
    }

    /// The index under a tenant's key.
    ///
    /// # Errors
    /// [`IndexError`] when the tenant's index key cannot be had.
    pub async fn open(self, keys: &Keys) -> Result<BlindIndex, IndexError> {
        let domain = keys.domain_key(KeyUse::Index).await?;
        let key =
            domain.derive(Label::BLIND_INDEX, &self.key_info(keys.tenant())?).map_err(|_| IndexError::LeaseEnded)?;
        Ok(BlindIndex { tagger: Tagger::new(self, &key), domain })
    }

    /// What the index key is derived from, beside the domain key.
    fn key_info(&self, tenant: &str) -> Result<Vec<u8>, IndexError> {
        let mut info = Writer::new("");
        let names = [tenant, self.record_type, self.field, self.name].map(str::as_bytes);
        for (tag, value) in (1..).zip(names.into_iter().chain([&[VERSION][..]])) {
            info.field(tag, value).map_err(|_| IndexError::TooLong)?;
        }
        Ok(info.finish())
    }
}

/// Computes the tags of one index. Valid while the lease of the index key is: open it per request or job.
///
/// ```
/// # use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).build().await?;
/// use phi_crypto::{BlindIndex, IndexSpec, Transform};
///
/// const BY_SSN: IndexSpec = BlindIndex::exact("Patient", "ssn", "by_ssn", Transform::Digits);
///
/// let by_ssn = BY_SSN.open(&keys).await?;
/// // On write: `INSERT INTO patients (id, ssn, ssn_tag) VALUES (?, ?, ?)`, bound to the sealed value and the tag.
/// let stored = by_ssn.tag("078-05-1120")?;
/// // On search: `SELECT id FROM patients WHERE ssn_tag = ?`.
/// let wanted = by_ssn.tag("078 05 1120")?;
/// assert_eq!(stored, wanted);
/// # Ok(()) }
/// ```
///
/// # What an index gives away
/// Whoever reads the column learns which rows hold equal values and how often each value occurs, over all patients of the
/// tenant; nothing about values that differ in one character. Over a column of few values (sex, ZIP3, year of birth)
/// the frequencies alone give the values away: index identifiers that are nearly unique, and nothing else.
///
/// Whoever holds the index key can compute the tags of all possible values, and a billion social security numbers are
/// minutes of work. The key therefore never leaves the process, and a tag outlives the key of its patient: shred with
/// `shred_subject`, which sets the tags to `NULL`.
///
/// An index proves nothing: whoever writes the database can copy a tag from one row to another. Open the row that was
/// found, and compare.
///
/// # Absent and empty values
/// An absent value has no tag: store `NULL`. A value of which the transform leaves nothing has none either, so that a
/// search for it finds nothing rather than every patient without the identifier.
#[derive(Clone)]
pub struct BlindIndex {
    tagger: Tagger,
    domain: DomainKey,
}

/// An index under its key.
#[derive(Clone)]
struct Tagger {
    spec: IndexSpec,
    key: hmac::Key,
}

impl Tagger {
    fn new(spec: IndexSpec, key: &[u8; 32]) -> Self {
        Self { spec, key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    fn tag(&self, value: &str) -> Result<Option<Tag>, IndexError> {
        // TLV(1 transform, 2 value), in one buffer: one update is cheaper than three, and the buffer is wiped.
        let mut message = Zeroizing::new(Vec::with_capacity(HEAD_LEN.saturating_add(value.len())));
        message.extend_from_slice(&[2, 1, 0, 0, 0, 1, self.spec.transform.id(), 2, 0, 0, 0, 0]);
        if !self.spec.transform.apply(value, &mut message) {
            return Ok(None);
        }
        let length = u32::try_from(message.len().saturating_sub(HEAD_LEN)).map_err(|_| IndexError::TooLong)?;
        if let Some(place) = message.get_mut(HEAD_LEN - 4..HEAD_LEN) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        Ok(Some(Tag::new(VERSION, hmac::sign(&self.key, &message).as_ref(), self.spec.bits)))
    }
}

impl BlindIndex {
    /// Declares an index for exact matches: over a field of a record type, under a name of its own.
    #[must_use]
    pub const fn exact(
        record_type: &'static str,
        field: &'static str,
        name: &'static str,
        transform: Transform,
    ) -> IndexSpec {
        IndexSpec { record_type, field, name, transform, bits: DEFAULT_BITS }
    }

    /// The tag to store with a value, or to look for. `None`, to be stored as `NULL`, where the transform leaves nothing.
    ///
    /// # Errors
    /// [`IndexError`] when the lease of the index key has ended or the value is 4 GiB or longer.
    pub fn tag(&self, value: &str) -> Result<Option<Tag>, IndexError> {
        if !self.domain.is_live() {
            return Err(IndexError::LeaseEnded);
        }
        self.tagger.tag(value)
    }

    /// What the index is over.
    #[must_use]
    pub const fn spec(&self) -> &IndexSpec {
        &self.tagger.spec
    }
}

impl fmt::Debug for BlindIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spec = &self.tagger.spec;
        write!(f, "BlindIndex({}.{} {})", spec.record_type, spec.field, spec.name)
    }
}

/// A tag was not computed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum IndexError {
    /// The index key cannot be had.
    Key(phi_keys::Error),
    /// The lease of the index key has ended.
    LeaseEnded,
    /// The value, or a name of the index, is 4 GiB or longer.
    TooLong,
    /// A column of tags holds something else.
    NotATag,
}

impl fmt::Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key(_) => "the key of the index cannot be had",
            Self::LeaseEnded => "the lease of the index key has ended; open the index again",
            Self::TooLong => "the value is 4 GiB or longer; index a digest of it",
            Self::NotATag => "there is no tag in this place; look for another write to the column",
        })
    }
}

impl core::error::Error for IndexError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Key(source) => Some(source),
            Self::LeaseEnded | Self::TooLong | Self::NotATag => None,
        }
    }
}

impl From<phi_keys::Error> for IndexError {
    fn from(source: phi_keys::Error) -> Self {
        Self::Key(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
    }

    /// The vectors were made by the independent implementation in `tests/verify.py`.
    #[test]
    fn tags_are_those_of_the_vectors() {
        let vectors: serde_json::Value = serde_json::from_str(include_str!("../../tests/vectors/v1.json")).unwrap();
        let cases = vectors["tags"].as_array().unwrap();
        assert!(cases.len() > 5);
        for case in cases {
            let text = |name: &str| -> &'static str { case[name].as_str().unwrap().to_owned().leak() };
            let transform = match case["transform"].as_u64() {
                Some(1) => Transform::Exact,
                Some(2) => Transform::Digits,
                Some(3) => Transform::TrimLowercase,
                other => panic!("{other:?}"),
            };
            let bits = u16::try_from(case["bits"].as_u64().unwrap()).unwrap();
            let spec = BlindIndex::exact(text("record_type"), text("field"), text("index"), transform).bits(bits);

            let domain: [u8; 32] = unhex(text("domain_key")).try_into().unwrap();
            let key = phi_keys::derive::expand(&domain, Label::BLIND_INDEX, &spec.key_info(text("tenant")).unwrap());
            assert_eq!(key.to_vec(), unhex(text("index_key")));
            let tag = Tagger::new(spec, &key).tag(text("value")).unwrap();
            assert_eq!(tag.map(|tag| tag.as_bytes().to_vec()), case["tag"].as_str().map(unhex), "{case}");
        }
    }

    #[test]
    fn every_part_of_a_spec_has_a_key_of_its_own() {
        let base = BlindIndex::exact("Patient", "ssn", "by_ssn", Transform::Exact);
        let infos = [
            base.key_info("a"),
            base.key_info("b"),
            BlindIndex::exact("Person", "ssn", "by_ssn", Transform::Exact).key_info("a"),
            BlindIndex::exact("Patient", "mrn", "by_ssn", Transform::Exact).key_info("a"),
            BlindIndex::exact("Patient", "ssn", "by_id", Transform::Exact).key_info("a"),
            BlindIndex::exact("Patients", "sn", "by_ssn", Transform::Exact).key_info("a"),
        ]
        .map(Result::unwrap);
        let distinct: std::collections::BTreeSet<_> = infos.iter().collect();
        assert_eq!(distinct.len(), infos.len());
    }
}
