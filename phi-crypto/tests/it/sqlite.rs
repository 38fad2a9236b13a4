//! Columns, searches and shredding in SQLite.

use std::io::Write;
use std::sync::{Arc, Mutex};

use phi_crypto::{
    BlindIndex, Context, IndexColumn, IndexSpec, Opener, Sealed, Sealer, ShredError, Tag, Transform, shred_subject,
};
use phi_keys::{EphemeralKeyring, Keys, LocalKeyring, SqliteKeyStore, Unlock};
use phi_types::{Detail, Timestamp};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, QueryBuilder, Row as _, Sqlite, SqlitePool};
use tempfile::TempDir;

use crate::searches::{self, AFTER, COLUMNS, DURING, OLD};
use crate::support::{scope, subject};

const NAME: Context<'static> = Context::new("Patient", "name").without_record();
const BY_SSN: IndexSpec = BlindIndex::exact("Patient", "ssn", "by_ssn", Transform::Digits);
const TAGS: [IndexColumn; 2] = [
    IndexColumn::new("patient", "ssn_tag", "id"),
    IndexColumn::matching("visit", "tag", "patient_number IN (SELECT number FROM patient WHERE id = ?1)"),
];

struct Database {
    folder: TempDir,
    pool: SqlitePool,
    keys: Keys,
}

impl Database {
    async fn new() -> Self {
        crate::component::used("sqlite");
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("clinic.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal);
        // One connection, so that nobody else keeps pages of the write-ahead log alive.
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
        for table in [
            "CREATE TABLE patient (id TEXT PRIMARY KEY, number INTEGER, name BLOB, ssn_tag BLOB, plain TEXT, age INTEGER)",
            "CREATE TABLE visit (patient_number INTEGER, tag BLOB, required BLOB NOT NULL DEFAULT x'00')",
        ] {
            sqlx::query(table).execute(&pool).await.unwrap();
        }
        let kek = EphemeralKeyring::generate().unwrap();
        let keys = Keys::builder(SqliteKeyStore::new(pool.clone())).kek(kek).tenant("clinic").build().await.unwrap();
        Self { folder, pool, keys }
    }

    async fn admit(&self, id: &str, number: i64, name: &str, ssn: &str) -> Sealed<String> {
        let sealer = Sealer::builder(self.keys.clone()).build().for_scope(&scope(id)).await.unwrap();
        let sealed = sealer.seal(name, &NAME.record_id(id)).unwrap();
        let tag = BY_SSN.open(&self.keys).await.unwrap().tag(ssn).unwrap();
        sqlx::query("INSERT INTO patient (id, number, name, ssn_tag, plain, age) VALUES (?, ?, ?, ?, 'Lovelace', 36)")
            .bind(id)
            .bind(number)
            .bind(&sealed)
            .bind(tag)
            .execute(&self.pool)
            .await
            .unwrap();
        sqlx::query("INSERT INTO visit (patient_number, tag) VALUES (?, ?)")
            .bind(number)
            .bind(tag)
            .execute(&self.pool)
            .await
            .unwrap();
        sealed
    }

    async fn find(&self, ssn: &str) -> Vec<String> {
        let tag = BY_SSN.open(&self.keys).await.unwrap().tag(ssn).unwrap();
        let rows = sqlx::query_scalar("SELECT id FROM patient WHERE ssn_tag = ? ORDER BY id").bind(tag);
        rows.fetch_all(&self.pool).await.unwrap()
    }

    async fn tags_left(&self) -> (i64, i64) {
        let count = "SELECT (SELECT count(ssn_tag) FROM patient), (SELECT count(tag) FROM visit)";
        sqlx::query_as(count).fetch_one(&self.pool).await.unwrap()
    }

    /// Whether the bytes are anywhere in the database's files.
    fn holds(&self, bytes: &[u8]) -> bool {
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        let mut files = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
        files.any(|file| file.windows(bytes.len()).any(|window| window == bytes))
    }
}

#[tokio::test]
async fn a_sealed_column_is_a_blob_that_opens() {
    let database = Database::new().await;
    let stored = database.admit("ada", 1, "Ada", "078-05-1120").await;
    let row = sqlx::query("SELECT name, typeof(name) AS kind FROM patient").fetch_one(&database.pool).await.unwrap();
    assert_eq!(row.get::<&str, _>("kind"), "blob");
    let read: Sealed<String> = row.get("name");
    assert_eq!(read, stored);
    let opener = Opener::builder(database.keys.clone()).build().for_scope(&scope("ada")).await.unwrap();
    assert_eq!(opener.open(&read, &NAME.record_id("ada")).unwrap().expose(), "Ada");

    sqlx::query("UPDATE patient SET name = NULL").execute(&database.pool).await.unwrap();
    let none: Option<Sealed<String>> =
        sqlx::query_scalar("SELECT name FROM patient").fetch_one(&database.pool).await.unwrap();
    assert!(none.is_none());
}

#[tokio::test]
async fn a_plaintext_column_is_a_precise_error_without_its_content() {
    let database = Database::new().await;
    database.admit("ada", 1, "Ada", "078-05-1120").await;
    for (column, says) in
        [("plain", "not a sealed value"), ("CAST(plain AS BLOB)", "not a sealed value"), ("age", "mismatched types")]
    {
        let query = AssertSqlSafe(format!("SELECT {column} AS name FROM patient"));
        let row = sqlx::query(query).fetch_one(&database.pool).await.unwrap();
        let error = row.try_get::<Sealed<String>, _>("name").unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(says) && !text.contains("Lovelace") && !text.contains("36"), "{text}");
    }
}

#[tokio::test]
async fn a_search_finds_equal_values_and_never_absent_ones() {
    let database = Database::new().await;
    database.admit("ada", 1, "Ada", "078-05-1120").await;
    database.admit("byron", 2, "Augusta", "078 05 1120").await;
    database.admit("grace", 3, "Grace", "219-09-9999").await;
    database.admit("jane", 4, "Jane", "unknown").await;
    assert_eq!(database.find("078051120").await, ["ada", "byron"]);
    assert_eq!(database.find("219-09-9999").await, ["grace"]);
    assert!(database.find("unknown").await.is_empty());
    assert!(database.find("").await.is_empty());
    let absent: i64 = sqlx::query_scalar("SELECT count(*) FROM patient WHERE ssn_tag IS NULL")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert_eq!(absent, 1);
}

#[tokio::test]
async fn a_shred_takes_the_subjects_tags_along_and_nobody_elses() {
    let database = Database::new().await;
    let of_ada = database.admit("ada", 1, "Ada", "078-05-1120").await;
    database.admit("grace", 2, "Grace", "219-09-9999").await;
    let tag = BY_SSN.open(&database.keys).await.unwrap().tag("078051120").unwrap().unwrap();
    assert!(database.holds(tag.as_bytes()));

    let report = shred_subject(&database.keys, &database.pool, &subject("ada"), &TAGS).await.unwrap();
    assert_eq!(report.tags, 2);
    assert_eq!(report.keys.keys[0].kid(), of_ada.kid());
    assert_eq!(report.activity(Timestamp::UNIX_EPOCH).detail("tags"), Some(&Detail::Count(2)));
    assert!(report.keys.purged);
    assert!(!database.holds(tag.as_bytes()), "the tag is left in the database or its write-ahead log");

    assert_eq!(database.tags_left().await, (1, 1));
    assert!(database.find("078-05-1120").await.is_empty());
    assert_eq!(database.find("219-09-9999").await, ["grace"]);
    assert!(matches!(database.keys.data_key(&scope("ada")).await, Err(phi_keys::Error::Shredded)));
    database.keys.data_key(&scope("grace")).await.unwrap();

    let again = shred_subject(&database.keys, &database.pool, &subject("ada"), &TAGS).await.unwrap();
    assert_eq!((again.tags, again.keys.repeated), (0, true));
}

#[tokio::test]
async fn a_shred_finds_a_subject_by_its_exact_id_however_the_column_keeps_it() {
    const COLUMNS: [IndexColumn; 3] =
        [IndexColumn::new("i", "tag", "id"), IndexColumn::new("t", "tag", "id"), IndexColumn::new("n", "tag", "id")];
    let Database { pool, keys, .. } = &Database::new().await;
    let ids = async |table: &'static str| -> Vec<String> {
        let left = format!("SELECT CAST(id AS TEXT) FROM {table} WHERE tag IS NOT NULL ORDER BY id");
        sqlx::query_scalar(AssertSqlSafe(left)).fetch_all(pool).await.unwrap()
    };
    for statement in [
        "CREATE TABLE i (id INTEGER, tag BLOB)",
        "INSERT INTO i VALUES (7431, x'01'), (7432, x'01')",
        "CREATE TABLE t (id TEXT, tag BLOB)",
        "INSERT INTO t VALUES ('7431', x'01'), ('007431', x'01')",
        "CREATE TABLE n (id, tag BLOB)",
        "INSERT INTO n VALUES (7431, x'01'), ('7431', x'01'), ('007431', x'01')",
    ] {
        sqlx::query(statement).execute(pool).await.unwrap();
    }
    // Another patient's id that is the same number.
    let shredded = shred_subject(keys, pool, &subject("007431"), &COLUMNS).await.unwrap();
    assert_eq!((shredded.tags, ids("i").await.len(), ids("t").await.len(), ids("n").await.len()), (2, 2, 1, 2));
    let shredded = shred_subject(keys, pool, &subject("7431"), &COLUMNS).await.unwrap();
    assert_eq!((shredded.tags, ids("i").await), (4, vec!["7432".to_owned()]));
    assert_eq!((ids("t").await.len(), ids("n").await.len()), (0, 0));
}

#[tokio::test]
async fn a_shred_that_cannot_clear_a_column_shreds_nothing() {
    let database = Database::new().await;
    let sealed = database.admit("ada", 1, "Ada", "078-05-1120").await;
    for wrong in [
        IndexColumn::new("patient", "ssn_tag", "patient_id"),
        IndexColumn::new("patient", "tag", "id"),
        IndexColumn::new("patients", "ssn_tag", "id"),
        IndexColumn::matching("visit", "required", "patient_number = 1"),
    ] {
        let error =
            shred_subject(&database.keys, &database.pool, &subject("ada"), &[TAGS[0], wrong]).await.unwrap_err();
        assert!(matches!(&error, ShredError::Column { column, .. } if *column == wrong), "{error:?}");
        assert_eq!(database.tags_left().await, (1, 1));
        let opener = Opener::builder(database.keys.clone()).build().for_scope(&scope("ada")).await.unwrap();
        assert_eq!(opener.open(&sealed, &NAME.record_id("ada")).unwrap().expose(), "Ada");
    }
}

#[tokio::test]
async fn two_tenants_in_one_database_have_nothing_in_common() {
    crate::component::used("sqlite");
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/clinic.db?mode=rwc", folder.path().display());
    let pool = SqlitePool::connect(&url).await.unwrap();
    let unlock = Unlock::create_key_file(folder.path().join("key")).unwrap();
    let keyring = LocalKeyring::create(folder.path().join("keyring"), unlock).unwrap();
    let tenant = async |name: &str| {
        let keys = Keys::builder(SqliteKeyStore::new(pool.clone())).kek(keyring.clone()).tenant(name);
        keys.build().await.unwrap()
    };
    let (north, south) = (tenant("north").await, tenant("south").await);

    let sealed =
        Sealer::builder(north.clone()).build().for_scope(&scope("ada")).await.unwrap().seal("Ada", &NAME).unwrap();
    let opener = Opener::builder(south.clone()).build();
    let named = opener.for_kids(&scope("ada"), [sealed.kid()]).await;
    assert!(matches!(named, Err(phi_keys::Error::WrongScope)));
    let own = opener.for_scope(&scope("ada")).await.unwrap();
    assert!(matches!(own.open(&sealed, &NAME), Err(phi_crypto::OpenError::UnknownKey { .. })));

    let tag = async |keys| BY_SSN.open(keys).await.unwrap().tag("078-05-1120").unwrap();
    assert_ne!(tag(&north).await, tag(&south).await);

    // Another process of the tenant, with nothing but the files.
    let again = Opener::builder(tenant("north").await).build().for_scope(&scope("ada")).await.unwrap();
    assert_eq!(again.open(&sealed, &NAME).unwrap().expose(), "Ada");
}

#[tokio::test]
async fn every_kind_of_index_finds_its_rows_in_sqlite() {
    let Database { pool, keys, folder: _folder } = Database::new().await;
    let table = format!("CREATE TABLE indexed (id TEXT PRIMARY KEY, {} BLOB)", COLUMNS.join(" BLOB, "));
    sqlx::query(AssertSqlSafe(table)).execute(&pool).await.unwrap();
    for row in searches::rows(&keys).await {
        let mut insert = sqlx::query("INSERT INTO indexed VALUES (?, ?, ?, ?, ?)").bind(row.id);
        for tag in row.tags {
            insert = insert.bind(tag);
        }
        insert.execute(&pool).await.unwrap();
    }
    for (column, wanted, expected) in searches::searches(&keys).await {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT id FROM indexed WHERE ");
        query.push(column);
        wanted.push_in(&mut query);
        query.push(" ORDER BY id");
        let found: Vec<String> = query.build_query_scalar().fetch_all(&pool).await.unwrap();
        assert_eq!(found, expected, "{column}");
    }
    let stored: Vec<Option<Tag>> =
        sqlx::query_scalar("SELECT phone_tag FROM indexed ORDER BY id").fetch_all(&pool).await.unwrap();
    assert_eq!(stored, searches::rows(&keys).await.into_iter().map(|row| row.tags[0]).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_index_is_replaced_in_place_in_sqlite() {
    let Database { pool, keys, folder: _folder } = Database::new().await;
    sqlx::query("CREATE TABLE indexed (id TEXT PRIMARY KEY, ssn_tag BLOB)").execute(&pool).await.unwrap();
    let tag = async |spec: IndexSpec| spec.open(&keys).await.unwrap().tag("078051120").unwrap();
    let find = async |spec: IndexSpec| -> Vec<String> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT id FROM indexed WHERE ssn_tag");
        spec.open(&keys).await.unwrap().search("078051120").unwrap().push_in(&mut query);
        query.push(" ORDER BY id").build_query_scalar().fetch_all(&pool).await.unwrap()
    };
    for (id, spec) in [("before", OLD), ("since", DURING)] {
        let insert = sqlx::query("INSERT INTO indexed VALUES (?, ?)").bind(id).bind(tag(spec).await);
        insert.execute(&pool).await.unwrap();
    }
    assert_eq!(find(DURING).await, ["before", "since"]);
    assert_eq!(find(AFTER).await, ["since"]);
    let update = sqlx::query("UPDATE indexed SET ssn_tag = ? WHERE substr(ssn_tag, 1, 1) = x'01'");
    assert_eq!(update.bind(tag(DURING).await).execute(&pool).await.unwrap().rows_affected(), 1);
    assert_eq!(find(AFTER).await, ["before", "since"]);
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn nothing_is_logged_of_values_ids_or_tags_even_at_the_most_talkative_level() {
    let logged = Logged::default();
    let writer = logged.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();

    let database = Database::new().await;
    let sealed = database.admit("patient-66017", 1, "Zyzzyva", "555-66-0177").await;
    let opener = Opener::builder(database.keys.clone()).build().for_scope(&scope("patient-66017")).await.unwrap();
    opener.open(&sealed, &NAME.record_id("patient-66017")).unwrap();
    opener.open(&sealed, &NAME.record_id("another")).unwrap_err();
    database.find("555-66-0177").await;
    let _report = shred_subject(&database.keys, &database.pool, &subject("patient-66017"), &TAGS).await.unwrap();

    let text = String::from_utf8(logged.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("UPDATE"), "the statements are logged");
    for hidden in ["66017", "Zyzzyva", "555-66", "555660177"] {
        assert!(!text.contains(hidden), "{hidden}");
    }
}
