//! What each entry shows by itself: its columns, and its place in what its writer wrote.

use std::collections::BTreeMap;

use crate::store::Columns;
use crate::{AuditStore, Error, Event, Finding, Problem, WriterId};

/// The name of the first derived column that does not say what the entry says.
pub(super) fn wrong_column(event: &Event, stored: &Columns) -> Option<&'static str> {
    let right = Columns::of(event);
    [
        ("writer", right.writer == stored.writer),
        ("sequence", right.sequence == stored.sequence),
        ("at", right.at == stored.at),
        ("kind", right.kind == stored.kind),
        ("actor", right.actor == stored.actor),
        ("subject", right.subject == stored.subject),
        ("session", right.session == stored.session),
    ]
    .into_iter()
    .find(|(_, fits)| !fits)
    .map(|(name, _)| name)
}

/// Follows what each writer wrote.
#[derive(Debug, Default)]
pub(super) struct Writers {
    written: BTreeMap<WriterId, Written>,
    /// Altered entries whose writer and number are not known: they account for as many numbers that seem missing.
    skipped: u64,
}

#[derive(Debug, Default)]
struct Written {
    next: u64,
    closed: bool,
}

impl Writers {
    /// Takes the next entry of the log and says what is wrong with its number.
    pub(super) fn follow(&mut self, event: &Event) -> Option<Problem> {
        if let Some(phi_types::Detail::Bytes(previous)) = event.detail("previous")
            && event.kind == "audit.writer.start"
            && let Ok(previous) = previous.as_slice().try_into()
        {
            self.written.entry(WriterId::from_bytes(previous)).or_default().closed = true;
        }
        let written = self.written.entry(event.writer).or_default();
        let (expected, found) = (written.next, event.sequence);
        written.closed = event.kind == "audit.writer.stop";
        let Some(gap) = found.checked_sub(expected) else { return Some(Problem::Duplicate) };
        written.next = found.saturating_add(1);
        if gap <= self.skipped {
            self.skipped -= gap;
            return None;
        }
        // A gap that is above what was skipped is above zero, so `found` is, too.
        Some(Problem::Gap { writer: event.writer, first: expected, last: found.saturating_sub(1), claimed: false })
    }

    /// An entry that is told to be wrong anyway.
    pub(super) const fn skip(&mut self) {
        self.skipped += 1;
    }

    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.written.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn unknown_ends(&self) -> u64 {
        u64::try_from(self.written.values().filter(|written| !written.closed).count()).unwrap_or(u64::MAX)
    }
}

/// Whether what is missing in a gap still waits among the pending rows.
pub(super) async fn claim(store: &dyn AuditStore, findings: &mut [Finding], quarantined: u64) -> Result<(), Error> {
    if !findings.iter().any(|finding| matches!(finding.problem, Problem::Gap { .. })) {
        return Ok(());
    }
    let pending = store.pending(u32::MAX).await?;
    for finding in findings {
        if let Problem::Gap { writer, first, last, claimed } = &mut finding.problem {
            *claimed = quarantined > 0
                || pending.iter().any(|row| row.writer == *writer && (*first..=*last).contains(&row.sequence));
        }
    }
    Ok(())
}
