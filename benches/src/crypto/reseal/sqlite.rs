//! The statements on SQLite, as the job makes them.

use std::path::Path;

use phi_crypto::reseal::Database;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row as _, SqlitePool};

use super::{BATCH, Change, Patient, Raw};
use crate::Result;

const CREATE: &str = "CREATE TABLE patients (id TEXT PRIMARY KEY, name BLOB, ssn BLOB, ssn_tag BLOB);
    CREATE INDEX by_tag ON patients (ssn_tag);
    CREATE TABLE checkpoint (revision INTEGER NOT NULL, behind TEXT);
    INSERT INTO checkpoint VALUES (0, NULL)";
const FIRST: &str = r#"SELECT t."id", t."name", t."ssn", t."ssn_tag", CAST(t."id" AS TEXT) FROM "patients" AS t
    WHERE t."id" IS NOT NULL ORDER BY t."id" LIMIT $1"#;
const NEXT: &str = r#"SELECT t."id", t."name", t."ssn", t."ssn_tag", CAST(t."id" AS TEXT) FROM "patients" AS t
    WHERE t."id" > $2 ORDER BY t."id" LIMIT $1"#;
const UPDATE: &str = r#"UPDATE "patients" AS t SET "name" = ?2, "ssn" = ?3, "ssn_tag" = ?4
    WHERE t."id" = ?1 AND t."name" IS ?5 AND t."ssn" IS ?6 AND t."ssn_tag" IS ?7"#;

pub(super) struct Sqlite(SqlitePool);

impl Sqlite {
    pub(super) async fn new(folder: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new().filename(folder.join("clinic.db")).create_if_missing(true);
        let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        sqlx::raw_sql(CREATE).execute(&pool).await?;
        Ok(Self(pool))
    }
}

impl Raw for Sqlite {
    const NAME: &'static str = "SQLite";

    fn database(&self) -> Database {
        self.0.clone().into()
    }

    async fn insert(&self, rows: &[Patient]) -> Result<()> {
        let mut transaction = self.0.begin().await?;
        for row in rows {
            let query = sqlx::query("INSERT INTO patients VALUES (?1, ?2, ?3, ?4)").bind(&row.id);
            row.written
                .iter()
                .fold(query, |query, value| query.bind(value.as_deref()))
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }

    async fn page(&self, after: Option<&str>) -> Result<Vec<Patient>> {
        let query = match after {
            None => sqlx::query(FIRST).bind(BATCH),
            Some(after) => sqlx::query(NEXT).bind(BATCH).bind(after),
        };
        let mut patients = Vec::new();
        for row in query.fetch_all(&self.0).await? {
            let _: Option<String> = row.try_get(4)?;
            patients
                .push(Patient { id: row.try_get(0)?, written: [row.try_get(1)?, row.try_get(2)?, row.try_get(3)?] });
        }
        Ok(patients)
    }

    async fn commit(&self, changes: &[Change<'_>]) -> Result<()> {
        let mut transaction = self.0.begin_with("BEGIN IMMEDIATE").await?;
        for change in changes {
            let query = sqlx::query(UPDATE).bind(change.id);
            let values = change.new.iter().chain(change.old);
            let query = values.fold(query, |query, value| query.bind(value.as_deref()));
            if query.execute(&mut *transaction).await?.rows_affected() != 1 {
                return Err("a row has changed".into());
            }
        }
        let behind = changes.last().map(|change| change.id);
        sqlx::query("UPDATE checkpoint SET revision = revision + 1, behind = $1")
            .bind(behind)
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }
}
