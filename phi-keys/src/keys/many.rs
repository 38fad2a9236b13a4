//! Data keys of many scopes, with one reading of the store for those that are not in memory.

use std::collections::HashMap;

use super::cache::Kept;
use super::handle::{Found, Handle, Renewal};
use super::{ATTEMPTS, DataKey, Keys};
use crate::error::Error;
use crate::id::{FullId, KeyId};
use crate::overlap::give_way;
use crate::scope::{KeyUse, Scope};
use crate::store::{KeyRow, KeyState, RowKind, Slot};

/// Keys that are asked of the store at once: a short lease must last until they are unwrapped.
const AT_ONCE: usize = 1024;
/// Keys that are unwrapped without giving way: few, since a database that has answered waits for its next statement.
const STRETCH: usize = 4;

impl Keys {
    /// The data key of each scope: the one of the kid, as [`data_key_by_id`](Self::data_key_by_id), or without a kid the
    /// active one, as [`data_key`](Self::data_key). In order, each with its own result.
    ///
    /// For a list or a job over many patients: what is not in memory is read from the store together, where one by one each
    /// would wait for the database, and an outage is waited for once. Two calls at the same time for the same keys both read
    /// them; a KMS is asked once all the same.
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
        let mut down = None;
        for wanted in wanted.chunks(AT_ONCE) {
            let mut found: Vec<_> = wanted.iter().map(|wanted| self.look(*wanted)).collect();
            for _ in 0..ATTEMPTS {
                let missing = |(at, found): (usize, &Answer)| found.is_to_be_read().then_some(at);
                let missing: Vec<_> = found.iter().enumerate().filter_map(missing).collect();
                // One alone is as well read alone.
                if missing.len() < 2 {
                    break;
                }
                let asked: Vec<_> = missing.iter().filter_map(|at| wanted.get(*at).copied()).collect();
                let read = self.read_many(&asked, &mut down).await;
                for (at, read) in missing.into_iter().zip(read) {
                    if let Some(found) = found.get_mut(at) {
                        found.take(read);
                    }
                }
            }
            for ((scope, kid), found) in wanted.iter().zip(found) {
                keys.push(match found {
                    Answer::Known(known) => known.map(DataKey),
                    // Whatever is not as it should be is looked at alone, and mended or reported.
                    Answer::Missing { held: Some((handle, renewal)), .. } => {
                        Box::pin(self.renew_lease(scope, *kid, handle, renewal)).await
                    }
                    Answer::Missing { held: None, .. } => Box::pin(self.fetch(scope, *kid)).await,
                });
            }
        }
        keys
    }

    /// What is in memory.
    fn look(&self, (scope, kid): (&Scope, Option<KeyId>)) -> Answer {
        match self.0.data.find(scope, kid) {
            Ok(Some(Found::Live(handle))) => Answer::Known(Ok(handle)),
            Ok(Some(Found::Ahead(handle, renewal))) => Answer::Missing { held: Some((handle, renewal)), alone: false },
            Ok(None) => Answer::Missing { held: None, alone: false },
            Err(error) => Answer::Known(Err(error)),
        }
    }

    /// What one reading of the store says of each key. What is `down` already is not asked again, for each would wait for
    /// the same outage.
    async fn read_many(&self, wanted: &[(&Scope, Option<KeyId>)], down: &mut Option<Error>) -> Vec<Read> {
        // Before anybody is admitted: a shred that blocks a scope later makes the lease stale, and one that has let go of
        // it before has written its tombstone before the rows are read.
        let lease = self.0.data.gate.begin();
        let admitted = |(scope, _): &(&Scope, _)| self.0.data.cache.admit(scope).ok().and(self.data_slot(scope).ok());
        let slots: Vec<_> = wanted.iter().map(admitted).collect();
        let rows = match down {
            Some(error) => Err(error.clone()),
            None => self.read_slots(slots.iter().flatten()).await,
        };
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) if error.is_outage() || matches!(error, Error::Anchor(_)) => {
                let fail = |(scope, kid): &(&Scope, _)| self.fail(scope, *kid, &error);
                let failed = wanted.iter().map(fail).collect();
                *down = Some(error);
                return failed;
            }
            Err(_) => return wanted.iter().map(|_| Read::Alone).collect(),
        };
        let (mut read, mut failed) = (Vec::with_capacity(wanted.len()), Vec::<(FullId, Error)>::new());
        for (at, ((scope, kid), slot)) in wanted.iter().zip(&slots).enumerate() {
            if at % STRETCH == STRETCH - 1 {
                give_way().await;
            }
            let rows = slot.as_ref().and_then(|slot| Some((slot, rows.get(&slot.scope?)?)));
            let row = rows.and_then(|(slot, rows)| self.row_among(*kid, slot, rows));
            read.push(match row {
                None => Read::Alone,
                Some(row) => match failed.iter().find(|(parent, _)| row.parent == Some(*parent)) {
                    Some((_, error)) => self.fail(scope, *kid, error),
                    None => match self.unwrap_data(scope, row, lease).await {
                        Ok(Kept::Yes(handle)) => Read::Key(handle),
                        Ok(Kept::Stale) => Read::Stale,
                        Err(error) if error.is_outage() => {
                            let answer = self.fail(scope, *kid, &error);
                            failed.extend(row.parent.map(|parent| (parent, error)));
                            answer
                        }
                        Err(_) => Read::Alone,
                    },
                },
            });
        }
        read
    }

    /// The end of a lease that cannot be renewed in an outage, or what is left of it.
    fn fail(&self, scope: &Scope, kid: Option<KeyId>, error: &Error) -> Read {
        let stretched = error.is_outage().then(|| self.0.data.cache.stretch(scope, kid)).flatten();
        stretched.map_or_else(|| Read::Failed(error.clone()), Read::Key)
    }

    /// The rows of slots, by their scopes.
    async fn read_slots(
        &self,
        slots: impl Iterator<Item = &Slot> + Send,
    ) -> Result<HashMap<[u8; 32], Vec<KeyRow>>, Error> {
        let mut scopes: Vec<_> = slots.filter_map(|slot| slot.scope).collect();
        scopes.sort_unstable();
        scopes.dedup();
        if let Some(anchored) = &self.0.anchored {
            anchored.refresh(&self.0.data.gate).await?;
        }
        let mut by_scope: HashMap<_, Vec<_>> = HashMap::with_capacity(scopes.len());
        for row in self.0.store.scopes(&self.0.tenant, KeyUse::Data, &scopes).await? {
            if let Some(scope) = row.slot.scope {
                by_scope.entry(scope).or_default().push(row);
            }
        }
        Ok(by_scope)
    }

    /// The row of a key among those of its slot, if they are all as they should be and it is there.
    fn row_among<'r>(&self, kid: Option<KeyId>, slot: &Slot, rows: &'r [KeyRow]) -> Option<&'r KeyRow> {
        self.authentic_and_there(slot, rows).ok()?;
        let is_wanted = |row: &&KeyRow| match kid {
            Some(kid) => row.state.opens() && row.full_id.is_some_and(|id| id.kid() == kid),
            None => row.kind == RowKind::Data && row.state == KeyState::Active,
        };
        rows.iter().rev().find(is_wanted)
    }
}

/// What is known of a key.
enum Answer {
    Known(Result<Handle, Error>),
    /// Not in memory, or held with a lease that is about to end.
    Missing {
        held: Option<(Handle, Renewal)>,
        /// Nothing is gained by reading it with others once more.
        alone: bool,
    },
}

impl Answer {
    const fn is_to_be_read(&self) -> bool {
        matches!(self, Self::Missing { alone: false, .. })
    }

    fn take(&mut self, read: Read) {
        let Self::Missing { held, alone } = self else { return };
        match read {
            Read::Key(handle) => *self = Self::Known(Ok(handle)),
            // The lease lasts for a while yet.
            Read::Failed(error) => {
                let held = held.take().filter(|_| error.may_pass());
                *self = Self::Known(held.map_or(Err(error), |(handle, _)| Ok(handle)));
            }
            Read::Stale => {}
            Read::Alone => *alone = true,
        }
    }
}

/// What a reading for many says of one key.
enum Read {
    Key(Handle),
    Failed(Error),
    /// Something was shredded or revoked meanwhile.
    Stale,
    /// It has to be read alone, to be had or to find out why not.
    Alone,
}
