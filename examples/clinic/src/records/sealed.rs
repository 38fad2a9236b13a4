//! Whether everything that is stored of patients is sealed, asked of the rows themselves.

use phi_crypto::{Sealed, Tag};
use sqlx::sqlite::SqliteRow;
use sqlx::{Column, Row};

use super::Records;
use crate::failure::{Doing, Failure};
use crate::fhir::{Identifier, resource_type};

/// Sealed values in the database.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SealedValues {
    pub(crate) identifiers: u64,
    pub(crate) documents: u64,
}

/// A value in clear, or something else that is not what it ought to be: its table and column.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InClear(pub(crate) String);

/// Rows that are held in memory at a time.
const PAGE: usize = 500;

const DOING: &str = "looking at stored values";

impl Records {
    /// Counts the sealed values, or names the first column that holds something else. Beside them stand record ids, which
    /// are random, keyed tags, and the types of resources.
    pub(crate) async fn sealed_values(&self) -> Result<Result<SealedValues, InClear>, Failure> {
        let mut found = SealedValues::default();
        for (table, query) in [
            ("clinic_patients", "SELECT * FROM clinic_patients WHERE id > ? ORDER BY id LIMIT 500"),
            ("clinic_documents", "SELECT * FROM clinic_documents WHERE id > ? ORDER BY id LIMIT 500"),
        ] {
            let mut after = String::new();
            loop {
                let rows = sqlx::query(query).bind(&after).fetch_all(&self.db).await.doing(DOING)?;
                for row in &rows {
                    if let Some(column) = look_at(row, &mut found) {
                        return Ok(Err(InClear(format!("{table}.{column}"))));
                    }
                }
                match rows.last() {
                    Some(last) if rows.len() == PAGE => after = last.try_get("id").doing(DOING)?,
                    _ => break,
                }
            }
        }
        Ok(Ok(found))
    }
}

/// The first column of a row that is not what it ought to be.
fn look_at(row: &SqliteRow, found: &mut SealedValues) -> Option<String> {
    for column in row.columns() {
        let name = column.name();
        let holds = match name {
            "id" => is_record_id(row.try_get(name).ok()),
            "patient" => row.try_get(name).is_ok_and(|id: Option<String>| id.is_none() || is_record_id(id)),
            "kind" => row.try_get(name).is_ok_and(|kind: String| resource_type(&kind).is_some()),
            "source_tag" | "mrn_tag" | "ssn_tag" => row.try_get::<Option<Tag>, _>(name).is_ok(),
            "body" => {
                found.documents += 1;
                row.try_get::<Sealed<Vec<u8>>, _>(name).is_ok()
            }
            _ if Identifier::ALL.iter().any(|kind| kind.column() == name) => {
                let value = row.try_get::<Option<Sealed<String>>, _>(name);
                found.identifiers += u64::from(matches!(value, Ok(Some(_))));
                value.is_ok()
            }
            // A column that nobody has thought about.
            _ => false,
        };
        if !holds {
            return Some(name.to_owned());
        }
    }
    None
}

/// A random UUID, and nothing else that was taken for an id.
fn is_record_id(id: Option<String>) -> bool {
    id.and_then(|id| uuid::Uuid::parse_str(&id).ok()).is_some_and(|id| id.get_version_num() == 4)
}

#[cfg(test)]
#[path = "sealed_tests.rs"]
mod tests;
