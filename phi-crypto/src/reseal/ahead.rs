//! The next chunk, made ready while the database writes the one before it.

use core::time::Duration;

use super::job::{Mode, ResealJob, key};
use super::renew::Renewal;
use super::store::Row;

/// How old it may be when its turn comes. Whoever retires a key counts on it that a value is not written long after it was
/// sealed.
const FRESH: Duration = Duration::from_secs(1);

/// The rows of a chunk, and what is to be done to them.
pub(super) struct Ahead {
    table: usize,
    cursor: String,
    begun: Duration,
    rows: Vec<Row>,
    renewal: Renewal,
}

impl ResealJob {
    /// The rows behind one, read before the chunk that ends with it is written: then one connection is enough. None when
    /// they cannot be had now, or are the job's to ask for: they are then read when their turn comes, and what is wrong is
    /// reported there.
    pub(super) async fn look_ahead(&self, table: usize, cursor: &str) -> Vec<Row> {
        // A job that is to be slow has nothing to gain.
        if self.mode == Mode::DryRun || self.pace.is_some() {
            return Vec::new();
        }
        let layout = self.layouts.get(table);
        let Some((layout, behind)) = layout.and_then(|layout| Some((layout, key(layout, cursor).ok()?))) else {
            return Vec::new();
        };
        let limit = i64::from(self.chunk.get());
        self.store.page(table, layout, Some(&behind), limit).await.unwrap_or_default()
    }

    /// Makes ready what was read ahead.
    pub(super) async fn make_ready(&self, table: usize, cursor: &str, rows: Vec<Row>) -> Option<Ahead> {
        if rows.is_empty() {
            return None;
        }
        let begun = self.clock.monotonic();
        let renewal = self.renew_once(table, &rows).await.ok()?;
        Some(Ahead { table, cursor: cursor.to_owned(), begun, rows, renewal })
    }

    /// What was made ready for the place where the job is, unless it is too old.
    pub(super) fn ready(&mut self) -> Option<(Vec<Row>, Renewal)> {
        let ahead = self.ahead.take()?;
        let (table, cursor) = (self.checkpoint.table, self.checkpoint.cursor.as_deref());
        let fits = ahead.table == table && Some(ahead.cursor.as_str()) == cursor;
        let fresh = self.clock.monotonic().saturating_sub(ahead.begun) <= FRESH;
        (fits && fresh).then_some((ahead.rows, ahead.renewal))
    }
}
