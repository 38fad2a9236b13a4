//! The declarations of indexes: constants of the code.

use phi_keys::Keys;
use phi_keys::tlv::{TlvError, Writer};

use super::tagger::Opened;
use super::{BlindIndex, CompoundIndex, IndexError, PartitionedIndex, Transform};

/// Bits of HMAC in a tag unless the index says otherwise: unequal values do not collide in practice.
const DEFAULT_BITS: u16 = 128;

/// The version of tags and index keys unless the index says otherwise.
const FIRST_VERSION: u8 = 1;

/// A field of a compound index, and its transform.
pub(crate) type Part = (&'static str, Transform);

/// What every kind of index is declared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) record_type: &'static str,
    pub(crate) fields: Fields,
    pub(crate) name: &'static str,
    pub(crate) bits: u16,
    pub(crate) version: u8,
    /// 1 for an index that is not partitioned.
    pub(crate) partitions: u16,
    pub(crate) replaces: Option<&'static Self>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fields {
    One(Part),
    Many(&'static [Part]),
}

impl Declared {
    const fn new(record_type: &'static str, fields: Fields, name: &'static str) -> Self {
        Self { record_type, fields, name, bits: DEFAULT_BITS, version: FIRST_VERSION, partitions: 1, replaces: None }
    }

    const fn bits(mut self, bits: u16) -> Self {
        self.bits = match bits {
            ..8 => 8,
            8..=256 => bits,
            257.. => 256,
        };
        self
    }

    const fn version(mut self, version: u8) -> Self {
        self.version = if version == 0 { FIRST_VERSION } else { version };
        self
    }

    const fn replaces(mut self, old: &'static Self) -> Self {
        if self.version <= old.version {
            self.version = old.version.saturating_add(1);
        }
        self.replaces = Some(old);
        self
    }

    /// The index itself, then those that it replaces.
    pub(super) fn generations(&self) -> impl Iterator<Item = &Self> {
        core::iter::successors(Some(self), |declared| declared.replaces)
    }

    /// What the index key is derived from, beside the domain key; `SPEC.md` section 5.
    pub(super) fn key_info(&self, tenant: &str) -> Result<Vec<u8>, TlvError> {
        let mut info = Writer::new("");
        info.field(1, tenant.as_bytes())?;
        info.field(2, self.record_type.as_bytes())?;
        if let Fields::One((field, _)) = self.fields {
            info.field(3, field.as_bytes())?;
        }
        info.field(4, self.name.as_bytes())?;
        info.field(5, &[self.version])?;
        if let Fields::Many(parts) = self.fields {
            for (field, _) in parts {
                info.repeated(6, &[field.as_bytes()])?;
            }
        }
        Ok(info.finish())
    }
}

/// What every kind of index is declared with, written once.
macro_rules! options {
    () => {
        /// Shortens the tags to this many bits, from 8 to 256; other numbers are taken as the nearest of these.
        ///
        /// With `b` bits a search among `n` rows finds about `n / 2^b` others, which opening the rows weeds out, and an
        /// attacker with the index key is as unsure. The number cannot change once rows are indexed, except under
        /// another [`version`](Self::version). [`IndexPlan`](super::IndexPlan) says which number is right.
        #[must_use]
        pub const fn bits(mut self, bits: u16) -> Self {
            self.0 = self.0.bits(bits);
            self
        }

        /// The version of the index, 1 unless set; 0 is taken as 1. Every version has a key of its own.
        #[must_use]
        pub const fn version(mut self, version: u8) -> Self {
            self.0 = self.0.version(version);
            self
        }

        /// Replaces another index over the same values, in place: what is written has tags of this index, and a search
        /// looks for those of both. Takes the next version unless a higher one is set.
        ///
        /// Reseal the rows, and then declare the index without this, under the [`version`](Self::version) it has now.
        /// While both kinds of tags are there, a unique constraint on the column sees no equality between them: search
        /// within the transaction that inserts.
        #[must_use]
        pub const fn replaces(mut self, old: &'static Self) -> Self {
            self.0 = self.0.replaces(&old.0);
            self
        }

        #[cfg(any(feature = "sqlite", feature = "postgres"))]
        pub(crate) const fn declared(&self) -> &Declared {
            &self.0
        }

        /// The version of the index, which is the first byte of its tags.
        #[must_use]
        pub const fn current_version(&self) -> u8 {
            self.0.version
        }

        /// Bits of a tag, without the version.
        #[must_use]
        pub const fn tag_bits(&self) -> u16 {
            self.0.bits
        }

        /// The name of the index within its record type.
        #[must_use]
        pub const fn name(&self) -> &'static str {
            self.0.name
        }
    };
}

/// What an index is over, declared once in the code.
///
/// Record type, field and name are part of the key: they are constants that outlive table and column names.
///
/// An index is changed by declaring another one that [`replaces`](Self::replaces) it:
/// ```
/// use phi_crypto::{BlindIndex, IndexSpec, Transform};
///
/// const FIRST: IndexSpec = BlindIndex::exact("Patient", "ssn", "by_ssn", Transform::Exact);
/// const BY_SSN: IndexSpec = BlindIndex::exact("Patient", "ssn", "by_ssn", Transform::Digits).replaces(&FIRST);
/// assert_eq!((FIRST.current_version(), BY_SSN.current_version()), (1, 2));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexSpec(pub(super) Declared);

impl IndexSpec {
    options!();

    pub(super) const fn new(
        record_type: &'static str,
        field: &'static str,
        name: &'static str,
        transform: Transform,
    ) -> Self {
        Self(Declared::new(record_type, Fields::One((field, transform)), name))
    }

    /// Spreads the rows of equal values over this many tags, from 2 to 1,024; other numbers are taken as the nearest of
    /// these. A search looks for all of them.
    #[must_use]
    pub const fn partitioned(mut self, partitions: u16) -> PartitionedSpec {
        self.0.partitions = match partitions {
            ..2 => 2,
            2..=1024 => partitions,
            1025.. => 1024,
        };
        PartitionedSpec(self.0)
    }

    /// The index under a tenant's key.
    ///
    /// # Errors
    /// [`IndexError`] when the tenant's index key cannot be had.
    pub async fn open(self, keys: &Keys) -> Result<BlindIndex, IndexError> {
        Ok(BlindIndex { opened: Opened::open(self.0, keys).await?, spec: self })
    }
}

/// An index whose equal values are spread over several tags, declared once in the code.
///
/// The number of partitions may grow in place: a search for more tags finds the rows of fewer. It must not shrink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionedSpec(pub(super) Declared);

impl PartitionedSpec {
    options!();

    /// As [`replaces`](Self::replaces), for an index that was not partitioned.
    #[must_use]
    pub const fn replaces_unpartitioned(mut self, old: &'static IndexSpec) -> Self {
        self.0 = self.0.replaces(&old.0);
        self
    }

    /// How many tags the rows of one value are spread over.
    #[must_use]
    pub const fn partitions(&self) -> u16 {
        self.0.partitions
    }

    /// The index under a tenant's key.
    ///
    /// # Errors
    /// [`IndexError`] when the tenant's index key cannot be had.
    pub async fn open(self, keys: &Keys) -> Result<PartitionedIndex, IndexError> {
        Ok(PartitionedIndex { opened: Opened::open(self.0, keys).await?, spec: self })
    }
}

/// An index over several fields at once, declared once in the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompoundSpec<const N: usize>(pub(super) Declared);

impl<const N: usize> CompoundSpec<N> {
    options!();

    pub(super) const fn new(record_type: &'static str, name: &'static str, fields: &'static [Part; N]) -> Self {
        Self(Declared::new(record_type, Fields::Many(fields), name))
    }

    /// The index under a tenant's key.
    ///
    /// # Errors
    /// [`IndexError`] when the tenant's index key cannot be had.
    pub async fn open(self, keys: &Keys) -> Result<CompoundIndex<N>, IndexError> {
        Ok(CompoundIndex { opened: Opened::open(self.0, keys).await?, spec: self })
    }
}
