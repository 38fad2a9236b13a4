//! Opening a log.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use phi_keys::{Keys, Signer};
use phi_types::{Clock, SystemClock};

use super::{AuditLog, Inner};
use crate::keys::AuditKeys;
use crate::mark::Mark;
use crate::note::is_name;
use crate::sequencer::Sequencer;
use crate::writer::Writer;
use crate::{AuditStore, Error, VerifierKey};

/// Acknowledged events are kept in memory until they are signed; this many are some megabytes.
const MAX_OUTSTANDING: usize = 65_536;

/// Collects what a log needs: a store, [`keys`](Self::keys), an [`origin`](Self::origin) and a
/// [`high_water_mark`](Self::high_water_mark).
///
/// ```no_run
/// # async fn example(store: impl phi_audit::AuditStore, keys: phi_keys::Keys) -> Result<(), phi_audit::Error> {
/// let audit = phi_audit::AuditLog::builder(store)
///     .keys(keys)
///     .origin("clinic.example/audit")
///     .high_water_mark("/var/lib/clinic-mark/audit.mark")
///     .open()
///     .await?;
/// # Ok(()) }
/// ```
#[must_use = "nothing is opened until `open` is called"]
#[derive(Debug)]
pub struct AuditLogBuilder {
    store: Arc<dyn AuditStore>,
    keys: Option<Keys>,
    signer: Option<Arc<dyn Signer>>,
    origin: Option<String>,
    pinned: Option<VerifierKey>,
    mark: MarkChoice,
    clock: Arc<dyn Clock>,
    max_outstanding: usize,
}

#[derive(Debug)]
enum MarkChoice {
    Unset,
    None,
    File(PathBuf),
}

impl AuditLogBuilder {
    pub(super) fn new(store: Arc<dyn AuditStore>) -> Self {
        Self {
            store,
            keys: None,
            signer: None,
            origin: None,
            pinned: None,
            mark: MarkChoice::Unset,
            clock: Arc::new(SystemClock::new()),
            max_outstanding: MAX_OUTSTANDING,
        }
    }

    /// The keys: pseudonyms and writer MACs come from the audit domain key, and so does the signer unless one is given.
    pub fn keys(mut self, keys: Keys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Signs checkpoints with this instead of the key that belongs to the audit domain key: with Ed25519, or with ECDSA on
    /// P-256 from a token that has no Ed25519. For a new log: a log keeps the key that it began with, and does not open with
    /// another one.
    pub fn signer(mut self, signer: impl Signer) -> Self {
        self.signer = Some(Arc::new(signer));
        self
    }

    /// The name of the log, unique in the world, such as `clinic.example/audit`; also the name of its key.
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// Refuses to open the log unless its signer has this key.
    pub fn verifier_key(mut self, key: VerifierKey) -> Self {
        self.pinned = Some(key);
        self
    }

    /// The file of the high-water mark. Keep it where a restored database does not bring it back with it: another
    /// folder, and best another disk.
    pub fn high_water_mark(mut self, path: impl Into<PathBuf>) -> Self {
        self.mark = MarkChoice::File(path.into());
        self
    }

    /// Keeps no high-water mark: an older copy of the database will be accepted when it is put back.
    pub fn insecure_without_high_water_mark(mut self) -> Self {
        self.mark = MarkChoice::None;
        self
    }

    /// Where time comes from; the system's clocks unless given.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    #[cfg(all(test, feature = "sqlite"))]
    pub(super) fn max_outstanding(mut self, events: usize) -> Self {
        self.max_outstanding = events;
        self
    }

    /// Opens the log, checks it against its last checkpoint and the high-water mark, records `audit.writer.start` and
    /// signs a checkpoint.
    ///
    /// # Errors
    /// [`Error::Config`] when a setting is missing; [`Error::Store`] when the store is not durable or too new;
    /// [`Error::RolledBack`], [`Error::Inconsistent`], [`Error::ForgedHead`], [`Error::MarkMissing`] or [`Error::Checkpoint`] when the store
    /// is not what it was; [`Error::ForeignKey`] when the signer is not the pinned one.
    pub async fn open(self) -> Result<AuditLog, Error> {
        let keys = self.keys.ok_or(Error::Config("call AuditLogBuilder::keys"))?;
        let origin = self.origin.ok_or(Error::Config("call AuditLogBuilder::origin"))?;
        let mark = match self.mark {
            MarkChoice::File(path) => Some(Mark::new(path)),
            MarkChoice::None => None,
            MarkChoice::Unset => return Err(Error::Config("call AuditLogBuilder::high_water_mark")),
        };
        let signer: Arc<dyn Signer> = match self.signer {
            Some(signer) => signer,
            None => Arc::new(keys.signer("audit").await?),
        };
        if !is_name(&origin) {
            return Err(Error::Config(
                "AuditLogBuilder::origin takes 1 to 255 bytes without spaces, line breaks or `+`",
            ));
        }
        let key = VerifierKey::new(origin, signer.public_key()).map_err(|_| {
            Error::Config("AuditLogBuilder::signer takes an Ed25519 or an ECDSA P-256 key, and this one is neither")
        })?;
        if self.pinned.is_some_and(|pinned| pinned != key) {
            return Err(Error::ForeignKey);
        }
        self.store.prepare().await?;
        let keys = Arc::new(AuditKeys::new(keys));
        let sequencer = Sequencer::new(Arc::clone(&self.store), Arc::clone(&keys), signer, key.clone(), mark);
        sequencer.recover().await?;
        let writer = Writer::new(Arc::clone(&self.store), Arc::clone(&keys), Arc::clone(&self.clock));
        let inner = Inner {
            store: self.store,
            keys,
            clock: self.clock,
            key,
            writer,
            sequencer,
            alarms: Mutex::default(),
            telling: tokio::sync::Mutex::default(),
            max_outstanding: self.max_outstanding,
        };
        let log = AuditLog { inner: Arc::new(inner) };
        // Recording turned on is itself an event, and it shows at once whether the log can be written and signed.
        log.inner.record_own("audit.log.open", &[]).await?;
        log.checkpoint().await?;
        Ok(log)
    }
}
