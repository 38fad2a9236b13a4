//! Opening a chart.

use phi_crypto::{ScopedOpener, Sealed};
use phi_keys::Scope;
use phi_types::SubjectId;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{ChartError, Records, place, summary};
use crate::failure::{Doing, Failure};
use crate::fhir::{Identifier, Identifiers};
use crate::pages::{Chart, Record};

impl Records {
    /// The chosen identifiers of a patient; others stay sealed.
    pub(crate) async fn identifiers(
        &self,
        patient: &SubjectId,
        wanted: &[Identifier],
    ) -> Result<Identifiers, ChartError> {
        let row = self.row(patient).await?;
        let opener = self.opener(patient).await?;
        open_identifiers(&row, &opener, patient, wanted)
    }

    /// The chosen identifiers and a line about each record.
    pub(crate) async fn chart(&self, patient: &SubjectId, wanted: &[Identifier]) -> Result<Chart, ChartError> {
        let row = self.row(patient).await?;
        let opener = self.opener(patient).await?;
        let identifiers = open_identifiers(&row, &opener, patient, wanted)?;
        let doing = "reading a chart";
        let rows = sqlx::query("SELECT id, kind, body FROM clinic_documents WHERE patient = ? AND kind <> 'Patient'")
            .bind(patient.expose())
            .fetch_all(&self.db)
            .await
            .doing(doing)?;
        let mut records = Vec::with_capacity(rows.len());
        for row in &rows {
            let (id, kind): (String, String) = (column(row, "id")?, column(row, "kind")?);
            let body: Sealed<Vec<u8>> = column(row, "body")?;
            let body = opener.open(&body, &place::document(&id, &kind)).map_err(ChartError::opening("body"))?;
            let (date, what) = summary::of(&body);
            records.push(Record { kind, date, what });
        }
        records.sort_by(|one, other| other.date.cmp(&one.date));
        Ok(Chart { identifiers, records })
    }

    async fn row(&self, patient: &SubjectId) -> Result<SqliteRow, ChartError> {
        let row = sqlx::query("SELECT * FROM clinic_patients WHERE id = ?").bind(patient.expose());
        let row = row.fetch_optional(&self.db).await.doing("reading a chart")?;
        row.ok_or(ChartError::Unknown)
    }

    async fn opener(&self, patient: &SubjectId) -> Result<ScopedOpener, ChartError> {
        self.opener.for_scope(&Scope::subject(patient)).await.map_err(|error| match error {
            phi_keys::Error::Shredded => ChartError::Shredded,
            other => ChartError::Failed(Failure::While { doing: "obtaining a patient's key", source: other.into() }),
        })
    }
}

fn open_identifiers(
    row: &SqliteRow,
    opener: &ScopedOpener,
    patient: &SubjectId,
    wanted: &[Identifier],
) -> Result<Identifiers, ChartError> {
    let mut opened = Vec::with_capacity(wanted.len());
    for kind in wanted {
        let sealed: Option<Sealed<String>> = column(row, kind.column())?;
        if let Some(sealed) = sealed {
            let context = place::identifier(*kind, patient.expose());
            opened.push((*kind, opener.open(&sealed, &context).map_err(ChartError::opening(kind.column()))?));
        }
    }
    Ok(opened.into_iter().collect())
}

fn column<'r, T>(row: &'r SqliteRow, name: &'static str) -> Result<T, ChartError>
where
    T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    row.try_get(name).map_err(|error| match error {
        // A sealed column that holds something else was written by somebody else.
        sqlx::Error::ColumnDecode { .. } => ChartError::Altered(name),
        other => ChartError::Failed(Failure::While { doing: "reading a column", source: other.into() }),
    })
}
