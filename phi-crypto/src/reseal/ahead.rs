//! The next chunks, read and made ready while the database writes the one before them.

use core::time::Duration;
use std::sync::Arc;

use super::job::{Mode, ResealJob, key};
use super::renew::Renewal;
use super::store::Row;

/// How old they may be when their turn comes. Whoever retires a key counts on it that a value is not written long after it
/// was sealed.
const FRESH: Duration = Duration::from_secs(1);

/// Rows that were read before their turn.
pub(super) struct Page {
    table: usize,
    /// The key that they are behind.
    cursor: String,
    begun: Duration,
    pub(super) rows: Vec<Arc<Row>>,
}

impl Page {
    /// The cursor of the page behind this one, unless this is the last.
    pub(super) fn next(&self, chunk: u64) -> Option<String> {
        let is_full = u64::try_from(self.rows.len()).is_ok_and(|rows| rows >= chunk);
        self.rows.last().filter(|_| is_full).map(|row| row.key.to_text())
    }
}

/// The rows of a chunk, and what is to be done to them.
pub(super) struct Ahead {
    page: Page,
    renewal: Renewal,
}

impl ResealJob {
    /// The rows behind one, read before the chunk that ends with it is written: then one connection is enough. None when
    /// they cannot be had now, or are the job's to ask for: they are then read when their turn comes, and what is wrong is
    /// reported there.
    pub(super) async fn look_ahead(&self, table: usize, cursor: &str) -> Option<Page> {
        // A job that is to be slow has nothing to gain.
        if self.mode == Mode::DryRun || self.pace.is_some() {
            return None;
        }
        let layout = self.layouts.get(table)?;
        let (behind, begun) = (key(layout, cursor).ok()?, self.clock.monotonic());
        let rows = self.store.page(table, layout, Some(&behind), i64::from(self.chunk.get())).await.ok()?;
        (!rows.is_empty()).then(|| Page { table, cursor: cursor.to_owned(), begun, rows })
    }

    /// The rows behind one that were read while the chunk before was written, or [read](Self::look_ahead) now.
    pub(super) async fn behind(&mut self, table: usize, cursor: &str) -> Option<Page> {
        match self.read.take() {
            Some(page) if self.fits(&page, table, Some(cursor)) => Some(page),
            _ => self.look_ahead(table, cursor).await,
        }
    }

    /// Makes ready what was read ahead.
    pub(super) async fn make_ready(&self, page: Option<Page>) -> Option<Ahead> {
        let page = page?;
        let begun = self.clock.monotonic();
        let renewal = self.renew_once(page.table, &page.rows).await.ok()?;
        Some(Ahead { page: Page { begun, ..page }, renewal })
    }

    /// What was made ready for the place where the job is, unless it is too old.
    pub(super) fn ready(&mut self) -> Option<(Vec<Arc<Row>>, Renewal)> {
        let Ahead { page, renewal } = self.ahead.take()?;
        let fits = self.fits(&page, self.checkpoint.table, self.checkpoint.cursor.as_deref());
        fits.then_some((page.rows, renewal))
    }

    fn fits(&self, page: &Page, table: usize, cursor: Option<&str>) -> bool {
        let is_fresh = self.clock.monotonic().saturating_sub(page.begun) <= FRESH;
        page.table == table && Some(page.cursor.as_str()) == cursor && is_fresh
    }
}
