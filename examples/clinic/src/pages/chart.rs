//! One patient's chart.

use maud::{Markup, html};
use phi_types::Phi;

use super::layout::{Who, frame};
use crate::fhir::{Identifier, Identifiers};

/// What a chart shows.
#[derive(Debug)]
pub(crate) struct Chart {
    pub(crate) identifiers: Identifiers,
    pub(crate) records: Vec<Record>,
}

/// One line about a clinical record.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) kind: String,
    pub(crate) date: Phi<String>,
    pub(crate) what: Phi<String>,
}

/// What treatment needs; everything else stays sealed in the database (45 CFR 164.502(b), minimum necessary).
pub(crate) const SHOWN: [Identifier; 10] = [
    Identifier::Name,
    Identifier::MaidenName,
    Identifier::BirthDate,
    Identifier::DeathDate,
    Identifier::Mrn,
    Identifier::Address,
    Identifier::Phone,
    Identifier::Email,
    Identifier::HealthPlan,
    Identifier::Contact,
];

pub(crate) fn chart(who: &Who, chart: &Chart) -> Markup {
    frame(
        "Chart",
        Some(who),
        &html! {
            table {
                caption { "Patient" }
                tbody {
                    @for (kind, value) in chart.identifiers.iter() {
                        tr { th scope="row" { (kind.label()) } td.lines { (value.expose()) } }
                    }
                }
            }
            h2 { "Records" }
            table {
                caption { (chart.records.len()) " records" }
                thead { tr { th scope="col" { "Date" } th scope="col" { "Kind" } th scope="col" { "What" } } }
                tbody {
                    @for record in &chart.records {
                        tr { td { (record.date.expose()) } td { (record.kind) } td { (record.what.expose()) } }
                    }
                }
            }
        },
    )
}
