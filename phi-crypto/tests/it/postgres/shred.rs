//! Keys and tags of a patient end together in PostgreSQL.

use phi_crypto::{
    BlindIndex, Field, IndexColumn, IndexSpec, Opener, Sealer, ShredError, Transform, shred_subject_in_postgres,
    shred_subject_postgres,
};
use phi_keys::{EphemeralKeyring, Keys, PostgresKeyStore};
use sqlx::AssertSqlSafe;

use super::server::Server;
use crate::support::{scope, subject};

const NAME: Field = Field::new("Patient", "name");
const BY_SSN: IndexSpec = BlindIndex::exact("Patient", "ssn", "by_ssn", Transform::Digits);
const TAGS: [IndexColumn; 2] = [
    IndexColumn::new("patient", "ssn_tag", "id"),
    IndexColumn::matching("visit", "tag", "patient_number IN (SELECT number FROM patient WHERE id = $1)"),
];

const TABLES: &str = "CREATE TABLE patient (id TEXT PRIMARY KEY, number INT, ssn_tag BYTEA);
    CREATE TABLE visit (patient_number INT, tag BYTEA, required BYTEA NOT NULL DEFAULT '\\x00')";

/// A schema with tables and keys, and two patients with tags in both tables.
async fn clinic(test: &str) -> Option<(Server, Keys)> {
    let server = Server::with_schema(test).await?;
    server.run(TABLES).await;
    let keys = Keys::builder(PostgresKeyStore::new(server.pool.clone())).kek(EphemeralKeyring::generate().unwrap());
    let keys = keys.tenant("clinic").build().await.unwrap();
    let index = BY_SSN.open(&keys).await.unwrap();
    for (id, number, ssn) in [("ada", 1, "078-05-1120"), ("grace", 2, "219-09-9999")] {
        let tag = index.tag(ssn).unwrap();
        let insert = sqlx::query("INSERT INTO patient VALUES ($1, $2, $3)").bind(id).bind(number).bind(tag);
        insert.execute(&server.pool).await.unwrap();
        let insert = sqlx::query("INSERT INTO visit (patient_number, tag) VALUES ($1, $2)").bind(number).bind(tag);
        insert.execute(&server.pool).await.unwrap();
    }
    Some((server, keys))
}

/// Whose tags are left, in both tables.
async fn left(server: &Server) -> (Vec<String>, Vec<i32>) {
    let patients = sqlx::query_scalar("SELECT id FROM patient WHERE ssn_tag IS NOT NULL ORDER BY id");
    let visits = sqlx::query_scalar("SELECT patient_number FROM visit WHERE tag IS NOT NULL ORDER BY patient_number");
    (patients.fetch_all(&server.pool).await.unwrap(), visits.fetch_all(&server.pool).await.unwrap())
}

#[tokio::test]
async fn a_shred_takes_the_subjects_tags_along_and_nobody_elses_in_postgres() {
    let Some((server, keys)) = clinic("shred").await else { return };
    let of_ada = keys.data_key(&scope("ada")).await.unwrap().kid();
    keys.data_key(&scope("grace")).await.unwrap();
    let report = shred_subject_postgres(&keys, &server.pool, &subject("ada"), &TAGS).await.unwrap();
    assert_eq!((report.tags, report.keys.keys.len(), report.keys.keys[0].kid()), (2, 1, of_ada));
    assert_eq!(left(&server).await, (vec!["grace".to_owned()], vec![2]));
    assert!(matches!(keys.data_key(&scope("ada")).await, Err(phi_keys::Error::Shredded)));
    keys.data_key(&scope("grace")).await.unwrap();
    let again = shred_subject_postgres(&keys, &server.pool, &subject("ada"), &TAGS).await.unwrap();
    assert_eq!((again.tags, again.keys.repeated), (0, true));
}

#[tokio::test]
async fn a_shred_in_postgres_finds_a_subject_by_its_exact_id_however_the_column_keeps_it() {
    const COLUMNS: [IndexColumn; 3] = [
        IndexColumn::new("i", "tag", "id"),
        IndexColumn::new("t", "tag", "id"),
        IndexColumn::new("Odd u", "tag", "id"),
    ];
    const UUID: &str = "8f14e45f-ceea-467f-a8b4-7e5f2d9c1a00";
    let Some((server, keys)) = clinic("shred_ids").await else { return };
    server
        .run(
            "CREATE TABLE i (id BIGINT, tag BYTEA); INSERT INTO i VALUES (7431, '\\x01'), (7432, '\\x01');
            CREATE TABLE t (id VARCHAR(40), tag BYTEA); INSERT INTO t VALUES ('7431', '\\x01'), ('007431', '\\x01');
            CREATE TABLE \"Odd u\" (id UUID, tag BYTEA);
            INSERT INTO \"Odd u\" VALUES ('8F14E45F-CEEA-467F-A8B4-7E5F2D9C1A00', '\\x01')",
        )
        .await;
    let ids = async |table: &str| -> Vec<String> {
        let left = format!("SELECT id::text FROM \"{table}\" WHERE tag IS NOT NULL ORDER BY id");
        sqlx::query_scalar(AssertSqlSafe(left)).fetch_all(&server.pool).await.unwrap()
    };
    let shred = async |id: &str| {
        shred_subject_postgres(&keys, &server.pool, &subject(id), &COLUMNS).await.map(|report| report.tags).unwrap()
    };
    // Another patient's id that is the same number.
    assert_eq!(
        (shred("007431").await, ids("i").await, ids("t").await.len()),
        (1, vec!["7431".into(), "7432".into()], 1)
    );
    assert_eq!((shred("7431").await, ids("i").await, ids("t").await.len()), (2, vec!["7432".to_owned()], 0));
    assert_eq!((ids("Odd u").await.len(), shred(UUID).await, ids("Odd u").await.len()), (1, 1, 0));
}

#[tokio::test]
async fn a_shred_in_postgres_that_cannot_clear_a_column_shreds_nothing() {
    let Some((server, keys)) = clinic("shred_refused").await else { return };
    let sealer = Sealer::builder(keys.clone()).build().for_scope(&scope("ada")).await.unwrap();
    let sealed = sealer.seal("Ada", &NAME.record_id("ada")).unwrap();
    for wrong in [
        IndexColumn::new("patient", "ssn_tag", "patient_id"),
        IndexColumn::new("patient", "tag", "id"),
        IndexColumn::new("patients", "ssn_tag", "id"),
        IndexColumn::matching("visit", "required", "patient_number = 1 AND $1 = 'ada'"),
    ] {
        let error = shred_subject_postgres(&keys, &server.pool, &subject("ada"), &[TAGS[0], wrong]).await.unwrap_err();
        assert!(matches!(&error, ShredError::Column { column, .. } if *column == wrong), "{error:?}");
        assert_eq!(left(&server).await.0, ["ada", "grace"]);
        let opener = Opener::builder(keys.clone()).build().for_scope(&scope("ada")).await.unwrap();
        assert_eq!(opener.open(&sealed, &NAME.record_id("ada")).unwrap().expose(), "Ada");
    }
}

#[tokio::test]
async fn a_shred_within_a_transaction_is_the_transaction_s_in_postgres() {
    let Some((server, keys)) = clinic("shred_within").await else { return };
    let kid = keys.data_key(&scope("ada")).await.unwrap().kid();
    let mut transaction = server.pool.begin().await.unwrap();
    let pending = shred_subject_in_postgres(&keys, &mut transaction, &subject("ada"), &TAGS).await.unwrap();
    transaction.rollback().await.unwrap();
    drop(pending);
    assert_eq!((keys.data_key(&scope("ada")).await.unwrap().kid(), left(&server).await.1), (kid, vec![1, 2]));

    let mut transaction = server.pool.begin().await.unwrap();
    let pending = shred_subject_in_postgres(&keys, &mut transaction, &subject("ada"), &TAGS).await.unwrap();
    sqlx::query("DELETE FROM patient WHERE id = 'ada'").execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(pending.committed().await.unwrap().tags, 2);
    assert_eq!(left(&server).await, (vec!["grace".to_owned()], vec![2]));

    // Whoever sets another default for the database can shred all the same.
    let mut connections = Vec::new();
    for _ in 0..4 {
        let mut connection = server.pool.acquire().await.unwrap();
        sqlx::query("SET default_transaction_isolation = 'serializable'").execute(&mut *connection).await.unwrap();
        connections.push(connection);
    }
    drop(connections);
    let report = shred_subject_postgres(&keys, &server.pool, &subject("grace"), &TAGS).await.unwrap();
    assert_eq!((report.tags, left(&server).await.1.len()), (2, 0));
}
