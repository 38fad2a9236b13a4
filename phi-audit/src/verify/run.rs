//! One pass over a log.
//!
//! Two trees are grown side by side: one from the entries, one from the stored leaf hashes. Where a signed root meets
//! them, it decides which of the two is genuine, and so whether an entry or a stored hash was altered; what cannot be
//! told apart lies between two signatures and is named as such.

use std::collections::BTreeSet;

use super::entries::{Writers, claim, wrong_column};
use super::explain::{Mismatch, explain};
use super::stream::{Checkpoints, Entries, Leaves};
use super::{Finding, Freshness, MAX_FINDINGS, Options, Problem, Report};
use crate::tree::TreeBuilder;
use crate::{AuditStore, Checkpoint, Error, Event, Hash, Head, Tile, VerifierKey};

/// Differences that are kept for explanation; of a database with more than that, the first are enough.
const MAX_MISMATCHES: usize = 100_000;
/// Places without entry and hash, after which whatever follows does not count.
const LONGEST_HOLE: u64 = 1_000_000;
/// How often progress is told, in entries.
const PROGRESS: u64 = 8_192;

pub(crate) async fn verify(
    store: &dyn AuditStore,
    key: &VerifierKey,
    options: &mut Options<'_>,
) -> Result<Report, Error> {
    // Checkpoints are looked at before the head: on a log that is being written, the head can only be newer.
    let latest = store.latest_checkpoint().await?;
    let counts = store.counts().await?;
    let head = store.head().await?;
    let mut pass = Pass::new(store, key, head, options.at_least.as_ref());
    let mut entries = Entries::new(store);
    let mut leaves = Leaves::new(store);
    for index in 0..head.size {
        if index % PROGRESS == 0
            && let Some(progress) = &mut options.progress
        {
            progress(index, head.size);
        }
        pass.meet_signatures(index).await?;
        let row = entries.at(index).await?;
        let stored = leaves.at(index).await?;
        // The next entry is never at or before this place: such rows were passed over.
        let goes_on = |next: &crate::EntryRow| next.index - index < LONGEST_HOLE;
        if row.is_none() && stored.is_none() && !entries.peek().await?.is_some_and(goes_on) {
            pass.cut_off(index);
            break;
        }
        pass.entry(index, row, stored);
        pass.check_tiles().await?;
    }
    pass.meet_signatures(pass.head.size).await?;
    pass.finish(latest, &mut entries).await?;
    if let Some(progress) = &mut options.progress {
        progress(head.size, head.size);
    }
    pass.report(counts.pending, counts.quarantined).await
}

struct Pass<'a> {
    store: &'a dyn AuditStore,
    key: &'a VerifierKey,
    head: Head,
    at_least: Option<&'a Checkpoint>,
    checkpoints: Checkpoints<'a>,
    /// Grown from the entries.
    entries: TreeBuilder,
    /// Grown from the stored leaf hashes.
    stored: TreeBuilder,
    writers: Writers,
    /// Differences between entries and stored hashes that no root has decided yet.
    mismatches: Vec<Mismatch>,
    /// Those in which the entry is at fault.
    wrong: Vec<Mismatch>,
    /// About single entries.
    findings: Vec<Finding>,
    /// About the log as a whole.
    overall: Vec<Finding>,
    /// The size up to which a signature has confirmed the entries or the stored hashes.
    settled: u64,
    valid: u64,
    signed: Option<Checkpoint>,
    freshness: Freshness,
    /// Entries and hashes were rewritten together, so that no later signature can fit either.
    lost: bool,
}

impl<'a> Pass<'a> {
    fn new(store: &'a dyn AuditStore, key: &'a VerifierKey, head: Head, at_least: Option<&'a Checkpoint>) -> Self {
        Self {
            store,
            key,
            head,
            at_least,
            checkpoints: Checkpoints::new(store, key),
            entries: TreeBuilder::default(),
            stored: TreeBuilder::default(),
            writers: Writers::default(),
            mismatches: Vec::new(),
            wrong: Vec::new(),
            findings: Vec::new(),
            overall: Vec::new(),
            settled: 0,
            valid: 0,
            signed: None,
            freshness: Freshness::NotProven,
            lost: false,
        }
    }

    fn find(&mut self, index: Option<u64>, problem: Problem) {
        let finding = Finding { index, problem };
        let findings = if index.is_some() { &mut self.findings } else { &mut self.overall };
        // Found in the order of the entries, so that the first ones are kept.
        if findings.len() < MAX_FINDINGS {
            findings.push(finding);
        }
    }

    fn entry(&mut self, index: u64, row: Option<crate::EntryRow>, stored: Option<Hash>) {
        let leaf = row.as_ref().map(|row| Hash::leaf(&row.entry));
        match row.filter(|_| leaf.is_some() && leaf == stored) {
            Some(row) => match Event::decode(&row.entry) {
                Ok(event) => {
                    if let Some(name) = wrong_column(&event, &row.columns) {
                        self.find(Some(index), Problem::Column(name));
                    }
                    for problem in self.writers.follow(&event) {
                        self.find(Some(index), problem);
                    }
                }
                Err(_) => self.find(Some(index), Problem::Undecodable),
            },
            // Of an altered entry, only the alteration is told: its columns and numbers say nothing more.
            None => {
                self.writers.skip();
                if self.mismatches.len() + self.wrong.len() < MAX_MISMATCHES {
                    self.mismatches.push(Mismatch { index, entry: leaf, stored });
                }
            }
        }
        // Where one of the two is gone, the other stands in, so that the rest can still be checked.
        let nothing = Hash::empty();
        self.entries.append(&leaf.or(stored).unwrap_or(nothing));
        self.stored.append(&stored.or(leaf).unwrap_or(nothing));
    }

    /// Neither entries nor hashes go on, whatever the head says: without this, a head that promises more than anybody can
    /// count to would keep the verifier busy for ever.
    fn cut_off(&mut self, size: u64) {
        let promised = core::mem::replace(&mut self.head.size, size);
        for index in (size..promised).take(MAX_FINDINGS) {
            self.find(Some(index), Problem::Missing);
        }
    }

    /// Everything that claims to know the root at this size.
    async fn meet_signatures(&mut self, size: u64) -> Result<(), Error> {
        while let Some(next) = self.checkpoints.next_up_to(size).await? {
            match next {
                Ok(checkpoint) => {
                    self.valid += 1;
                    self.settle(size, checkpoint.root())?;
                    self.signed = Some(checkpoint);
                }
                Err(size) => self.find(None, Problem::BadSignature { size }),
            }
        }
        if let Some(known) = self.at_least.filter(|known| known.size() == size) {
            let fits = self.settle(size, known.root())?;
            self.freshness = if fits { Freshness::AtLeast(size) } else { Freshness::Refuted };
            if !fits {
                self.find(None, Problem::Fork { known: size });
            }
        }
        Ok(())
    }

    /// Compares both trees with a root that is known to be right. Says whether the log contains it.
    fn settle(&mut self, size: u64, root: &Hash) -> Result<bool, Error> {
        let (from_entries, from_stored) = (self.root(&self.entries)?, self.root(&self.stored)?);
        if from_stored == *root {
            self.blame_entries();
        } else if from_entries == *root {
            self.blame_tiles();
        } else if !self.lost {
            // Later signatures cannot fit either; the first interval is what can be said.
            self.lost = true;
            self.blame_entries();
            self.find(Some(self.settled), Problem::Rewritten { after: self.settled, until: size });
        }
        if !self.lost {
            self.settled = size;
        }
        Ok(from_stored == *root || from_entries == *root)
    }

    fn root(&self, tree: &TreeBuilder) -> Result<Hash, Error> {
        tree.root().map_err(|_| Error::Inconsistent { size: self.head.size })
    }

    /// The stored hashes are right, so what differs from them was altered. How is told at the end.
    fn blame_entries(&mut self) {
        self.wrong.append(&mut self.mismatches);
        self.entries = self.stored.clone();
        let _ = self.entries.take_complete();
    }

    /// The entries are right, so the stored hashes were altered.
    fn blame_tiles(&mut self) {
        let mut told = BTreeSet::new();
        for mismatch in core::mem::take(&mut self.mismatches) {
            match mismatch.entry {
                Some(_) if told.insert(mismatch.index / 256) => {
                    let tile = mismatch.index / 256;
                    self.find(Some(mismatch.index), Problem::Tile { level: 0, tile });
                }
                Some(_) => {}
                None => self.find(Some(mismatch.index), Problem::Missing),
            }
        }
        self.stored = self.entries.clone();
        let _ = self.stored.take_complete();
    }

    /// Compares the completed tiles above the leaves with what is stored. Leaf tiles are compared hash by hash.
    async fn check_tiles(&mut self) -> Result<(), Error> {
        for tile in self.stored.take_complete() {
            self.check_tile(tile).await?;
        }
        Ok(())
    }

    async fn check_tile(&mut self, right: Tile) -> Result<(), Error> {
        let id = right.id();
        if id.level() == 0 {
            return Ok(());
        }
        let stored = self.store.tiles(&[id]).await?;
        // On a log that is being written, the rightmost tile may have grown meanwhile.
        if !stored.iter().any(|tile| tile.hashes().starts_with(right.hashes())) {
            self.find(None, Problem::Tile { level: id.level(), tile: id.index() });
        }
        Ok(())
    }

    async fn finish(&mut self, latest: Option<(u64, String)>, entries: &mut Entries<'_>) -> Result<(), Error> {
        let size = self.head.size;
        // The head is not signed; it settles only what no signature covers.
        if self.root(&self.stored)? == self.head.root {
            self.blame_entries();
        } else {
            if self.root(&self.entries)? == self.head.root {
                self.blame_tiles();
            } else {
                self.blame_entries();
                if !self.lost {
                    self.find(None, Problem::Head);
                }
            }
        }
        let wrong = core::mem::take(&mut self.wrong);
        self.findings.extend(explain(self.store, &wrong, size).await?);
        for level in 1..=7 {
            if let Some(tile) = self.stored.open_tile(level) {
                self.check_tile(tile).await?;
            }
        }
        if let Some((signed, note)) = latest.filter(|(signed, _)| *signed > size) {
            match Checkpoint::open(&note, self.key) {
                Ok(checkpoint) if checkpoint.size() == signed => {
                    self.find(Some(size), Problem::Truncated { stored: size, signed });
                }
                _ => self.find(None, Problem::BadSignature { size: signed }),
            }
        }
        if size > 0 && self.valid == 0 {
            self.find(None, Problem::Unsigned);
        }
        if let Some(known) = self.at_least.map(Checkpoint::size).filter(|known| *known > size) {
            self.freshness = Freshness::Refuted;
            self.find(None, Problem::RolledBack { stored: size, known });
        }
        if let Some(added) = entries.peek().await?.map(|row| row.index).filter(|index| *index >= size)
            && self.store.head().await?.size == size
        {
            self.find(Some(added), Problem::Added);
        }
        Ok(())
    }

    async fn report(mut self, pending: u64, quarantined: u64) -> Result<Report, Error> {
        // Entries first, in their order; what concerns the log as a whole follows.
        self.findings.sort_by_key(|finding| finding.index);
        self.findings.truncate(MAX_FINDINGS);
        self.findings.append(&mut self.overall);
        claim(self.store, &mut self.findings, quarantined).await?;
        Ok(Report {
            size: self.head.size,
            root: self.root(&self.entries)?,
            checkpoints: self.valid,
            signed: self.signed,
            writers: self.writers.count(),
            unknown_ends: self.writers.unknown_ends(),
            pending,
            quarantined,
            freshness: self.freshness,
            findings: self.findings,
        })
    }
}
