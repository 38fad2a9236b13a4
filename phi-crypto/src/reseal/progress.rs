//! How far a job is.

use core::fmt;
use core::time::Duration;

/// What was done to how many rows, over all runs of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Rows that were looked at.
    pub rows: u64,
    /// Values that were sealed again.
    pub resealed: u64,
    /// Tags that were computed again, set for the first time, or removed.
    pub tags: u64,
    /// Rows that others changed again and again while they were resealed, and that were left as they are.
    pub contended: u64,
    /// Rows that do not open, and that were left as they are.
    pub unreadable: u64,
    /// Rows of shredded patients. Their values cannot be opened; a tag that was left is removed.
    pub shredded: u64,
}

impl Counts {
    pub(super) const fn add(&mut self, other: &Self) {
        self.rows = self.rows.saturating_add(other.rows);
        self.resealed = self.resealed.saturating_add(other.resealed);
        self.tags = self.tags.saturating_add(other.tags);
        self.contended = self.contended.saturating_add(other.contended);
        self.unreadable = self.unreadable.saturating_add(other.unreadable);
        self.shredded = self.shredded.saturating_add(other.shredded);
    }
}

/// How far a job is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Progress {
    /// The table that is worked on; `None` when all are done.
    pub table: Option<&'static str>,
    /// What was done, over all runs of the job.
    pub counts: Counts,
    /// Rows of all tables when the job was begun.
    pub rows_total: u64,
    /// Rows per second of this run, by the injected clock; zero before the first chunk.
    pub rows_per_second: f64,
    /// How long the rest will take at this rate; `None` while there is none.
    pub remaining: Option<Duration>,
    /// Rows of the last chunk that were left as they are.
    pub left: Vec<LeftRow>,
}

impl Progress {
    /// The part of the rows that was looked at, from 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.table.is_none() { 1.0 } else { (self.counts.rows as f64 / self.rows_total.max(1) as f64).min(1.0) }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { rows, resealed, unreadable, .. } = self.counts;
        write!(f, "{:.1} %, {rows} of {} rows, {resealed} values resealed", self.share() * 100.0, self.rows_total)?;
        if unreadable > 0 {
            write!(f, ", {unreadable} rows do not open")?;
        }
        match self.remaining {
            Some(remaining) => write!(f, ", {} s left at {:.0} rows/s", remaining.as_secs(), self.rows_per_second),
            None => Ok(()),
        }
    }
}

/// A row that was left as it is.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftRow {
    /// Its table.
    pub table: &'static str,
    /// The column that it was left for.
    pub column: &'static str,
    /// Why.
    pub reason: LeftBecause,
    pub(super) key: String,
}

impl LeftRow {
    /// The row's key as text. It can identify a patient: for the eyes of who mends the row, not for logs.
    #[must_use]
    pub fn expose_key(&self) -> &str {
        &self.key
    }
}

impl fmt::Debug for LeftRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeftRow({}.{} {:?})", self.table, self.column, self.reason)
    }
}

/// Why a row was left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LeftBecause {
    /// The column holds something that was never sealed.
    NotSealed,
    /// Its key does not exist, opens no more, or belongs to another patient than the row says.
    Key,
    /// It does not open in this place: it was altered or moved, or the declaration binds something else.
    Refused,
    /// What the declaration binds is missing from the row, such as its patient.
    Place,
    /// An indexed value is no text.
    NotText,
    /// Others changed the row again and again.
    Contended,
    /// It is under a cipher that the validated module of the keys does not have: bring it under another suite on *ring*.
    NotApproved,
}
