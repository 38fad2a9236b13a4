//! Who is signed in.

use maud::{Markup, html};

use super::layout::{Who, frame};

/// A session, by its public id.
#[derive(Debug)]
pub(crate) struct SessionRow {
    pub(crate) public_id: String,
    pub(crate) user: String,
    pub(crate) since: String,
    pub(crate) state: String,
    pub(crate) open: bool,
}

pub(crate) fn sessions(who: &Who, rows: &[SessionRow]) -> Markup {
    frame("Sessions", Some(who), &html! {
        table {
            caption { (rows.len()) " sessions" }
            thead {
                tr {
                    th scope="col" { "Session" } th scope="col" { "Account" } th scope="col" { "Since (UTC)" }
                    th scope="col" { "State" } th scope="col" { "Action" }
                }
            }
            tbody {
                @for row in rows {
                    tr {
                        td { (row.public_id) } td { (row.user) } td { (row.since) } td { (row.state) }
                        td {
                            @if row.open {
                                form method="post" action="/sessions/revoke" {
                                    input type="hidden" name="session" value=(row.public_id);
                                    button aria-label={ "End the session " (row.public_id) } { "End" }
                                }
                            }
                        }
                    }
                }
            }
        }
    })
}
