//! Finding a patient by an exact number.

use maud::{Markup, html};
use phi_types::Phi;

use super::layout::{Who, frame};

/// A patient that was found.
#[derive(Debug)]
pub(crate) struct Hit {
    pub(crate) id: String,
    pub(crate) name: Phi<String>,
    pub(crate) birth_date: Phi<String>,
}

/// The search form and, after a search, what it found. The number that was searched for is not repeated.
pub(crate) fn search(who: &Who, found: Option<&[Hit]>) -> Markup {
    frame(
        "Find a patient",
        Some(who),
        &html! {
            form method="post" action="/search" {
                label for="by" { "Search by" }
                select #by name="by" {
                    option value="mrn" { "Medical record number" }
                    option value="ssn" { "Social security number" }
                }
                label for="number" { "Number, complete" }
                input #number name="number" autocomplete="off" spellcheck="false" required;
                button { "Search" }
            }
            @if let Some(found) = found {
                h2 { "Found" }
                p role="status" { (found.len()) @if found.len() == 1 { " patient" } @else { " patients" } }
                @if !found.is_empty() {
                    table {
                        thead { tr { th scope="col" { "Name" } th scope="col" { "Date of birth" } } }
                        tbody {
                            @for hit in found {
                                tr {
                                    td { a href={ "/patients/" (hit.id) } { (hit.name.expose()) } }
                                    td { (hit.birth_date.expose()) }
                                }
                            }
                        }
                    }
                }
            }
        },
    )
}
