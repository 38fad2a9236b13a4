use phi_crypto::{BlindIndex, Context, IndexSpec, Sealed, Tag, Transform};
use sqlx::Row as _;

use super::server::Server;
use crate::support::scope;

const NAME: Context<'static> = Context::new("Patient", "name").without_record();
const BY_SSN: IndexSpec = BlindIndex::exact("Patient", "ssn", "by_ssn", Transform::Digits);

const PATIENTS: &str = "CREATE TABLE patient (id TEXT PRIMARY KEY, name BYTEA, ssn_tag BYTEA, plain TEXT, age INT);
    CREATE INDEX patient_by_ssn ON patient (ssn_tag)";

async fn admit(server: &Server, id: &str, name: &str, ssn: &str) -> Sealed<String> {
    let sealed = server.sealer.for_scope(&scope(id)).await.unwrap().seal(name, &NAME.record_id(id)).unwrap();
    let tag = BY_SSN.open(&server.keys).await.unwrap().tag(ssn).unwrap();
    sqlx::query("INSERT INTO patient VALUES ($1, $2, $3, 'Lovelace', 36)")
        .bind(id)
        .bind(&sealed)
        .bind(tag)
        .execute(&server.pool)
        .await
        .unwrap();
    sealed
}

#[tokio::test]
async fn a_sealed_postgres_column_is_a_bytea_that_opens() {
    let Some(server) = Server::with_schema("sealed").await else { return };
    server.run(PATIENTS).await;
    let stored = admit(&server, "ada", "Ada", "078-05-1120").await;
    let row = sqlx::query("SELECT name, pg_typeof(name)::text AS kind FROM patient").fetch_one(&server.pool).await;
    let row = row.unwrap();
    assert_eq!(row.get::<&str, _>("kind"), "bytea");
    let read: Sealed<String> = row.get("name");
    assert_eq!(read, stored);
    let opener = server.opener.for_scope(&scope("ada")).await.unwrap();
    assert_eq!(opener.open(&read, &NAME.record_id("ada")).unwrap().expose(), "Ada");

    // A simple query, whose answers are text.
    let simple = sqlx::raw_sql("SELECT name, ssn_tag FROM patient").fetch_one(&server.pool).await.unwrap();
    assert_eq!(simple.get::<Sealed<String>, _>("name"), stored);
    let tag = BY_SSN.open(&server.keys).await.unwrap().tag("078051120").unwrap();
    assert_eq!(simple.get::<Option<Tag>, _>("ssn_tag"), tag);

    let both: Vec<Sealed<String>> =
        sqlx::query_scalar("SELECT unnest($1)").bind(vec![stored.clone(); 2]).fetch_all(&server.pool).await.unwrap();
    assert_eq!(both, [stored.clone(), stored]);

    server.run("UPDATE patient SET name = NULL, ssn_tag = NULL").await;
    let none: (Option<Sealed<String>>, Option<Tag>) =
        sqlx::query_as("SELECT name, ssn_tag FROM patient").fetch_one(&server.pool).await.unwrap();
    assert!(none.0.is_none() && none.1.is_none());
}

#[tokio::test]
async fn a_plaintext_postgres_column_is_a_precise_error_without_its_content() {
    let Some(server) = Server::with_schema("plaintext").await else { return };
    server.run(PATIENTS).await;
    admit(&server, "ada", "Ada", "078-05-1120").await;
    for (column, says) in [
        ("convert_to(plain, 'UTF8')", "not a sealed value"),
        ("plain", "mismatched types"),
        ("age", "mismatched types"),
        ("ssn_tag", "not a sealed value"),
    ] {
        let query = sqlx::AssertSqlSafe(format!("SELECT {column} AS name FROM patient"));
        let row = sqlx::query(query).fetch_one(&server.pool).await.unwrap();
        let error = row.try_get::<Sealed<String>, _>("name").unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(says) && !text.contains("Lovelace") && !text.contains("36"), "{text}");
    }
    let row = sqlx::query("SELECT name FROM patient").fetch_one(&server.pool).await.unwrap();
    assert!(row.try_get::<Tag, _>("name").unwrap_err().to_string().contains("no tag"));
}

#[tokio::test]
async fn a_search_in_postgres_finds_equal_values_and_never_absent_ones() {
    let Some(server) = Server::with_schema("search").await else { return };
    server.run(PATIENTS).await;
    for (id, ssn) in [("ada", "078-05-1120"), ("byron", "078 05 1120"), ("grace", "219-09-9999"), ("jane", "unknown")] {
        admit(&server, id, "name", ssn).await;
    }
    let index = BY_SSN.open(&server.keys).await.unwrap();
    for (ssn, found) in [("078051120", &["ada", "byron"][..]), ("219099999", &["grace"]), ("unknown", &[]), ("", &[])] {
        let query = sqlx::query_scalar("SELECT id FROM patient WHERE ssn_tag = $1 ORDER BY id");
        let ids: Vec<String> = query.bind(index.tag(ssn).unwrap()).fetch_all(&server.pool).await.unwrap();
        assert_eq!(ids, found, "{ssn}");
    }
    let wanted = ["078051120", "219099999"].map(|ssn| index.tag(ssn).unwrap().unwrap());
    let all: i64 = sqlx::query_scalar("SELECT count(*) FROM patient WHERE ssn_tag = ANY($1)")
        .bind(&wanted[..])
        .fetch_one(&server.pool)
        .await
        .unwrap();
    assert_eq!(all, 3);
}
