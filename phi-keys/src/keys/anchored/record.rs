//! What a record of an anchor says, by `SPEC.md` section 10.

use subtle::ConstantTimeEq;

use crate::backend::MacKey;
use crate::error::Error;
use crate::id::{FullId, KeyId};
use crate::scope::KeyUse;
use crate::store::Slot;
use crate::tlv::{self, Writer};

/// The domain of a record.
const DOMAIN: &str = "phi/anchor/v1";
/// The longest list of keys in one record.
pub(super) const KEYS: usize = 16_384;
/// A kid and a revision.
const REVISION: usize = 24;

/// What a record says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// The store had this generation.
    Mark,
    /// A scope was shredded, with these keys.
    Shredded(Slot, Vec<FullId>),
    /// Keys were destroyed that belong to no shredded scope.
    Destroyed(Vec<FullId>),
    /// The rows of these keys had these revisions.
    Replaced(Vec<(KeyId, u64)>),
    /// Older rows were accepted for good: what was said of revisions before holds no longer.
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
        Record::Replaced(rows) => {
            let one = |rows: &[(KeyId, u64)]| {
                let mut bytes = Vec::with_capacity(rows.len() * REVISION);
                for (kid, revision) in rows {
                    bytes.extend_from_slice(kid.as_bytes());
                    bytes.extend_from_slice(&revision.to_be_bytes());
                }
                write(4, &|list| Ok(list.field(7, &bytes)?))
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
        [(1, [4]), (2, generation), (7, rows)] => {
            let (rows, []) = rows.as_chunks::<REVISION>() else { return None };
            let row = |row: &[u8; REVISION]| {
                let (kid, revision) = row.split_first_chunk()?;
                Some((KeyId::from_bytes(*kid), u64::from_be_bytes(revision.try_into().ok()?)))
            };
            (generation, Record::Replaced(rows.iter().map(row).collect::<Option<_>>()?))
        }
        [(1, [5]), (2, generation)] => (generation, Record::Accepted),
        _ => return None,
    };
    Some((u64::from_be_bytes((*generation).try_into().ok()?), record))
}
