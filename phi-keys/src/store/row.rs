//! One row of a key store.

use core::fmt;

use phi_types::Timestamp;
use subtle::ConstantTimeEq;

use crate::backend::MacKey;
use crate::id::FullId;
use crate::scope::KeyUse;
use crate::store::StoreError;
use crate::tlv::{self, TlvError, Writer};

/// The domain of the list that a row's MAC covers.
const MAC_DOMAIN: &str = "phi/row/v1";
/// The tag of [`KeyRow::since`].
const SINCE: u8 = 11;
/// The tag of [`KeyRow::position`].
const POSITION: u8 = 12;
/// The tag of [`KeyRow::revision`].
const REVISION: u8 = 13;
/// The domain of the list that a wrapped key is bound to.
const WRAP_DOMAIN: &str = "phi/wrap/v1";

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RowKind {
    /// A domain key, wrapped under one or more KEKs; the store root key is one.
    Domain,
    /// A data key, wrapped under its domain key.
    Data,
    /// The scope was shredded and never gets a key again.
    Tombstone,
    /// Counts what must not be rolled back.
    Generation,
}

impl RowKind {
    /// Every kind, in the order of the codes.
    pub const ALL: [Self; 4] = [Self::Domain, Self::Data, Self::Tombstone, Self::Generation];

    /// The number that is stored.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Domain => 1,
            Self::Data => 2,
            Self::Tombstone => 3,
            Self::Generation => 4,
        }
    }

    /// The reverse of [`code`](Self::code).
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Whether the row holds a key, whose kid is then unique.
    #[must_use]
    pub const fn has_key(self) -> bool {
        matches!(self, Self::Domain | Self::Data)
    }
}

impl fmt::Display for RowKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Domain => "domain key row",
            Self::Data => "data key row",
            Self::Tombstone => "tombstone",
            Self::Generation => "generation row",
        })
    }
}

/// What may be done with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum KeyState {
    /// A domain key that opens and does not seal yet, so that every process holds it before one uses it.
    Pending,
    /// Seals and opens.
    Active,
    /// Opens only.
    DecryptOnly,
    /// Does nothing; kept until nothing refers to it.
    Retired,
    /// Gone.
    Destroyed,
}

impl KeyState {
    /// Every state, in the order in which a key passes through them.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Active, Self::DecryptOnly, Self::Retired, Self::Destroyed];

    /// The number that is stored.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Pending => 1,
            Self::Active => 2,
            Self::DecryptOnly => 3,
            Self::Retired => 4,
            Self::Destroyed => 5,
        }
    }

    /// The reverse of [`code`](Self::code).
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }

    /// Whether a key in this state opens what it sealed, and what another process seals that knows of its next state already.
    #[must_use]
    pub const fn opens(self) -> bool {
        matches!(self, Self::Pending | Self::Active | Self::DecryptOnly)
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::DecryptOnly => "decrypt_only",
            Self::Retired => "retired",
            Self::Destroyed => "destroyed",
        })
    }
}

/// Where rows belong together: one tenant, one use, one scope. `Debug` leaves the pseudonym out: it links a subject's rows.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Slot {
    /// The tenant; empty for the store's own rows.
    pub tenant: String,
    /// What the keys are for.
    pub key_use: KeyUse,
    /// The pseudonym of the scope, or `None` for domain keys.
    pub scope: Option<[u8; 32]>,
}

impl Slot {
    /// A slot.
    #[must_use]
    pub fn new(tenant: impl Into<String>, key_use: KeyUse, scope: Option<[u8; 32]>) -> Self {
        Self { tenant: tenant.into(), key_use, scope }
    }

    /// Where the store root key and the generation row are.
    #[must_use]
    pub fn root() -> Self {
        Self::new("", KeyUse::Root, None)
    }

    /// The pseudonym as it is stored: empty for `None`.
    #[must_use]
    pub fn scope_bytes(&self) -> &[u8] {
        self.scope.as_ref().map_or(&[], <[u8; 32]>::as_slice)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scope = if self.scope.is_some() { " [scope]" } else { "" };
        write!(f, "Slot({:?} {}{scope})", self.tenant, self.key_use)
    }
}

/// One row. All fields are stored as they are and covered by [`mac`](Self::mac); none of them is secret.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyRow {
    /// What the row is.
    pub kind: RowKind,
    /// Where it belongs.
    pub slot: Slot,
    /// Counts the keys of a slot from 1; 0 for tombstones and the generation row.
    pub version: u32,
    /// The committing id of the key, for rows that hold one.
    pub full_id: Option<FullId>,
    /// The key that wraps this one, for data keys.
    pub parent: Option<FullId>,
    /// What may be done with the key.
    pub state: KeyState,
    /// When the row was made.
    pub created: Timestamp,
    /// The wrapped key; for a tombstone the full ids of the keys that were shredded, for the generation row the
    /// generation as eight bytes, big-endian, and digests.
    pub wrapped: Vec<u8>,
    /// Since when the state holds; absent while it is the first one, which holds since [`created`](Self::created).
    pub since: Option<Timestamp>,
    /// Where a tombstone stands among the others, counted from 1.
    pub position: Option<u64>,
    /// How often the row of a key was replaced by a newer one: an anchor knows an older copy of the row by it.
    pub revision: u64,
    /// `HMAC-SHA-256` over all of the above under the store root key.
    pub mac: [u8; 32],
}

impl KeyRow {
    /// A row as a store reads it back. Nothing is verified here.
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "one argument for each column of the store")]
    pub const fn new(
        kind: RowKind,
        slot: Slot,
        version: u32,
        full_id: Option<FullId>,
        parent: Option<FullId>,
        state: KeyState,
        created: Timestamp,
        wrapped: Vec<u8>,
        mac: [u8; 32],
    ) -> Self {
        let (since, position, revision) = (None, None, 0);
        Self { kind, slot, version, full_id, parent, state, created, wrapped, since, position, revision, mac }
    }

    /// The fields that not every row has, for a store to keep as one value; empty when there is none.
    #[must_use]
    pub fn more(&self) -> Vec<u8> {
        if self.since.is_none() && self.position.is_none() && self.revision == 0 {
            return Vec::new();
        }
        let mut list = Writer::new("");
        // Three short fields in ascending order have an encoding.
        self.write_more(&mut list).map_or_else(|_| Vec::new(), |()| list.finish())
    }

    /// Takes back what [`more`](Self::more) gave.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] for a field that this version does not know, [`StoreError::Malformed`] for what no version
    /// writes.
    pub fn with_more(mut self, more: &[u8]) -> Result<Self, StoreError> {
        let malformed = || StoreError::Malformed("more");
        if more.is_empty() {
            return Ok(self);
        }
        for (tag, value) in tlv::read("", more).ok_or_else(malformed)? {
            let number = || value.try_into().map_err(|_| malformed());
            match tag {
                SINCE => {
                    let since = i64::from_be_bytes(number()?);
                    self.since = Some(Timestamp::from_unix_micros(since)).filter(|time| time.as_unix_micros() == since);
                }
                POSITION => self.position = Some(u64::from_be_bytes(number()?)),
                REVISION => self.revision = u64::from_be_bytes(number()?),
                unknown => return Err(StoreError::Unknown { column: "more", found: unknown.into() }),
            }
        }
        if self.more() == more { Ok(self) } else { Err(malformed()) }
    }

    fn write_more(&self, list: &mut Writer) -> Result<(), TlvError> {
        if let Some(since) = self.since {
            list.field(SINCE, &since.as_unix_micros().to_be_bytes())?;
        }
        if let Some(position) = self.position {
            list.field(POSITION, &position.to_be_bytes())?;
        }
        if self.revision == 0 { Ok(()) } else { list.field(REVISION, &self.revision.to_be_bytes()) }
    }

    /// The row that takes the place of this one, as yet with the same content and without a right MAC.
    pub(crate) fn successor(&self) -> Self {
        // At a row a nanosecond the number would last for five centuries.
        Self { revision: self.revision.saturating_add(1), ..self.clone() }
    }

    /// Whether two rows compete for one place.
    #[must_use]
    pub fn same_place(&self, other: &Self) -> bool {
        (self.kind, &self.slot, self.version) == (other.kind, &other.slot, other.version)
    }

    /// Whether a tombstone names every one of these full ids. What cannot be one is no key.
    pub(crate) fn names<'i>(&self, mut ids: impl Iterator<Item = &'i [u8]>) -> bool {
        let (named, _) = self.wrapped.as_chunks::<32>();
        ids.all(|id| id.len() != 32 || named.iter().any(|name| name == id))
    }

    /// What the MAC covers: every column but itself, and of the further fields those that there are.
    fn mac_input(&self) -> Result<Vec<u8>, TlvError> {
        let mut list = Writer::new(MAC_DOMAIN);
        list.field(1, &[self.kind.code()])?;
        list.field(2, self.slot.tenant.as_bytes())?;
        list.field(3, &[self.slot.key_use.code()])?;
        list.field(4, self.slot.scope_bytes())?;
        list.field(5, &self.version.to_be_bytes())?;
        list.field(6, self.full_id.as_ref().map_or(&[], |id| id.as_bytes().as_slice()))?;
        list.field(7, self.parent.as_ref().map_or(&[], |id| id.as_bytes().as_slice()))?;
        list.field(8, &[self.state.code()])?;
        list.field(9, &self.created.as_unix_micros().to_be_bytes())?;
        list.field(10, &self.wrapped)?;
        self.write_more(&mut list)?;
        Ok(list.finish())
    }

    /// Sets the MAC.
    pub(crate) fn authenticate(&mut self, mac_key: &MacKey) -> Result<(), TlvError> {
        self.mac = mac_key.mac(&self.mac_input()?);
        Ok(())
    }

    /// Whether the MAC is right.
    pub(crate) fn is_authentic(&self, mac_key: &MacKey) -> bool {
        self.mac_input().is_ok_and(|input| mac_key.mac(&input).ct_eq(&self.mac).into())
    }

    /// What the wrapped key is bound to: the row's identity, without what changes while the key stays.
    pub(crate) fn wrap_aad(&self) -> Result<Vec<u8>, TlvError> {
        let mut list = Writer::new(WRAP_DOMAIN);
        list.field(1, &[self.kind.code()])?;
        list.field(2, self.slot.tenant.as_bytes())?;
        list.field(3, &[self.slot.key_use.code()])?;
        if let Some(scope) = &self.slot.scope {
            list.field(4, scope)?;
        }
        if let Some(full_id) = &self.full_id {
            list.field(5, full_id.as_bytes())?;
        }
        list.field(6, &self.version.to_be_bytes())?;
        Ok(list.finish())
    }
}

impl fmt::Debug for KeyRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRow({} {} v{} {}", self.kind, self.slot.key_use, self.version, self.state)?;
        self.full_id.iter().try_for_each(|id| write!(f, " {}", id.kid()))?;
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend;
    use crate::derive::Label;

    #[test]
    fn further_fields_are_taken_back_as_they_were_given() {
        let plain = KeyRow::new(
            RowKind::Tombstone,
            Slot::root(),
            0,
            None,
            None,
            KeyState::Destroyed,
            Timestamp::UNIX_EPOCH,
            Vec::new(),
            [0; 32],
        );
        assert_eq!(plain.more(), b"");
        let mut row = plain.clone();
        (row.since, row.position) = (Some(Timestamp::from_unix_micros(-7)), Some(u64::MAX));
        row = row.successor();
        let more = row.more();
        assert_eq!(plain.clone().with_more(&more).unwrap(), row);
        assert_ne!(plain.mac_input().unwrap(), row.mac_input().unwrap());

        let unknown = plain.clone().with_more(&[1, 14, 0, 0, 0, 0]);
        assert!(matches!(unknown, Err(StoreError::Unknown { column: "more", found: 14 })), "{unknown:?}");
        // What is absent while it is 0 is not written as 0.
        let zero = [1, 13, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        for bad in [&[0][..], &[1, 11, 0, 0, 0, 1, 0], &zero, &more[..more.len() - 1], &[&more[..], &[0]].concat()] {
            assert!(matches!(plain.clone().with_more(bad), Err(StoreError::Malformed("more"))), "{bad:?}");
        }
    }

    #[test]
    fn macs_are_those_of_the_vectors() {
        let unhex = |value: &serde_json::Value| -> Vec<u8> {
            let text = value.as_str().unwrap();
            (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
        };
        let vectors: serde_json::Value = serde_json::from_str(include_str!("../../tests/vectors/v1.json")).unwrap();
        let vectors = &vectors["rows"];
        let root: [u8; 32] = unhex(&vectors["root"]).try_into().unwrap();
        let mut further = Vec::new();
        for (backend, case) in backend::all()
            .into_iter()
            .flat_map(|on| vectors["rows"].as_array().unwrap().iter().map(move |row| (on, row)))
        {
            let mac_key = MacKey::new(backend, backend.expand(&root, Label::ROW_MAC, &[]));
            let number = |name: &str| u8::try_from(case[name].as_u64().unwrap()).unwrap();
            let id = |name| unhex(&case[name]).try_into().ok().map(FullId::from_bytes);
            let slot = Slot::new(
                case["tenant"].as_str().unwrap(),
                KeyUse::from_code(number("key_use")).unwrap(),
                Some(unhex(&case["scope"]).try_into().unwrap()),
            );
            let row = KeyRow::new(
                RowKind::from_code(number("kind")).unwrap(),
                slot,
                number("version").into(),
                id("full_id"),
                id("parent"),
                KeyState::from_code(number("state")).unwrap(),
                Timestamp::from_unix_micros(case["created"].as_i64().unwrap()),
                unhex(&case["wrapped"]),
                unhex(&case["mac"]).try_into().unwrap(),
            );
            let row = row.with_more(&unhex(&case["more"])).unwrap();
            assert!(row.is_authentic(&mac_key));
            further.push((row.since.is_some(), row.position, row.revision));
            for other in [KeyRow { revision: row.revision + 1, ..row.clone() }, KeyRow { revision: 0, ..row.clone() }] {
                assert_eq!(other.is_authentic(&mac_key), other.revision == row.revision);
            }
        }
        assert_eq!(further[..3], [(true, None, 3), (false, None, 0), (false, Some(7), 0)]);
    }
}
