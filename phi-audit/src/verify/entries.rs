//! What each entry shows by itself: its columns, and its place in what its writer wrote.

use std::collections::BTreeMap;

use phi_types::Detail;

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
    /// Gaps that were found: their last number by writer and first number.
    gaps: BTreeMap<(WriterId, u64), u64>,
    /// Altered entries whose writer and number are not known: they account for as many numbers that seem missing.
    skipped: u64,
}

#[derive(Debug, Default)]
struct Written {
    next: u64,
    closed: bool,
}

impl Writers {
    /// Takes the next entry of the log and says what is wrong with its number, or with the end of the writer that it
    /// replaces.
    pub(super) fn follow(&mut self, event: &Event) -> impl Iterator<Item = Problem> + use<> {
        let ended = self.close(event);
        let written = self.written.entry(event.writer).or_default();
        written.closed = event.kind == "audit.writer.stop";
        let numbered = if event.sequence < written.next {
            Some(self.repeated(event.writer, event.sequence))
        } else {
            self.reach(event.writer, event.sequence, event.sequence.saturating_add(1))
        };
        ended.into_iter().chain(numbered)
    }

    /// What is wrong with a number below the next one.
    fn repeated(&self, writer: WriterId, sequence: u64) -> Problem {
        match self.gaps.range((writer, 0)..=(writer, sequence)).next_back() {
            Some((_, last)) if sequence <= *last => Problem::Late { writer, sequence },
            _ => Problem::Duplicate,
        }
    }

    /// A start says whom it replaces, and how much of what that one wrote was acknowledged.
    fn close(&mut self, event: &Event) -> Option<Problem> {
        let Some(Detail::Bytes(previous)) = event.detail("previous").filter(|_| event.kind == "audit.writer.start")
        else {
            return None;
        };
        let previous = WriterId::from_bytes(previous.as_slice().try_into().ok()?);
        self.written.entry(previous).or_default().closed = true;
        match event.detail("acknowledged") {
            Some(Detail::Count(acknowledged)) => self.reach(previous, *acknowledged, *acknowledged),
            _ => None,
        }
    }

    /// The numbers of a writer below `until` must have come; the next one is `next`, unless it is higher already.
    fn reach(&mut self, writer: WriterId, until: u64, next: u64) -> Option<Problem> {
        let written = self.written.entry(writer).or_default();
        let first = written.next;
        written.next = first.max(next);
        let gap = until.saturating_sub(first);
        if gap <= self.skipped {
            self.skipped -= gap;
            return None;
        }
        // A gap that is above what was skipped is above zero, so `until` is, too.
        let last = until.saturating_sub(1);
        self.gaps.insert((writer, first), last);
        Some(Problem::Gap { writer, first, last, claimed: false })
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
