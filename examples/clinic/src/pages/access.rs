//! The audit log: whether it holds, and who opened a chart.

use maud::{Markup, html};

use super::layout::{Who, frame};

/// What the verification of the whole log said.
#[derive(Debug)]
pub(crate) struct LogState {
    pub(crate) intact: bool,
    pub(crate) summary: String,
}

/// One entry of the log.
#[derive(Debug)]
pub(crate) struct AccessRow {
    pub(crate) at: String,
    pub(crate) kind: String,
    pub(crate) actor: String,
    pub(crate) purpose: String,
    pub(crate) outcome: String,
}

/// The page of a security officer. `accesses` are those of the patient that was asked for; `None` before the question.
pub(crate) fn access(who: &Who, state: &LogState, latest: &[AccessRow], accesses: Option<&[AccessRow]>) -> Markup {
    frame(
        "Audit log",
        Some(who),
        &html! {
            @if state.intact { p role="status" { (state.summary) } } @else { p role="alert" { (state.summary) } }
            h2 { "Who opened a chart" }
            form method="post" action="/audit" {
                label for="mrn" { "Medical record number, complete" }
                input #mrn name="mrn" autocomplete="off" spellcheck="false" required;
                button { "Show" }
            }
            @if let Some(accesses) = accesses { (rows("Entries about this patient", accesses)) }
            h2 { "Latest entries" }
            (rows("Without patients", latest))
        },
    )
}

fn rows(caption: &str, rows: &[AccessRow]) -> Markup {
    html! {
        table {
            caption { (caption) ": " (rows.len()) }
            thead {
                tr {
                    th scope="col" { "Time (UTC)" } th scope="col" { "What" } th scope="col" { "Who" }
                    th scope="col" { "Purpose" } th scope="col" { "Outcome" }
                }
            }
            tbody {
                @for row in rows {
                    tr { td { (row.at) } td { (row.kind) } td { (row.actor) } td { (row.purpose) } td { (row.outcome) } }
                }
            }
        }
    }
}
