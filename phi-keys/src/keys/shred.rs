//! Shredding: what a subject's keys sealed becomes unreadable.

use phi_types::{SubjectId, Timestamp};

use super::report::Shredded;
use super::root::{Generation, Root, link};
use super::{ATTEMPTS, Keys};
use crate::error::Error;
use crate::id::{Fingerprint, FullId};
use crate::scope::Scope;
use crate::store::{Change, Committed, KeyRow, KeyState, Remains, Residue, RowKind, Slot};

/// Keeps readers away from a scope while it is being shredded.
struct Block {
    keys: Keys,
    scope: Scope,
}

impl Block {
    fn new(keys: &Keys, scope: Scope) -> Self {
        keys.0.data.cache.block(&scope);
        Self { keys: keys.clone(), scope }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.keys.0.data.cache.unblock(&self.scope);
    }
}

/// What a shred writes.
pub(super) struct Plan {
    pub(super) slot: Slot,
    pub(super) change: Change,
    pub(super) keys: Vec<FullId>,
    pub(super) number: u64,
    pub(super) at: Timestamp,
    pub(super) repeated: bool,
}

impl Keys {
    /// Destroys every key of a subject, in one transaction: a tombstone is written, the key rows are deleted and their
    /// bytes overwritten. Leases of this key manager and its clones end at once, those of others, in this process and
    /// elsewhere, when their time comes. Repeating it is harmless.
    ///
    /// Tags of blind indexes outlive the key; use `shred_in` (feature `sqlite`) or `shred_in_postgres` (feature `postgres`)
    /// to clear them in the same transaction.
    ///
    /// Rows of the subject that were forged or cannot be read do not stop it; they go as well. Without an authentic
    /// generation row nothing can be shredded: restore that row first.
    ///
    /// # Errors
    /// [`Error`] when the store fails; the subject's keys may then be gone or not, and shredding again finds out.
    pub async fn shred(&self, subject: &SubjectId) -> Result<Shredded, Error> {
        let scope = Scope::subject(subject);
        let slot = self.data_slot(&scope)?;
        let _block = Block::new(self, scope);
        for _ in 0..ATTEMPTS {
            // In this order: what comes between the readings makes the generation another one.
            let root = self.0.store.remains(&Slot::root()).await?;
            let (current, mut generation) = self.0.root.generation(&root.rows)?;
            if generation.tombstones.is_none() {
                generation = generation.chained(self.0.root.chain(&self.0.store.tombstones().await?));
            }
            let rows = self.0.store.remains(&slot).await?;
            let now = self.now_after(current);
            let plan = self.0.root.shred(&slot, &rows, (current, &generation), &[], now)?;
            if let Some(anchored) = &self.0.anchored {
                // First: a store that is restored between the two knows nothing of it.
                anchored.shredding(&plan.slot, &plan.keys, generation.number).await?;
            }
            if self.0.store.commit(&plan.change).await? == Committed::Done {
                self.note_generation(plan.number).await?;
                self.announce_shred(&slot).await;
                let residues = self.0.store.purge().await?;
                return Ok(plan.report(subject, self.fingerprint(), residues));
            }
        }
        Err(Error::Contended)
    }

    /// Destroys every key of a subject within a transaction of the caller, who clears what else names the subject, such as
    /// blind-index columns, in the same transaction and then commits it. Until the returned value is dropped, this
    /// process gives nobody a key of the subject.
    ///
    /// The connection must be to the database of this key manager's store. When the transaction is rolled back, nothing
    /// was shredded.
    ///
    /// ```
    /// use phi_keys::{EphemeralKeyring, Keys, SqliteKeyStore};
    /// use phi_types::{SubjectId, Timestamp};
    /// use sqlx::SqlitePool;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/clinic.db?mode=rwc", folder.path().display());
    /// # let pool = SqlitePool::connect(&url).await?;
    /// # sqlx::query("CREATE TABLE patient (ssn_index BLOB)").execute(&pool).await?;
    /// let keys = Keys::builder(SqliteKeyStore::new(pool.clone())).kek(EphemeralKeyring::generate()?).build().await?;
    /// let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    /// sqlx::query("UPDATE patient SET ssn_index = NULL").execute(&mut *transaction).await?;
    /// let pending = keys.shred_in(&mut transaction, &SubjectId::new("22d6efc6")?).await?;
    /// transaction.commit().await?;
    /// let report = pending.committed().await?;
    /// # let _ = report;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] when the connection is in no transaction; other [`Error`]s when the store fails, or the connection
    /// is to another database.
    #[cfg(feature = "sqlite")]
    pub async fn shred_in(
        &self,
        connection: &mut sqlx::SqliteConnection,
        subject: &SubjectId,
    ) -> Result<PendingShred, Error> {
        use sqlx::Connection as _;

        use crate::store::{StoreError, sql};

        if !connection.is_in_transaction() {
            return Err(Error::Config("shred within a transaction: what else is cleared belongs into it as well"));
        }
        let scope = Scope::subject(subject);
        let slot = self.data_slot(&scope)?;
        let block = Block::new(self, scope);
        sql::prepare_write(connection).await?;
        // A savepoint within the caller's transaction, so that all three writes happen or none.
        let mut savepoint = connection.begin().await.map_err(StoreError::from)?;
        let root = sql::remains(&mut savepoint, &Slot::root()).await?;
        let (current, mut generation) = self.0.root.generation(&root.rows)?;
        if generation.tombstones.is_none() {
            generation = generation.chained(self.0.root.chain(&sql::tombstones(&mut savepoint).await?));
        }
        let rows = sql::remains(&mut savepoint, &slot).await?;
        let now = self.now_after(current);
        let plan = self.0.root.shred(&slot, &rows, (current, &generation), &[], now)?;
        if sql::apply(&mut savepoint, &plan.change).await? != Committed::Done {
            return Err(Error::Contended);
        }
        savepoint.commit().await.map_err(StoreError::from)?;
        Ok(PendingShred { block, plan, subject: subject.clone() })
    }

    /// As `shred_in`, in a transaction on PostgreSQL. Its isolation level must be `READ COMMITTED`: under a stricter one the
    /// transaction would not see a key that was made since it began.
    ///
    /// # Errors
    /// [`Error::Config`] under another isolation level; other [`Error`]s when the store fails, or the connection is to
    /// another database. The transaction is then to be rolled back.
    #[cfg(feature = "postgres")]
    pub async fn shred_in_postgres(
        &self,
        transaction: &mut sqlx::Transaction<'_, sqlx::Postgres>,
        subject: &SubjectId,
    ) -> Result<PendingShred, Error> {
        use sqlx::Connection as _;

        use crate::store::{StoreError, postgres_sql as sql};

        if !sql::is_read_committed(transaction).await? {
            return Err(Error::Config("shred in a transaction that was begun with `ISOLATION LEVEL READ COMMITTED`"));
        }
        let scope = Scope::subject(subject);
        let slot = self.data_slot(&scope)?;
        let block = Block::new(self, scope);
        sql::prepare_write(transaction).await?;
        for _ in 0..ATTEMPTS {
            // A savepoint within the caller's transaction, so that all three writes happen or none.
            let mut savepoint = transaction.begin().await.map_err(StoreError::from)?;
            let root = sql::remains(&mut savepoint, &Slot::root()).await?;
            let (current, mut generation) = self.0.root.generation(&root.rows)?;
            if generation.tombstones.is_none() {
                generation = generation.chained(self.0.root.chain(&sql::tombstones(&mut savepoint).await?));
            }
            let rows = sql::remains(&mut savepoint, &slot).await?;
            let now = self.now_after(current);
            let plan = self.0.root.shred(&slot, &rows, (current, &generation), &[], now)?;
            if sql::apply(&mut savepoint, &plan.change).await? == Committed::Done {
                savepoint.commit().await.map_err(StoreError::from)?;
                return Ok(PendingShred { block, plan, subject: subject.clone() });
            }
            savepoint.rollback().await.map_err(StoreError::from)?;
        }
        Err(Error::Contended)
    }
}

impl Root {
    /// What to write, given what is in the slot of the subject, the generation, and what is known from elsewhere to have
    /// been shredded.
    pub(super) fn shred(
        &self,
        slot: &Slot,
        found: &Remains,
        (current, generation): (&KeyRow, &Generation),
        known: &[FullId],
        now: Timestamp,
    ) -> Result<Plan, Error> {
        let mut next = generation.next(generation.domains)?;
        let rows = || found.rows.iter().filter(|row| row.slot == *slot);
        // Key rows are not checked: a forged row must not be able to stop a shred.
        let mut keys = rows().filter(|row| row.kind == RowKind::Data).filter_map(|row| row.full_id).collect::<Vec<_>>();
        keys.extend(found.unreadable.iter().chain(known));
        let tombstones = || rows().filter(|row| row.kind == RowKind::Tombstone);
        let earlier = tombstones().find(|row| row.is_authentic(&self.mac_key));
        // What is left to delete is deleted now; where there is nothing, an earlier shred has done it.
        let nothing_left = found.unreadable.is_empty() && rows().all(|row| row.kind == RowKind::Tombstone);
        let at = earlier.filter(|_| nothing_left).map_or(now, |row| row.created);
        keys.extend(earlier.iter().flat_map(|row| row.wrapped.as_chunks().0).map(|id| FullId::from_bytes(*id)));
        keys.sort_unstable();
        keys.dedup();
        let ids = keys.iter().flat_map(|id| *id.as_bytes()).collect();
        let state = KeyState::Destroyed;
        let mut tombstone = KeyRow::new(RowKind::Tombstone, slot.clone(), 0, None, None, state, now, ids, [0; 32]);
        tombstone.position = Some(next.number);
        tombstone.authenticate(&self.mac_key)?;
        let mut change = Change::new();
        if earlier.is_none() {
            next = next.chained(link(self.backend, &generation.tombstones.unwrap_or_default(), &tombstone));
            if let Some(forged) = tombstones().find(|row| row.same_place(&tombstone)) {
                change = change.replace(forged.clone(), tombstone.clone());
            }
        }
        let change =
            change.replace(current.clone(), self.generation_row(&next, now.max(current.created))?).shred(tombstone);
        Ok(Plan { slot: slot.clone(), change, keys, number: next.number, at, repeated: earlier.is_some() })
    }
}

/// A shred whose transaction has not ended. Dropping it, too, lets readers go to the store again, which then holds
/// whatever the transaction left there.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
#[must_use = "call `committed` after the transaction is committed"]
pub struct PendingShred {
    block: Block,
    plan: Plan,
    subject: SubjectId,
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
impl PendingShred {
    /// To be called when the transaction is committed: notes the shred in the anchor, empties the store's write-ahead log
    /// and reports. What the anchor lacks, because the process died before this, the next key manager adds to it.
    ///
    /// # Errors
    /// [`Error`] when the anchor fails or the log cannot be emptied. The keys are gone nevertheless; shred again for the rest.
    pub async fn committed(self) -> Result<Shredded, Error> {
        let Self { block, plan, subject } = self;
        if let Some(anchored) = &block.keys.0.anchored {
            anchored.shredding(&plan.slot, &plan.keys, plan.number).await?;
        }
        block.keys.announce_shred(&block.keys.data_slot(&block.scope)?).await;
        let residues = block.keys.0.store.purge().await?;
        Ok(plan.report(&subject, block.keys.fingerprint(), residues))
    }
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
impl core::fmt::Debug for PendingShred {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("PendingShred")
    }
}

impl Plan {
    fn report(self, subject: &SubjectId, store: Fingerprint, residues: Vec<Residue>) -> Shredded {
        let Self { slot, keys, number, at, repeated, .. } = self;
        let (subject, purged) = (subject.clone(), residues.is_empty());
        Shredded { subject, keys, generation: number, at, repeated, purged, residues, slot, store }
    }
}
