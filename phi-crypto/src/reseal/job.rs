//! The job: chunk after chunk, each as good as done or not begun.

use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;
use std::sync::Arc;

use phi_keys::overlap::both;
use phi_keys::{KeyId, Sleeper};
use phi_types::{Action, Activity, Clock, Outcome, Recorder, SystemClock};
use ring::digest;

use super::ahead::{Ahead, Page};
use super::layout::Layout;
use super::progress::LeftBecause;
use super::renew::{Renewal, renew};
use super::store::{Checkpoint, Database, Key, Row, Store, Update};
use super::table::{KeyKind, Table};
use super::{Counts, LeftRow, Progress, References, ResealError};
use crate::index::Opened;
use crate::{Opener, Sealer};

/// Rows that are read, and changed in one transaction, unless the builder says otherwise.
const CHUNK: NonZeroU32 = NonZeroU32::MIN.saturating_add(255);

/// How often a chunk is begun anew because leases ended, the database chose it as the victim of a deadlock, or rows were
/// changed by others.
const ATTEMPTS: usize = 8;

/// Settings of a [`ResealJob`].
#[must_use]
pub struct ResealJobBuilder {
    name: String,
    sealer: Sealer,
    opener: Opener,
    recorder: Arc<dyn Recorder>,
    tables: Vec<Table>,
    chunk: NonZeroU32,
    clock: Arc<dyn Clock>,
    pace: Option<(NonZeroU32, Arc<dyn Sleeper>)>,
    mode: Mode,
    restart: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Write,
    DryRun,
}

impl ResealJobBuilder {
    /// Adds a table. Tables are worked on in the order in which they are added.
    pub fn table(mut self, table: Table) -> Self {
        self.tables.push(table);
        self
    }

    /// Rows that are read, and changed in one transaction: 256 unless set. More is faster, and holds locks longer.
    pub const fn rows_per_chunk(mut self, rows: NonZeroU32) -> Self {
        self.chunk = rows;
        self
    }

    /// Does at most so many rows in a second, over the run: after each chunk it lets the sleeper sleep until the rate is
    /// kept.
    pub fn rows_per_second(mut self, rows: NonZeroU32, sleeper: impl Sleeper) -> Self {
        self.pace = Some((rows, Arc::new(sleeper)));
        self
    }

    /// The clock of rate and remaining time; the system's unless set.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Opens and seals everything and writes nothing: neither rows nor a checkpoint. Says what a job would do, and which
    /// rows do not open. Begins with the first row, whatever a checkpoint says.
    pub const fn dry_run(mut self) -> Self {
        self.mode = Mode::DryRun;
        self
    }

    /// Begins with the first row again, although a job of this name was begun or finished before, and over whichever
    /// tables. Rows that are as they should be are only looked at.
    pub const fn restart(mut self) -> Self {
        self.restart = true;
        self
    }

    /// Checks the declarations, and finds the checkpoint of the job or makes one.
    ///
    /// # Errors
    /// [`ResealError`]: a name that is no identifier, a declaration that cannot work, a job of this name over other
    /// tables, or the database.
    pub async fn open(self, database: impl Into<Database>) -> Result<ResealJob, ResealError> {
        if self.tables.is_empty() {
            return Err(ResealError::Declaration("name at least one table"));
        }
        let layouts = self.tables.iter().map(Layout::of).collect::<Result<Vec<_>, _>>()?;
        let mut plan = String::new();
        layouts.iter().for_each(|layout| layout.describe(&mut plan));
        let plan = digest::digest(&digest::SHA256, plan.as_bytes()).as_ref().to_vec();
        let store = Store::new(database.into(), &layouts);
        let mut rows_total = 0_u64;
        for at in 0..layouts.len() {
            rows_total = rows_total.saturating_add(store.count(at).await?);
        }
        let first = Checkpoint {
            job: self.name,
            revision: 1,
            plan,
            table: 0,
            cursor: None,
            counts: Counts::default(),
            rows_total,
        };
        let checkpoint = match self.mode {
            Mode::DryRun => first,
            Mode::Write => begin(&store, first, self.restart).await?,
        };
        let run = Run { begun: self.clock.monotonic(), rows: 0, told: false };
        let (sealer, opener, recorder) = (self.sealer, self.opener, self.recorder);
        let (chunk, clock, pace, mode) = (self.chunk, self.clock, self.pace, self.mode);
        Ok(ResealJob {
            sealer,
            opener,
            recorder,
            layouts,
            store,
            chunk,
            clock,
            pace,
            mode,
            checkpoint,
            run,
            ahead: None,
            read: None,
        })
    }
}

/// The checkpoint that a job goes on from.
async fn begin(store: &Store, first: Checkpoint, restart: bool) -> Result<Checkpoint, ResealError> {
    store.prepare().await?;
    store.create(&first).await?;
    let found = store.load(&first.job).await?.ok_or(ResealError::Elsewhere)?;
    if restart {
        let again = Checkpoint { revision: found.revision, ..first };
        store.commit(0, &[], Some(&again)).await?;
        return Ok(Checkpoint { revision: again.revision.saturating_add(1), ..again });
    }
    if found.plan == first.plan { Ok(found) } else { Err(ResealError::OtherTables) }
}

impl fmt::Debug for ResealJobBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResealJobBuilder")
            .field("name", &self.name)
            .field("tables", &self.tables)
            .finish_non_exhaustive()
    }
}

/// Seals rows again under the newest keys, in the suite of the sealer, with tags of the newest version. See the
/// [module](super).
///
/// It does nothing by itself: each call of [`next_chunk`](Self::next_chunk) works on one chunk. A future that is dropped
/// within leaves the chunk done or not begun, as a crash does.
pub struct ResealJob {
    sealer: Sealer,
    opener: Opener,
    recorder: Arc<dyn Recorder>,
    pub(super) layouts: Vec<Layout>,
    pub(super) store: Store,
    pub(super) chunk: NonZeroU32,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) pace: Option<(NonZeroU32, Arc<dyn Sleeper>)>,
    pub(super) mode: Mode,
    pub(super) checkpoint: Checkpoint,
    run: Run,
    /// What was made ready while the last chunk was written.
    pub(super) ahead: Option<Ahead>,
    /// The rows behind it.
    pub(super) read: Option<Page>,
}

/// What this process did.
struct Run {
    begun: Duration,
    rows: u64,
    /// Whether the audit log knows that it has begun.
    told: bool,
}

impl ResealJob {
    /// Begins with what every job needs. The name finds the checkpoint again: it is one for each task, such as
    /// `2026-11 suite 2`, and no PHI.
    pub fn builder(
        name: impl Into<String>,
        sealer: Sealer,
        opener: Opener,
        recorder: impl Recorder,
    ) -> ResealJobBuilder {
        ResealJobBuilder {
            name: name.into(),
            sealer,
            opener,
            recorder: Arc::new(recorder),
            tables: Vec::new(),
            chunk: CHUNK,
            clock: Arc::new(SystemClock::new()),
            pace: None,
            mode: Mode::Write,
            restart: false,
        }
    }

    /// Works on the next rows and says how far the job is; `None` when all is done.
    ///
    /// # Errors
    /// [`ResealError`]; what was committed stays, and the next call tries again from there.
    pub async fn next_chunk(&mut self) -> Result<Option<Progress>, ResealError> {
        if self.layouts.len() <= self.checkpoint.table {
            return Ok(None);
        }
        self.tell_begin().await?;
        match Box::pin(self.work()).await {
            Ok(left) => {
                let progress = self.progress_with(left);
                if progress.table.is_none() {
                    self.tell("reseal.end", Outcome::Success).await?;
                }
                self.keep_pace().await;
                Ok(Some(progress))
            }
            Err(error) => {
                // The error is what the caller needs to know; that the log may be down as well adds nothing.
                let _ = self.tell("reseal.stop", Outcome::Failed).await;
                Err(error)
            }
        }
    }

    /// Works until all is done.
    ///
    /// # Errors
    /// As [`next_chunk`](Self::next_chunk).
    pub async fn run(&mut self) -> Result<Progress, ResealError> {
        while self.next_chunk().await?.is_some() {}
        Ok(self.progress())
    }

    /// How far the job is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress_with(Vec::new())
    }

    /// How many values each key has in the tables of the job, counted by the database. A key may be retired when nothing
    /// refers to it any more, and everybody who may still seal with it has let go of it: after a lease.
    ///
    /// # Errors
    /// [`ResealError::Database`].
    pub async fn references(&self) -> Result<References, ResealError> {
        let mut found = self.store.references().await?;
        let not_sealed = found.remove(&None).unwrap_or(0);
        let by_key = found.into_iter().filter_map(|(kid, rows)| Some((kid?, rows))).collect();
        Ok(References { by_key, not_sealed })
    }

    /// One chunk, or the step to the next table.
    async fn work(&mut self) -> Result<Vec<LeftRow>, ResealError> {
        loop {
            let at = self.checkpoint.table;
            let Some(layout) = self.layouts.get(at) else { return Ok(Vec::new()) };
            let behind = self.checkpoint.cursor.as_deref().map(|text| key(layout, text)).transpose()?;
            let limit = i64::from(self.chunk.get());
            let (rows, renewal) = match self.ready() {
                Some((rows, renewal)) => (rows, Some(renewal)),
                None => {
                    let Some(layout) = self.layouts.get(at) else { return Ok(Vec::new()) };
                    (self.store.page(at, layout, behind.as_ref(), limit).await?, None)
                }
            };
            let Some(last) = rows.last().map(|row| row.key.to_text()) else {
                let next = Checkpoint { table: at.saturating_add(1), cursor: None, ..self.checkpoint.clone() };
                self.advance(at, next).await?;
                continue;
            };
            let (left, counts) = self.renew_rows(at, rows, renewal, last).await?;
            self.run.rows = self.run.rows.saturating_add(counts.rows);
            // The last chunk of the last table is the last one: a caller need not ask once more to know it.
            if counts.rows < u64::from(self.chunk.get()) {
                let next = Checkpoint { table: at.saturating_add(1), cursor: None, ..self.checkpoint.clone() };
                self.advance(at, next).await?;
            }
            return Ok(left);
        }
    }

    /// Renews the rows of a page and moves the checkpoint behind them.
    async fn renew_rows(
        &mut self,
        at: usize,
        rows: Vec<Arc<Row>>,
        mut ready: Option<Renewal>,
        last: String,
    ) -> Result<(Vec<LeftRow>, Counts), ResealError> {
        let (mut todo, mut left, mut counts) = (rows, Vec::new(), Counts::default());
        let looked_at = u64::try_from(todo.len()).unwrap_or(u64::MAX);
        let is_full = looked_at >= u64::from(self.chunk.get());
        for attempt in 0..ATTEMPTS {
            let renewal = match ready.take() {
                Some(ready) => ready,
                None => self.renew_once(at, &todo).await?,
            };
            counts.unreadable = counts.unreadable.saturating_add(renewal.counts.unreadable);
            counts.shredded = counts.shredded.saturating_add(renewal.counts.shredded);
            left.extend(renewal.left.iter().cloned());
            let fills = renewal.updates.iter().any(|update| update.fills.is_some());
            let mut done = counts;
            done.rows = looked_at;
            add_changes(&mut done, renewal.updates.iter());
            let next = self.moved(last.clone(), &done);
            if self.mode == Mode::DryRun {
                self.checkpoint = next;
                return Ok((left, done));
            }
            // Together with the checkpoint, unless something is left to be seen about after the rows were changed.
            let together = (!fills).then_some(&next);
            // The database reads and writes while the rows behind these are made ready.
            let behind = if is_full && attempt == 0 { self.behind(at, &last).await } else { None };
            let further = behind.as_ref().and_then(|page| page.next(u64::from(self.chunk.get())));
            let read_and_commit = async {
                let read = match &further {
                    Some(cursor) => self.look_ahead(at, cursor).await,
                    None => None,
                };
                (self.commit(at, &renewal.updates, together).await, read)
            };
            let ((changed, read), ahead) = both(read_and_commit, self.make_ready(behind)).await;
            self.ahead = ahead.or(self.ahead.take());
            self.read = read.or(self.read.take());
            let Some(changed) = changed? else {
                if attempt + 1 == ATTEMPTS {
                    return Err(ResealError::Contended);
                }
                continue;
            };
            let all = changed.iter().all(|changed| *changed);
            if all && !fills {
                self.checkpoint = Checkpoint { revision: next.revision.saturating_add(1), ..next };
                return Ok((left, done));
            }
            let was_changed = |(update, changed): (&'_ Update, &bool)| changed.then_some(update.row.key.clone());
            let kept = renewal.updates.iter().zip(&changed);
            add_changes(&mut counts, kept.clone().filter(|(_, changed)| **changed).map(|(update, _)| update));
            if fills {
                self.take_back(at, &renewal, &changed).await?;
            }
            let changed_keys: Vec<Key> = kept.clone().filter_map(was_changed).collect();
            let refused = renewal.updates.iter().filter(|update| !changed_keys.contains(&update.row.key));
            todo = self.read_again(at, refused.map(|update| &update.row.key)).await?;
            if todo.is_empty() {
                break;
            }
        }
        let Some(layout) = self.layouts.get(at) else { return Err(ResealError::OtherTables) };
        for row in &todo {
            counts.contended = counts.contended.saturating_add(1);
            let column = layout.sealed.first().map_or("", |sealed| sealed.column);
            left.push(LeftRow { table: layout.table, column, reason: LeftBecause::Contended, key: row.key.to_text() });
        }
        counts.rows = looked_at;
        let next = self.moved(last, &counts);
        self.advance(at, next).await?;
        Ok((left, counts))
    }

    /// What is to be done to the rows, with leases that lasted while it was found out.
    pub(super) async fn renew_once(&self, at: usize, rows: &[Arc<Row>]) -> Result<Renewal, ResealError> {
        let Some(layout) = self.layouts.get(at) else { return Err(ResealError::OtherTables) };
        for _ in 0..ATTEMPTS {
            let mut indexes = Vec::with_capacity(layout.tags.len());
            for tags in &layout.tags {
                indexes.push(Opened::open(tags.declared, self.sealer.keys()).await?);
            }
            if let Some(renewal) = renew((&self.sealer, &self.opener), layout, &indexes, rows).await? {
                return Ok(renewal);
            }
        }
        Err(ResealError::Contended)
    }

    /// A tag that was set where there was none cannot be told from one that a shred has just removed. So whoever was
    /// shredded in the meantime loses it again, before the checkpoint says that the rows are done.
    async fn take_back(&self, at: usize, renewal: &Renewal, changed: &[bool]) -> Result<(), ResealError> {
        let Some(layout) = self.layouts.get(at) else { return Ok(()) };
        let filled = renewal.updates.iter().zip(changed).filter(|(_, changed)| **changed);
        let filled: Vec<_> = filled.filter_map(|(update, _)| Some((update, update.fills?))).collect();
        let mut removals = Vec::new();
        for (place, scope) in renewal.scopes.iter().enumerate() {
            if !filled.iter().any(|(_, of)| *of == place) {
                continue;
            }
            match self.opener.for_scope(scope).await {
                Ok(_) => {}
                Err(phi_keys::Error::Shredded) => {
                    for (update, _) in filled.iter().filter(|(_, of)| *of == place) {
                        let tags = layout.sealed.len();
                        let new = update.new.iter().enumerate().map(|(at, value)| value.clone().filter(|_| at < tags));
                        let row = Row { key: update.row.key.clone(), written: update.new.clone(), texts: Vec::new() };
                        removals.push(Update {
                            row: Arc::new(row),
                            new: new.collect(),
                            resealed: 0,
                            tags: 0,
                            fills: None,
                        });
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        if !removals.is_empty() {
            self.store.commit(at, &removals, None).await?;
        }
        Ok(())
    }

    /// The rows that somebody else changed, as they are now; those that are gone need nothing.
    async fn read_again(
        &self,
        at: usize,
        keys: impl Iterator<Item = &Key> + Send,
    ) -> Result<Vec<Arc<Row>>, ResealError> {
        let Some(layout) = self.layouts.get(at) else { return Err(ResealError::OtherTables) };
        let mut rows = Vec::new();
        for key in keys.cloned().collect::<Vec<_>>() {
            rows.extend(self.store.one(at, layout, &key).await?);
        }
        Ok(rows)
    }

    /// `None` when the database chose this transaction as a victim, and it is to be tried again.
    async fn commit(
        &self,
        at: usize,
        updates: &[Update],
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Option<Vec<bool>>, ResealError> {
        match self.store.commit(at, updates, checkpoint).await {
            Ok(changed) => Ok(Some(changed)),
            Err(ResealError::Database(sqlx::Error::Database(reason)))
                if matches!(reason.code().as_deref(), Some("40001" | "40P01")) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The checkpoint behind the row with this key.
    fn moved(&self, last: String, counts: &Counts) -> Checkpoint {
        let mut next = Checkpoint { cursor: Some(last), ..self.checkpoint.clone() };
        next.counts.add(counts);
        next
    }

    async fn advance(&mut self, at: usize, next: Checkpoint) -> Result<(), ResealError> {
        if self.mode == Mode::Write {
            self.store.commit(at, &[], Some(&next)).await?;
        }
        self.checkpoint = Checkpoint { revision: next.revision.saturating_add(1), ..next };
        Ok(())
    }

    fn progress_with(&self, left: Vec<LeftRow>) -> Progress {
        let Checkpoint { counts, rows_total, table, .. } = &self.checkpoint;
        let elapsed = self.clock.monotonic().saturating_sub(self.run.begun).as_secs_f64();
        let rate = if elapsed > 0.0 { self.run.rows as f64 / elapsed } else { 0.0 };
        let table = self.layouts.get(*table).map(|layout| layout.table);
        let rest = rows_total.saturating_sub(counts.rows) as f64;
        let remaining = table.filter(|_| rate > 0.0).and_then(|_| Duration::try_from_secs_f64(rest / rate).ok());
        Progress { table, counts: *counts, rows_total: *rows_total, rows_per_second: rate, remaining, left }
    }

    async fn keep_pace(&self) {
        let Some((rate, sleeper)) = &self.pace else { return };
        let due = Duration::try_from_secs_f64(self.run.rows as f64 / f64::from(rate.get())).unwrap_or(Duration::MAX);
        let elapsed = self.clock.monotonic().saturating_sub(self.run.begun);
        if let Some(early) = due.checked_sub(elapsed).filter(|early| !early.is_zero()) {
            sleeper.sleep(early).await;
        }
    }

    /// Before anything is opened, the log knows who will open everything.
    async fn tell_begin(&mut self) -> Result<(), ResealError> {
        if !self.run.told {
            self.tell("reseal.begin", Outcome::Success).await?;
            self.run.told = true;
        }
        Ok(())
    }

    async fn tell(&self, kind: &'static str, outcome: Outcome) -> Result<(), ResealError> {
        let Checkpoint { job, counts, rows_total, .. } = &self.checkpoint;
        let tables = self.layouts.iter().map(|layout| layout.table).collect::<Vec<_>>().join(", ");
        let activity = Activity::new(kind, Action::Update, outcome, self.clock.now())
            .with("job", job.clone())
            .with("tables", tables)
            .with("dry_run", self.mode == Mode::DryRun)
            .with("rows_total", *rows_total)
            .with("rows", counts.rows)
            .with("resealed", counts.resealed)
            .with("tags", counts.tags)
            .with("contended", counts.contended)
            .with("unreadable", counts.unreadable)
            .with("shredded", counts.shredded);
        Ok(self.recorder.record(activity).await?)
    }
}

/// A job can be given to [`Keys::retire`](phi_keys::Keys::retire) and [`Keys::destroy`](phi_keys::Keys::destroy): what is
/// not in one of its tables, it does not count.
impl phi_keys::References for ResealJob {
    fn count(&self, kid: KeyId) -> phi_keys::ReferencesFuture<'_> {
        Box::pin(async move { Ok(self.references().await?.remaining(kid)) })
    }
}

/// Counts what changes.
fn add_changes<'u>(counts: &mut Counts, updates: impl Iterator<Item = &'u Update>) {
    for update in updates {
        counts.resealed = counts.resealed.saturating_add(update.resealed);
        counts.tags = counts.tags.saturating_add(update.tags);
    }
}

/// A key as the checkpoint keeps it.
pub(super) fn key(layout: &Layout, text: &str) -> Result<Key, ResealError> {
    match layout.kind {
        KeyKind::Text | KeyKind::Uuid => Ok(Key::Text(text.to_owned())),
        // The table's key was of another kind when the checkpoint was written.
        KeyKind::Integer => text.parse().map(Key::Integer).map_err(|_| ResealError::OtherTables),
    }
}

impl fmt::Debug for ResealJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResealJob")
            .field("name", &self.checkpoint.job)
            .field("mode", &self.mode)
            .field("counts", &self.checkpoint.counts)
            .finish_non_exhaustive()
    }
}
