//! The statements on PostgreSQL, as the job makes them, in a schema that goes away.

use phi_crypto::reseal::Database;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Row as _};

use super::{BATCH, Change, Patient, Raw};
use crate::Result;

pub(super) const VARIABLE: &str = "PHI_TEST_POSTGRES_URL";

const CREATE: &str = "CREATE TABLE patients (id TEXT PRIMARY KEY, name BYTEA, ssn BYTEA, ssn_tag BYTEA);
    CREATE INDEX by_tag ON patients (ssn_tag);
    CREATE TABLE checkpoint (revision BIGINT NOT NULL, behind TEXT);
    INSERT INTO checkpoint VALUES (0, NULL)";
const INSERT: &str = "INSERT INTO patients SELECT * FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bytea[])";
const FIRST: &str = r#"SELECT t."id", t."name", t."ssn", t."ssn_tag", CAST(t."id" AS TEXT) FROM "patients" AS t
    WHERE t."id" IS NOT NULL ORDER BY t."id" LIMIT $1"#;
const NEXT: &str = r#"SELECT t."id", t."name", t."ssn", t."ssn_tag", CAST(t."id" AS TEXT) FROM "patients" AS t
    WHERE t."id" > $2 ORDER BY t."id" LIMIT $1"#;
const UPDATE: &str = r#"UPDATE "patients" AS t SET "name" = u.n1, "ssn" = u.n2, "ssn_tag" = u.n3
    FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[])
    WITH ORDINALITY AS u(k, n1, n2, n3, o1, o2, o3, place)
    WHERE t."id" = u.k AND t."name" IS NOT DISTINCT FROM u.o1 AND t."ssn" IS NOT DISTINCT FROM u.o2
    AND t."ssn_tag" IS NOT DISTINCT FROM u.o3 RETURNING u.place"#;

pub(super) struct Postgres {
    pool: PgPool,
    schema: String,
}

impl Postgres {
    /// A schema of its own on the server that the environment names; `None` without one.
    pub(super) async fn new() -> Result<Option<Self>> {
        let Some(url) = given() else { return Ok(None) };
        let schema = format!("phi_bench_{}", std::process::id());
        let options = url.parse::<PgConnectOptions>()?.options([("search_path", schema.as_str())]);
        let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await?;
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).execute(&pool).await?;
        let postgres = Self { pool, schema };
        match sqlx::raw_sql(CREATE).execute(&postgres.pool).await {
            Ok(_) => Ok(Some(postgres)),
            Err(error) => {
                postgres.clear().await?;
                Err(error.into())
            }
        }
    }

    pub(super) fn is_given() -> bool {
        given().is_some()
    }

    /// Leaves the server as it was.
    pub(super) async fn clear(&self) -> Result<()> {
        let drop = AssertSqlSafe(format!("DROP SCHEMA {} CASCADE", self.schema));
        sqlx::raw_sql(drop).execute(&self.pool).await?;
        Ok(())
    }
}

fn given() -> Option<String> {
    std::env::var(VARIABLE).ok().filter(|url| !url.is_empty())
}

impl Raw for Postgres {
    const NAME: &'static str = "PostgreSQL";

    fn database(&self) -> Database {
        self.pool.clone().into()
    }

    async fn insert(&self, rows: &[Patient]) -> Result<()> {
        let query = sqlx::query(INSERT).bind(rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>());
        let column = |at: usize| rows.iter().map(|row| row.written[at].as_deref()).collect::<Vec<_>>();
        query.bind(column(0)).bind(column(1)).bind(column(2)).execute(&self.pool).await?;
        Ok(())
    }

    async fn page(&self, after: Option<&str>) -> Result<Vec<Patient>> {
        let query = match after {
            None => sqlx::query(FIRST).bind(BATCH),
            Some(after) => sqlx::query(NEXT).bind(BATCH).bind(after),
        };
        let mut patients = Vec::new();
        for row in query.fetch_all(&self.pool).await? {
            let _: Option<String> = row.try_get(4)?;
            patients
                .push(Patient { id: row.try_get(0)?, written: [row.try_get(1)?, row.try_get(2)?, row.try_get(3)?] });
        }
        Ok(patients)
    }

    async fn commit(&self, changes: &[Change<'_>]) -> Result<()> {
        let mut transaction = self.pool.begin().await?;
        let mut query = sqlx::query_scalar(UPDATE).bind(changes.iter().map(|change| change.id).collect::<Vec<_>>());
        for at in 0..3 {
            query = query.bind(changes.iter().map(|change| change.new[at].as_deref()).collect::<Vec<_>>());
        }
        for at in 0..3 {
            query = query.bind(changes.iter().map(|change| change.old[at].as_deref()).collect::<Vec<_>>());
        }
        let places: Vec<i64> = query.fetch_all(&mut *transaction).await?;
        if places.len() != changes.len() {
            return Err("a row has changed".into());
        }
        let behind = changes.last().map(|change| change.id);
        sqlx::query("UPDATE checkpoint SET revision = revision + 1, behind = $1")
            .bind(behind)
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }
}
