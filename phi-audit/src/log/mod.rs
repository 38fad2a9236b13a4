//! The log as an application uses it.

mod builder;
#[cfg(all(test, feature = "sqlite"))]
mod tests;

use core::fmt;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use phi_types::{Activity, Clock, RecordError, Recorder, Recording};

pub use builder::AuditLogBuilder;

use crate::keys::AuditKeys;
use crate::sequencer::{Sequencer, read_tree};
use crate::tree;
use crate::verify::{self, Options};
use crate::writer::{NotDurable, Writer, own};
use crate::{
    AuditStore, Checkpoint, Error, Event, Found, Hash, Page, Proof, Query, Report, StoreError, VerifierKey, WriterId,
    verify_inclusion,
};

/// Entries that are read at once when acknowledged events are looked for.
const CONFIRM: u64 = 1_024;

/// An open audit log. Cheap to clone; all clones are one log.
///
/// ```
/// use phi_audit::{AuditLog, Query, SqliteAuditStore};
/// use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore};
/// use phi_types::{Action, Activity, Clock, Outcome, Recorder, SubjectId, SystemClock};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).build().await?;
/// # let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("clinic.db")).create_if_missing(true);
/// # let pool = sqlx::SqlitePool::connect_with(options).await?;
/// let audit = AuditLog::builder(SqliteAuditStore::new(pool))
///     .keys(keys)
///     .origin("clinic.example/audit")
///     .high_water_mark(folder.path().join("audit.mark"))
///     .open()
///     .await?;
/// let patient = SubjectId::new("patient-7431")?;
/// let opened = Activity::new("record.read", Action::Read, Outcome::Success, SystemClock::new().now());
/// audit.recorder().record(opened.about(patient.clone())).await?;      // durable from here on
///
/// audit.checkpoint().await?;                                          // in the tree, and signed
/// let found = audit.query(&Query::new().subject(&patient)).await?.events.remove(0);
/// let proof = audit.prove(found.index).await?;
/// proof.verify(&audit.entry(found.index).await?)?;
/// assert!(audit.verify().await?.is_consistent());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct AuditLog {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn AuditStore>,
    keys: Arc<AuditKeys>,
    clock: Arc<dyn Clock>,
    key: VerifierKey,
    writer: Writer,
    sequencer: Sequencer,
    alarms: Mutex<Alarms>,
    /// Held by whoever writes down an alarm, so that each is told once.
    telling: tokio::sync::Mutex<()>,
    /// Acknowledged events that may wait for a signed checkpoint before recording makes one itself.
    max_outstanding: usize,
}

#[derive(Debug, Default)]
struct Alarms {
    missing: u64,
    /// Those of them that no `audit.missing` entry tells yet.
    untold: u64,
    verification: Verification,
}

/// What the last [`AuditLog::verify`] of this process found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Verification {
    /// The log was not verified since it was opened.
    #[default]
    NotYet,
    /// Everything was consistent.
    Consistent {
        /// Entries at that time.
        size: u64,
        /// When, by the log's clock.
        at: phi_types::Timestamp,
    },
    /// Something was wrong; the report named it.
    Broken {
        /// The first wrong entry, when an entry was wrong.
        first: Option<u64>,
        /// When, by the log's clock.
        at: phi_types::Timestamp,
    },
}

/// How a log stands.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// Entries in the tree.
    pub size: u64,
    /// Durable events that are not in the tree yet.
    pub pending: u64,
    /// Rows that were set aside because they do not come from a writer of this log.
    pub quarantined: u64,
    /// Acknowledged events that were found missing since the log was opened. Anything but 0 is an alarm.
    pub missing: u64,
    /// The newest signed checkpoint.
    pub checkpoint: Option<Checkpoint>,
    /// What the last verification found.
    pub verification: Verification,
}

impl AuditLog {
    /// Begins to open the log in this store.
    pub fn builder(store: impl AuditStore) -> AuditLogBuilder {
        AuditLogBuilder::new(Arc::new(store))
    }

    /// Where the other crates of the family send their activities: durable when the future is ready.
    ///
    /// Concurrent events share one commit. An event whose future is dropped before it is ready may still be recorded.
    #[must_use]
    pub fn recorder(&self) -> Arc<dyn Recorder> {
        Arc::new(self.clone())
    }

    /// The public key to pin where the log is verified: print it once and keep it outside the database.
    #[must_use]
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.inner.key
    }

    /// Moves every durable event into the tree, signs it, and raises the high-water mark.
    ///
    /// Call it at a fixed interval, such as every second, from a task of the application, and keep a copy of the result
    /// on another machine now and then. Without new events the last checkpoint is returned.
    ///
    /// # Errors
    /// [`Error::RolledBack`] or [`Error::Inconsistent`] when the store contradicts what was signed, [`Error::ForgedHead`]
    /// when somebody put entries into the tree, neither of which is signed; [`Error::AcknowledgedMissing`] when events that were acknowledged are gone (an `audit.missing`
    /// entry is signed before the error is returned); otherwise the failure of store, signer or mark.
    pub async fn checkpoint(&self) -> Result<Checkpoint, Error> {
        self.inner.checkpoint().await
    }

    /// Records an `audit.heartbeat` event and makes a checkpoint, so that a log in which nothing happens can be told
    /// from one that was stopped.
    ///
    /// # Errors
    /// As [`checkpoint`](Self::checkpoint).
    pub async fn heartbeat(&self) -> Result<Checkpoint, Error> {
        self.inner.record_own("audit.heartbeat", &[]).await?;
        self.inner.checkpoint().await
    }

    /// Looks for events. Those that were acknowledged before the call are found.
    ///
    /// # Errors
    /// The store's failure, or [`Error::Entry`] when a stored entry cannot be read.
    pub async fn query(&self, query: &Query) -> Result<Page, Error> {
        self.inner.sequencer.integrate().await?;
        self.inner.report_quarantine().await?;
        let keys = self.inner.keys.current().await?;
        let mut rows = self.inner.store.query(&query.filter(&keys.pseudonyms)).await?;
        // A page size fits a usize on every platform that SQLite and tokio run on.
        let size = usize::try_from(query.page_size()).unwrap_or(usize::MAX);
        let more = rows.len() > size;
        rows.truncate(size);
        let next = rows.last().filter(|_| more).map(|(index, _)| *index);
        let found = |(index, entry): (u64, Vec<u8>)| Ok(Found { index, event: Event::decode(&entry)? });
        let events = rows.into_iter().map(found).collect::<Result<_, Error>>()?;
        Ok(Page { events, next })
    }

    /// The bytes of an entry.
    ///
    /// # Errors
    /// [`Error::NotSigned`] when there is none of this index; the store's failure.
    pub async fn entry(&self, index: u64) -> Result<Vec<u8>, Error> {
        let rows = self.inner.store.entries(index, 1).await?;
        match rows.into_iter().next().filter(|row| row.index == index) {
            Some(row) => Ok(row.entry),
            None => Err(Error::NotSigned { index, size: self.inner.store.head().await?.size }),
        }
    }

    /// Proves that an entry is under the newest signed checkpoint.
    ///
    /// # Errors
    /// [`Error::NotSigned`] when it is not; [`Error::Inconsistent`] when the stored entry or tree is not what was signed.
    pub async fn prove(&self, index: u64) -> Result<Proof, Error> {
        let (_, note) = self.inner.store.latest_checkpoint().await?.ok_or(Error::NotSigned { index, size: 0 })?;
        let checkpoint = Checkpoint::open(&note, &self.inner.key).map_err(Error::Checkpoint)?;
        let size = checkpoint.size();
        if index >= size {
            return Err(Error::NotSigned { index, size });
        }
        let hashes = read_tree(&*self.inner.store, size, |nodes| tree::inclusion(nodes, index, size)).await?;
        let leaf = Hash::leaf(&self.entry(index).await?);
        verify_inclusion(index, size, &leaf, &hashes, checkpoint.root()).map_err(|_| Error::Inconsistent { size })?;
        Ok(Proof::new(index, hashes, checkpoint))
    }

    /// Proves that the newest signed checkpoint extends an older one of `size` entries: the hashes for
    /// [`verify_consistency`](crate::verify_consistency), and the newest checkpoint.
    ///
    /// # Errors
    /// [`Error::NotSigned`] when nothing as large was signed; [`Error::Inconsistent`] when the tree cannot be read.
    pub async fn prove_consistency(&self, size: u64) -> Result<(Vec<Hash>, Checkpoint), Error> {
        let none = Error::NotSigned { index: size, size: 0 };
        let (_, note) = self.inner.store.latest_checkpoint().await?.ok_or(none)?;
        let checkpoint = Checkpoint::open(&note, &self.inner.key).map_err(Error::Checkpoint)?;
        let newest = checkpoint.size();
        if size > newest {
            return Err(Error::NotSigned { index: size, size: newest });
        }
        let hashes = read_tree(&*self.inner.store, newest, |nodes| tree::consistency(nodes, size, newest)).await?;
        Ok((hashes, checkpoint))
    }

    /// Reads the whole log and checks everything that the offline verifier checks.
    ///
    /// # Errors
    /// The store's failure. What is wrong with the log is in the report.
    pub async fn verify(&self) -> Result<Report, Error> {
        let report = verify::verify(&*self.inner.store, &self.inner.key, &mut Options::default()).await?;
        let at = self.inner.clock.now();
        let verification = if report.is_consistent() {
            Verification::Consistent { size: report.size, at }
        } else {
            Verification::Broken { first: report.first_wrong().and_then(|finding| finding.index), at }
        };
        self.inner.alarms().verification = verification;
        Ok(report)
    }

    /// How the log stands. Reads counts only.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn status(&self) -> Result<Status, Error> {
        let counts = self.inner.store.counts().await?;
        let head = self.inner.store.head().await?;
        let checkpoint = match self.inner.store.latest_checkpoint().await? {
            Some((_, note)) => Some(Checkpoint::open(&note, &self.inner.key).map_err(Error::Checkpoint)?),
            None => None,
        };
        let alarms = self.inner.alarms();
        Ok(Status {
            size: head.size,
            pending: counts.pending,
            quarantined: counts.quarantined,
            missing: alarms.missing,
            checkpoint,
            verification: alarms.verification,
        })
    }

    /// Commits what waits, records `audit.writer.stop`, and makes a last checkpoint. The log can still be used after it.
    ///
    /// # Errors
    /// As [`checkpoint`](Self::checkpoint).
    pub async fn close(&self) -> Result<Checkpoint, Error> {
        self.inner.writer.flush().await;
        self.inner.record_own("audit.writer.stop", &[]).await?;
        self.inner.checkpoint().await
    }

    #[cfg(feature = "tower")]
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }
}

impl Inner {
    async fn checkpoint(&self) -> Result<Checkpoint, Error> {
        self.writer.flush().await;
        // Taken before integrating: everything in it must be in the tree afterwards.
        let acknowledged = self.writer.acknowledged();
        let checkpoint = self.sequencer.checkpoint().await?;
        self.confirm(&acknowledged, checkpoint.size()).await?;
        let quarantined = self.report_quarantine().await?;
        let _telling = self.telling.lock().await;
        let missing = self.alarms().untold;
        if missing > 0 {
            self.record_own("audit.missing", &[("events", missing)]).await?;
        }
        if missing == 0 && !quarantined {
            return Ok(checkpoint);
        }
        let checkpoint = self.sequencer.checkpoint().await?;
        if missing == 0 {
            return Ok(checkpoint);
        }
        // Told only now: whatever fails or is dropped before this, the next call raises the alarm again.
        let mut alarms = self.alarms();
        alarms.untold = alarms.untold.saturating_sub(missing);
        Err(Error::AcknowledgedMissing { count: missing })
    }

    /// Finds every acknowledged event in the tree, byte for byte, and counts those that are not there as missing.
    async fn confirm(&self, acknowledged: &BTreeMap<(WriterId, u64), Hash>, size: u64) -> Result<(), Error> {
        let mut missing = acknowledged.clone();
        let mut at = acknowledged.keys().next().copied();
        while let Some((writer, first)) = at {
            let last = first.saturating_add(CONFIRM - 1);
            for (sequence, index, leaf) in self.store.placed(writer, first, last).await? {
                let place = (writer, sequence);
                if index < size && missing.get(&place) == Some(&leaf) {
                    missing.remove(&place);
                }
            }
            at = acknowledged.range((writer, last.saturating_add(1))..).next().map(|(place, _)| *place);
        }
        // From here on nothing waits: what is forgotten and what is counted change together. Only what this call forgets
        // is counted, for two calls may have looked for the same events.
        let forgotten = self.writer.forget(acknowledged.keys());
        let missing = missing.keys().filter(|place| forgotten.contains(place)).count();
        let missing = u64::try_from(missing).unwrap_or(u64::MAX);
        let mut alarms = self.alarms();
        alarms.missing = alarms.missing.saturating_add(missing);
        alarms.untold = alarms.untold.saturating_add(missing);
        Ok(())
    }

    /// Writes down that rows were set aside. What fails or is dropped is written the next time.
    async fn report_quarantine(&self) -> Result<bool, Error> {
        if self.sequencer.unreported() == 0 {
            return Ok(false);
        }
        let _telling = self.telling.lock().await;
        let rows = self.sequencer.unreported();
        if rows > 0 {
            self.record_own("audit.quarantine", &[("rows", rows)]).await?;
            self.sequencer.reported(rows);
        }
        Ok(rows > 0)
    }

    async fn record_own(&self, kind: &'static str, counts: &[(&'static str, u64)]) -> Result<(), Error> {
        let activity =
            counts.iter().fold(own(&*self.clock, kind), |activity, (name, count)| activity.with(*name, *count));
        self.writer.record(&activity).await.map_err(|NotDurable(error)| {
            Arc::try_unwrap(error).unwrap_or_else(|shared| Error::Store(StoreError::backend(NotDurable(shared))))
        })
    }

    async fn record(&self, activity: &Activity) -> Result<(), RecordError> {
        if self.writer.outstanding() >= self.max_outstanding {
            // Nobody makes checkpoints; unbounded memory would be the alternative.
            self.checkpoint().await.map_err(RecordError::new)?;
        }
        self.writer.record(activity).await.map_err(RecordError::new)
    }

    fn alarms(&self) -> std::sync::MutexGuard<'_, Alarms> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder for AuditLog {
    fn record(&self, activity: Activity) -> Recording<'_> {
        Box::pin(async move { self.inner.record(&activity).await })
    }
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLog")
            .field("key", &self.inner.key)
            .field("store", &self.inner.store)
            .finish_non_exhaustive()
    }
}
