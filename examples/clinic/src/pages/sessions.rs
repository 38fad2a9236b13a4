//! Who is signed in.

use maud::{Markup, html};

use super::layout::{Who, frame};

/// A live session, by its public id.
#[derive(Debug)]
pub(crate) struct SessionRow {
    pub(crate) public_id: String,
    pub(crate) user: String,
    pub(crate) level: String,
    pub(crate) since: String,
    pub(crate) until: String,
}

pub(crate) fn sessions(who: &Who, rows: &[SessionRow]) -> Markup {
    let content = html! {
        table {
            caption { (rows.len()) " sessions" }
            thead {
                tr {
                    th scope="col" { "Session" } th scope="col" { "Account" } th scope="col" { "Level" }
                    th scope="col" { "Since (UTC)" } th scope="col" { "Until, unless used" } th scope="col" { "Action" }
                }
            }
            tbody {
                @for row in rows {
                    tr {
                        td { (row.public_id) } td { (row.user) } td { (row.level) } td { (row.since) } td { (row.until) }
                        td {
                            form method="post" action="/sessions/revoke" {
                                input type="hidden" name="session" value=(row.public_id);
                                button aria-label={ "End the session " (row.public_id) } { "End" }
                            }
                        }
                    }
                }
            }
        }
    };
    frame("Sessions", Some(who), &content)
}
