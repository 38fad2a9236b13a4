//! Puts pending rows into the tree and signs what was put.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use core::sync::atomic::{AtomicU64, Ordering};

use phi_keys::Signer;

use crate::keys::{AuditKeys, Current, WriterKey};
use crate::mark::Mark;
use crate::store::{Columns, Integration};
use crate::tree::{self, MissingNode, NodeReader, Tiles, TreeBuilder, Wanted};
use crate::{
    AuditStore, Checkpoint, EntryRow, Error, Event, Hash, Head, PendingRow, QuarantineReason, StoreError, VerifierKey,
    WriterId, verify_consistency,
};

/// Pending rows in one step.
const STEP: u32 = 1_024;
/// How often to begin again when another process went ahead.
const TRIES: u32 = 16;

#[derive(Debug)]
pub(crate) struct Sequencer {
    store: Arc<dyn AuditStore>,
    keys: Arc<AuditKeys>,
    signer: Arc<dyn Signer>,
    key: VerifierKey,
    mark: Option<Mark>,
    /// Held while integrating: one sequencer per process.
    signed: tokio::sync::Mutex<Signed>,
    quarantined: AtomicU64,
}

/// The newest checkpoint that this process has signed or accepted.
#[derive(Debug, Default)]
struct Signed {
    newest: Option<Checkpoint>,
    /// Whether mark and store have it; not so after a failure between signing and keeping.
    kept: bool,
}

impl Sequencer {
    pub(crate) fn new(
        store: Arc<dyn AuditStore>,
        keys: Arc<AuditKeys>,
        signer: Arc<dyn Signer>,
        key: VerifierKey,
        mark: Option<Mark>,
    ) -> Self {
        Self { store, keys, signer, key, mark, signed: tokio::sync::Mutex::default(), quarantined: AtomicU64::new(0) }
    }

    /// Rows that were set aside and not yet [`reported`](Self::reported).
    pub(crate) fn unreported(&self) -> u64 {
        self.quarantined.load(Ordering::Acquire)
    }

    /// So many of them are written down.
    pub(crate) fn reported(&self, rows: u64) {
        self.quarantined.fetch_sub(rows, Ordering::AcqRel);
    }

    /// Checks that the stored tree contains everything that is known to have been signed.
    pub(crate) async fn recover(&self) -> Result<(), Error> {
        let mut signed = self.signed.lock().await;
        let latest = self.latest().await?;
        let marked = match &self.mark {
            Some(mark) => mark.read(&self.key).await?,
            None => None,
        };
        if self.mark.is_some() && marked.is_none() && latest.is_some() {
            return Err(Error::MarkMissing);
        }
        let head = self.store.head().await?;
        self.check_head(&head).await?;
        for known in [&marked, &latest].into_iter().flatten() {
            self.check_extends(known, &head).await?;
        }
        signed.newest = newer(marked, latest);
        self.check_maker(&head, signed.newest.as_ref()).await
    }

    /// Moves every pending row into the tree or into quarantine.
    pub(crate) async fn integrate(&self) -> Result<Head, Error> {
        let _signed = self.signed.lock().await;
        self.integrate_alone().await
    }

    /// Integrates, signs, writes the high-water mark and keeps the checkpoint, in this order.
    pub(crate) async fn checkpoint(&self) -> Result<Checkpoint, Error> {
        let mut signed = self.signed.lock().await;
        for _ in 0..TRIES {
            // Read before the head: what another process signs meanwhile is then never ahead of it.
            let known = newer(signed.newest.clone(), self.latest().await?);
            let head = self.integrate_alone().await?;
            if let Some(known) = &known {
                self.check_extends(known, &head).await?;
            }
            let checkpoint = match known.filter(|known| known.size() == head.size) {
                Some(known) if signed.kept => return Ok(known),
                Some(known) => known,
                None => {
                    self.check_maker(&head, None).await?;
                    self.sign(&head).await?
                }
            };
            // Known from here on, even if what follows fails: nothing smaller or different may be signed after this.
            *signed = Signed { newest: Some(checkpoint.clone()), kept: false };
            if let Some(mark) = &self.mark
                && let Some(other) = mark.raise(&checkpoint, &self.key).await?
            {
                // Another process went ahead, which the store shows as well, or a copy of this log did, which it does not.
                self.check_extends(&other, &self.store.head().await?).await?;
                continue;
            }
            match self.store.publish(&head, checkpoint.note()).await {
                Ok(()) => {
                    signed.kept = true;
                    return Ok(checkpoint);
                }
                Err(StoreError::Fenced) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Busy)
    }

    async fn sign(&self, head: &Head) -> Result<Checkpoint, Error> {
        let text = Checkpoint::text(self.key.name(), head.size, &head.root);
        let signature = self.signer.sign(text.as_bytes()).await.map_err(Error::Signer)?;
        Checkpoint::open(&self.key.note(&text, &signature), &self.key).map_err(Error::Checkpoint)
    }

    async fn latest(&self) -> Result<Option<Checkpoint>, Error> {
        let Some((size, note)) = self.store.latest_checkpoint().await? else { return Ok(None) };
        let checkpoint = Checkpoint::open(&note, &self.key).map_err(Error::Checkpoint)?;
        if checkpoint.size() == size { Ok(Some(checkpoint)) } else { Err(Error::Inconsistent { size }) }
    }

    /// The tree that is read back must have the root that the head names.
    async fn check_head(&self, head: &Head) -> Result<(), Error> {
        let root = read_tree(&*self.store, head.size, |nodes| tree::root(nodes, head.size)).await?;
        if root != head.root {
            return Err(Error::Inconsistent { size: head.size });
        }
        if let Some(last) = head.size.checked_sub(1) {
            let stored = self.store.entries(last, 1).await?;
            let Some(stored) = stored.first().filter(|row| row.index == last) else {
                return Err(Error::RolledBack { stored: last, known: head.size });
            };
            let leaf = read_tree(&*self.store, head.size, |nodes| nodes.node(0, last)).await?;
            if leaf != Hash::leaf(&stored.entry) {
                return Err(Error::Inconsistent { size: head.size });
            }
        }
        Ok(())
    }

    /// A tree is extended or signed only if it was made by a process that holds the audit key, or is signed already:
    /// whoever can merely write to the store could otherwise put entries into it that no writer wrote.
    async fn check_maker(&self, head: &Head, newest: Option<&Checkpoint>) -> Result<(), Error> {
        let signed = |known: &Checkpoint| (known.size(), known.root()) == (head.size, &head.root);
        if (head.size, head.root) == (0, Hash::empty())
            || newest.is_some_and(signed)
            || self.keys.current().await?.head_key(self.key.name())?.verify(head)
            // What was made under an audit key before the current one is signed before that is replaced.
            || self.latest().await?.as_ref().is_some_and(signed)
        {
            return Ok(());
        }
        Err(Error::ForgedHead { size: head.size })
    }

    async fn check_extends(&self, known: &Checkpoint, head: &Head) -> Result<(), Error> {
        if head.size < known.size() {
            return Err(Error::RolledBack { stored: head.size, known: known.size() });
        }
        let (old, new) = (known.size(), head.size);
        let proof = read_tree(&*self.store, new, |nodes| tree::consistency(nodes, old, new)).await?;
        verify_consistency((old, known.root()), (new, &head.root), &proof)
            .map_err(|_| Error::Inconsistent { size: old })
    }

    async fn integrate_alone(&self) -> Result<Head, Error> {
        for _ in 0..TRIES {
            if self.store.pending(1).await?.is_empty() {
                return Ok(self.store.head().await?);
            }
            match self.integrate_fenced().await {
                Err(Error::Store(StoreError::Fenced)) => {}
                done => return done,
            }
        }
        Err(Error::Busy)
    }

    async fn integrate_fenced(&self) -> Result<Head, Error> {
        let mut head = self.store.claim().await?;
        loop {
            let rows = self.store.pending(STEP).await?;
            if rows.is_empty() {
                // Read again: another process may have taken the rows since the claim, and what they hold is under its head.
                return Ok(self.store.head().await?);
            }
            let step = self.plan(&head, rows).await?;
            self.store.integrate(&step).await?;
            let quarantined = u64::try_from(step.quarantined.len()).unwrap_or(u64::MAX);
            self.quarantined.fetch_add(quarantined, Ordering::AcqRel);
            // Only what is read back from the store is ever signed.
            let stored = self.store.head().await?;
            if stored.fence != head.fence {
                return Err(StoreError::Fenced.into());
            }
            if (stored.size, stored.root) != (step.size, step.root) {
                return Err(Error::Inconsistent { size: step.size });
            }
            head = stored;
        }
    }

    async fn plan(&self, head: &Head, rows: Vec<PendingRow>) -> Result<Integration, Error> {
        let edge = Tiles::new(self.store.tiles(&tree::edge(head.size)).await?);
        let damaged = |_: MissingNode| Error::Inconsistent { size: head.size };
        let mut builder = TreeBuilder::resume(head.size, &edge).map_err(damaged)?;
        if builder.root().map_err(damaged)? != head.root {
            return Err(Error::Inconsistent { size: head.size });
        }
        self.check_maker(head, None).await?;
        let current = self.keys.current().await?;
        let mut judged = judge(&current, rows)?;
        self.drop_known(&mut judged).await?;
        let (mut entries, mut consumed, mut quarantined) = (Vec::new(), Vec::new(), Vec::new());
        for (row, judgement) in judged {
            consumed.push(row.row);
            match judgement {
                Judgement::Accepted(event) => {
                    let index = builder.size();
                    builder.append(&Hash::leaf(&row.entry));
                    entries.push(EntryRow::new(index, row.entry, Columns::of(&event)));
                }
                Judgement::AlreadyThere => {}
                Judgement::Refused(reason) => quarantined.push((row, reason)),
            }
        }
        let root = builder.root().map_err(damaged)?;
        let (size, tiles) = (builder.size(), builder.take_changed());
        let mac = current.head_key(self.key.name())?.mac(size, &root);
        Ok(Integration { from: *head, size, root, mac, entries, tiles, consumed, quarantined })
    }

    /// A row whose writer and number are in the tree already is a repetition after a lost answer, or a replay.
    async fn drop_known(&self, judged: &mut [(PendingRow, Judgement)]) -> Result<(), Error> {
        let accepted = |judgement: &Judgement| matches!(judgement, Judgement::Accepted(_));
        let places: BTreeSet<_> =
            judged.iter().filter(|(_, is)| accepted(is)).map(|(row, _)| (row.writer, row.sequence)).collect();
        let mut known = BTreeMap::new();
        for (writer, first, last) in runs(places) {
            for (sequence, _, leaf) in self.store.placed(writer, first, last).await? {
                known.insert((writer, sequence), leaf);
            }
        }
        let mut batch = BTreeSet::new();
        for (row, judgement) in judged.iter_mut().filter(|(_, is)| accepted(is)) {
            let place = (row.writer, row.sequence);
            match known.get(&place) {
                Some(leaf) if *leaf == Hash::leaf(&row.entry) => *judgement = Judgement::AlreadyThere,
                Some(_) => *judgement = Judgement::Refused(QuarantineReason::Replayed),
                None if !batch.insert(place) => *judgement = Judgement::Refused(QuarantineReason::Replayed),
                None => {}
            }
        }
        Ok(())
    }
}

enum Judgement {
    Accepted(Box<Event>),
    AlreadyThere,
    Refused(QuarantineReason),
}

fn judge(current: &Current, rows: Vec<PendingRow>) -> Result<Vec<(PendingRow, Judgement)>, Error> {
    let mut keys: BTreeMap<WriterId, WriterKey> = BTreeMap::new();
    let mut judged = Vec::with_capacity(rows.len());
    for row in rows {
        let judgement = match Event::decode(&row.entry) {
            Ok(event) if event.writer == row.writer && event.sequence == row.sequence => {
                let key = match keys.get(&row.writer) {
                    Some(key) => key,
                    None => keys.entry(row.writer).or_insert(current.writer_key(&row.writer)?),
                };
                if event.epoch != *current.epoch() {
                    Judgement::Refused(QuarantineReason::UnknownKey)
                } else if key.verify(&row.writer, row.sequence, &row.entry, &row.mac) {
                    Judgement::Accepted(Box::new(event))
                } else {
                    Judgement::Refused(QuarantineReason::Forged)
                }
            }
            _ => Judgement::Refused(QuarantineReason::Malformed),
        };
        judged.push((row, judgement));
    }
    Ok(judged)
}

/// Ranges that hold these numbers and few others: whoever puts an old row back must not make the whole past of its
/// writer be read.
fn runs(places: BTreeSet<(WriterId, u64)>) -> Vec<(WriterId, u64, u64)> {
    let mut runs: Vec<(WriterId, u64, u64)> = Vec::new();
    for (writer, sequence) in places {
        match runs.last_mut() {
            Some((of, _, last)) if *of == writer && sequence - *last <= u64::from(STEP) => *last = sequence,
            _ => runs.push((writer, sequence, sequence)),
        }
    }
    runs
}

fn newer(a: Option<Checkpoint>, b: Option<Checkpoint>) -> Option<Checkpoint> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if a.size() >= b.size() { a } else { b }),
        (a, b) => a.or(b),
    }
}

/// Computes something out of the stored tiles: once to learn which are needed, once with them.
pub(crate) async fn read_tree<T>(
    store: &dyn AuditStore,
    size: u64,
    compute: impl Fn(&mut dyn NodeReader) -> Result<T, MissingNode>,
) -> Result<T, Error> {
    let wanted: Vec<_> = {
        let mut wanted = Wanted::default();
        // Its result is made of placeholders; only the list counts.
        let _ = compute(&mut wanted);
        wanted.0.into_iter().collect()
    };
    let mut tiles = Tiles::new(store.tiles(&wanted).await?);
    compute(&mut tiles).map_err(|_| Error::Inconsistent { size })
}
