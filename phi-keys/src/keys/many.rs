//! Data keys of many scopes, with one reading of the store for those that are not in memory.

use std::collections::HashMap;

use super::cache::Kept;
use super::handle::{Handle, Lease};
use super::{DataKey, Keys};
use crate::error::Error;
use crate::id::KeyId;
use crate::scope::{KeyUse, Scope};
use crate::store::{KeyRow, KeyState, RowKind, Slot};

/// Keys that are asked of the store at once: a short lease must last until they are unwrapped.
const AT_ONCE: usize = 1024;

impl Keys {
    /// The data key of each scope: the one of the kid, as [`data_key_by_id`](Self::data_key_by_id), or without a kid the
    /// active one, as [`data_key`](Self::data_key). In order, each with its own result.
    ///
    /// For a list or a job over many patients: what is not in memory is read from the store together, where one by one each
    /// would wait for the database.
    ///
    /// ```
    /// use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore, Scope};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).build().await?;
    /// let (ward, office) = (Scope::group("ward 7"), Scope::group("office"));
    /// let kid = keys.data_key(&ward).await?.kid();
    ///
    /// let both = keys.data_key_many(&[(&ward, Some(kid)), (&office, None)]).await;
    /// assert!(both[0].as_ref().is_ok_and(|key| key.kid() == kid));
    /// assert!(both[1].as_ref().is_ok_and(|key| key.kid() != kid));
    /// # Ok(()) }
    /// ```
    pub async fn data_key_many(&self, wanted: &[(&Scope, Option<KeyId>)]) -> Vec<Result<DataKey, Error>> {
        let mut keys = Vec::with_capacity(wanted.len());
        for wanted in wanted.chunks(AT_ONCE) {
            let found: Vec<_> = wanted.iter().map(|(scope, kid)| self.0.data.find(scope, *kid)).collect();
            let missing = wanted.iter().zip(&found).filter(|(_, found)| matches!(found, Ok(None)));
            let missing = missing.map(|(wanted, _)| *wanted).collect::<Vec<_>>();
            let mut read = self.read_many(&missing).await.into_iter();
            for ((scope, kid), found) in wanted.iter().zip(found) {
                keys.push(match found {
                    Ok(Some(found)) => Ok(DataKey(found.into_handle())),
                    Err(error) => Err(error),
                    Ok(None) => match read.next().flatten() {
                        Some(read) => read.map(DataKey),
                        // Whatever is not as it should be is looked at alone, and mended or reported.
                        None => Box::pin(self.fetch(scope, *kid)).await,
                    },
                });
            }
        }
        keys
    }

    /// What one reading of the store says of each key, as far as that is enough.
    async fn read_many(&self, wanted: &[(&Scope, Option<KeyId>)]) -> Vec<Option<Result<Handle, Error>>> {
        // One alone is as well read alone.
        let slots = wanted.iter().map(|(scope, _)| self.data_slot(scope)).collect::<Result<Vec<_>, _>>();
        let Some(slots) = slots.ok().filter(|slots| slots.len() > 1) else { return Vec::new() };
        let lease = self.0.data.gate.begin();
        let rows = match self.read_slots(&slots).await {
            Ok(rows) => rows,
            // Each would wait for the same outage.
            Err(error) if error.is_outage() => {
                let stretched = |(scope, kid): &(&Scope, _)| self.0.data.cache.stretch(scope, *kid);
                return wanted.iter().map(|wanted| Some(stretched(wanted).ok_or_else(|| error.clone()))).collect();
            }
            Err(_) => return Vec::new(),
        };
        let mut read = Vec::with_capacity(wanted.len());
        for ((scope, kid), slot) in wanted.iter().zip(&slots) {
            let rows = slot.scope.and_then(|scope| rows.get(&scope)).map_or(&[][..], Vec::as_slice);
            read.push(self.unwrap_among((scope, *kid), slot, rows, lease).await.ok().flatten().map(Ok));
        }
        read
    }

    /// The rows of slots, by their scopes.
    async fn read_slots(&self, slots: &[Slot]) -> Result<HashMap<[u8; 32], Vec<KeyRow>>, Error> {
        if let Some(anchored) = &self.0.anchored {
            anchored.refresh(&self.0.data.gate).await?;
        }
        let mut scopes: Vec<_> = slots.iter().filter_map(|slot| slot.scope).collect();
        scopes.sort_unstable();
        scopes.dedup();
        let mut by_scope: HashMap<_, Vec<_>> = HashMap::with_capacity(scopes.len());
        for row in self.0.store.scopes(&self.0.tenant, KeyUse::Data, &scopes).await? {
            if let Some(scope) = row.slot.scope {
                by_scope.entry(scope).or_default().push(row);
            }
        }
        Ok(by_scope)
    }

    /// A key out of the rows of its slot, if they are all as they should be and it is there.
    async fn unwrap_among(
        &self,
        (scope, kid): (&Scope, Option<KeyId>),
        slot: &Slot,
        rows: &[KeyRow],
        lease: Lease,
    ) -> Result<Option<Handle>, Error> {
        self.authentic_and_there(slot, rows)?;
        let is_wanted = |row: &&KeyRow| match kid {
            Some(kid) => row.state.opens() && row.full_id.is_some_and(|id| id.kid() == kid),
            None => row.kind == RowKind::Data && row.state == KeyState::Active,
        };
        let Some(row) = rows.iter().rev().find(is_wanted) else { return Ok(None) };
        Ok(match self.unwrap_data(scope, row, lease).await? {
            Kept::Yes(handle) => Some(handle),
            Kept::Stale => None,
        })
    }
}
