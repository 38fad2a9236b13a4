//! What a record of an anchor says, by `SPEC.md` section 10.

use subtle::ConstantTimeEq;

use crate::backend::MacKey;
use crate::error::Error;
use crate::id::{FullId, KeyId};
use crate::scope::KeyUse;
use crate::store::{KeyRow, Slot};
use crate::tlv::{self, Writer};

/// The domain of a record.
const DOMAIN: &str = "phi/anchor/v1";
/// The longest list of keys in one record.
pub(super) const KEYS: usize = 16_384;
/// A kid, a number, and what is kept of a MAC.
const ROW: usize = 32;

/// Which of the rows that a key had one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Revision {
    pub(super) number: u64,
    /// The first bytes of the row's MAC: where a store went two ways, two rows have one number.
    pub(super) mac: [u8; 8],
}

impl Revision {
    pub(super) fn of(row: &KeyRow) -> Self {
        Self { number: row.revision, mac: row.mac.first_chunk().copied().unwrap_or_default() }
    }
}

/// What a record says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// The store had this generation.
    Mark,
    /// A scope was shredded, with these keys.
    Shredded(Slot, Vec<FullId>),
    /// Keys were destroyed that belong to no shredded scope.
    Destroyed(Vec<FullId>),
    /// The rows of these keys had these revisions, after older rows had been accepted so often.
    Replaced(u32, Vec<(KeyId, Revision)>),
    /// Older rows are accepted for good: what was said of revisions before holds no longer.
    Accepted,
}

/// One record, or several when there are very many keys.
pub(super) fn encode(mac_key: &MacKey, generation: u64, record: &Record) -> Result<Vec<Vec<u8>>, Error> {
    let write = |kind: u8, further: &dyn Fn(&mut Writer) -> Result<(), Error>| {
        let mut list = Writer::new(DOMAIN);
        list.field(1, &[kind])?;
        list.field(2, &generation.to_be_bytes())?;
        further(&mut list)?;
        let mut record = list.finish();
        let mac = mac_key.mac(&record);
        record.extend_from_slice(&mac);
        Ok(record)
    };
    let ids = |kind, slot: Option<&Slot>, ids: &[FullId]| {
        // A scope without keys has a record as well.
        let parts: Vec<&[FullId]> = if ids.is_empty() { vec![&[]] } else { ids.chunks(KEYS).collect() };
        let one = |ids: &[FullId]| {
            write(kind, &|list| {
                if let Some(slot) = slot {
                    list.field(3, slot.tenant.as_bytes())?;
                    list.field(4, &[slot.key_use.code()])?;
                    list.field(5, slot.scope_bytes())?;
                }
                let ids = ids.iter().flat_map(|id| *id.as_bytes());
                Ok(list.field(6, &ids.collect::<Vec<_>>())?)
            })
        };
        parts.into_iter().map(one).collect()
    };
    match record {
        Record::Mark => Ok(vec![write(1, &|_| Ok(()))?]),
        Record::Shredded(slot, keys) => ids(2, Some(slot), keys),
        Record::Destroyed(keys) => ids(3, None, keys),
        Record::Replaced(accepted, rows) => {
            let one = |rows: &[(KeyId, Revision)]| {
                let mut bytes = Vec::with_capacity(rows.len() * ROW);
                for (kid, Revision { number, mac }) in rows {
                    bytes.extend_from_slice(kid.as_bytes());
                    bytes.extend_from_slice(&number.to_be_bytes());
                    bytes.extend_from_slice(mac);
                }
                write(4, &|list| {
                    list.field(7, &bytes)?;
                    Ok(list.field(8, &accepted.to_be_bytes())?)
                })
            };
            rows.chunks(KEYS).map(one).collect()
        }
        Record::Accepted => Ok(vec![write(5, &|_| Ok(()))?]),
    }
}

/// The generation of a record, and what it says; `None` when the root key did not authenticate it.
pub(super) fn decode(mac_key: &MacKey, record: &[u8]) -> Option<(u64, Record)> {
    let (list, mac) = record.split_last_chunk::<32>()?;
    if !bool::from(mac_key.mac(list).ct_eq(mac)) {
        return None;
    }
    let fields = tlv::read(DOMAIN, list)?;
    let ids = |bytes: &[u8]| match bytes.as_chunks() {
        (ids, []) => Some(ids.iter().map(|id| FullId::from_bytes(*id)).collect()),
        _ => None,
    };
    let (generation, record) = match fields.as_slice() {
        [(1, [1]), (2, generation)] => (generation, Record::Mark),
        [(1, [2]), (2, generation), (3, tenant), (4, [key_use]), (5, scope), (6, keys)] => {
            let scope = (*scope).try_into().ok()?;
            let slot = Slot::new(core::str::from_utf8(tenant).ok()?, KeyUse::from_code(*key_use)?, Some(scope));
            (generation, Record::Shredded(slot, ids(keys)?))
        }
        [(1, [3]), (2, generation), (6, keys)] => (generation, Record::Destroyed(ids(keys)?)),
        [(1, [4]), (2, generation), (7, rows), (8, accepted)] => {
            let (rows, []) = rows.as_chunks::<ROW>() else { return None };
            let row = |row: &[u8; ROW]| {
                let (kid, rest) = row.split_first_chunk()?;
                let (number, mac) = rest.split_first_chunk()?;
                let (number, mac) = (u64::from_be_bytes(*number), mac.try_into().ok()?);
                Some((KeyId::from_bytes(*kid), Revision { number, mac }))
            };
            let accepted = u32::from_be_bytes((*accepted).try_into().ok()?);
            (generation, Record::Replaced(accepted, rows.iter().map(row).collect::<Option<_>>()?))
        }
        [(1, [5]), (2, generation)] => (generation, Record::Accepted),
        _ => return None,
    };
    Some((u64::from_be_bytes((*generation).try_into().ok()?), record))
}
