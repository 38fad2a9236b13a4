//! What version 0.1 wrote, every later version opens: a database, its keyring and its key file, as an application left them.
//!
//! `v1` holds the suites without padding, `v1-padded` those with padding, sealed with hedged nonces.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use phi_crypto::{BlindIndex, Context, IndexSpec, Json, Opener, Sealed, Sealer, Suite, Transform};
use phi_keys::{Keys, LocalKeyring, Scope, SqliteKeyStore, Unlock};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};

use crate::support::{scope, subject};

const FILES: [&str; 3] = ["clinic.db", "keyring", "key-file"];
/// A folder of golden files, and the suites of the values in it.
type Corpus = (&'static str, [(i64, Suite); 2]);
const CORPORA: [Corpus; 2] = [
    ("v1", [(0x01, Suite::Aes256Gcm), (0x02, Suite::ChaCha20Poly1305)]),
    ("v1-padded", [(0x11, Suite::Aes256GcmPadded), (0x12, Suite::ChaCha20Poly1305Padded)]),
];
const NAMES: [(&str, &str); 3] = [("ada", "Ada Lovelace"), ("zoë", "Zoë 林"), ("nobody", "")];
const BY_SSN: IndexSpec = BlindIndex::exact("Patient", "ssn", "by_ssn", Transform::Digits);
const BY_NAME: IndexSpec = BlindIndex::exact("Patient", "name", "by_name", Transform::TrimLowercase).bits(100);

fn name(id: &str) -> Context<'_> {
    Context::new("Patient", "name").record_id(id)
}

fn note() -> Context<'static> {
    Context::new("Visit", "note").record_id(-7_i64).row_version(3).pair("ward", "7").pair("", "empty")
}

fn golden(corpus: &Corpus) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(corpus.0)
}

pub(crate) async fn open(folder: &Path) -> (SqlitePool, Keys) {
    crate::component::used("sqlite");
    let options = SqliteConnectOptions::new()
        .filename(folder.join("clinic.db"))
        .create_if_missing(true)
        .page_size(1024)
        .journal_mode(SqliteJournalMode::Delete);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    let (keyring, key_file) = (folder.join("keyring"), folder.join("key-file"));
    let keyring = if keyring.exists() {
        LocalKeyring::open(keyring, Unlock::key_file(key_file)).unwrap()
    } else {
        LocalKeyring::create(keyring, Unlock::create_key_file(key_file).unwrap()).unwrap()
    };
    let keys = Keys::builder(SqliteKeyStore::new(pool.clone())).kek(keyring).tenant("clinic").build().await.unwrap();
    (pool, keys)
}

async fn write(folder: &Path, suites: &[(i64, Suite)]) {
    let (pool, keys) = open(folder).await;
    let create =
        "CREATE TABLE golden (suite INTEGER, id TEXT, name BLOB, name_tag BLOB, ssn_tag BLOB, note BLOB, scan BLOB)";
    sqlx::query(create).execute(&pool).await.unwrap();
    for (number, suite) in suites {
        let sealer = Sealer::builder(keys.clone()).suite(*suite).build();
        let sealer = if suite.is_padded() { sealer.hedged() } else { sealer };
        for (id, value) in NAMES {
            let sealer = sealer.for_scope(&scope(id)).await.unwrap();
            let patient = subject(id);
            sqlx::query("INSERT INTO golden VALUES (?, ?, ?, ?, ?, ?, ?)")
                .bind(number)
                .bind(id)
                .bind(sealer.seal(value, &name(id)).unwrap())
                .bind(BY_NAME.open(&keys).await.unwrap().tag(value).unwrap())
                .bind(BY_SSN.open(&keys).await.unwrap().tag("078-05-1120").unwrap())
                .bind(sealer.seal(&Json(vec![id, value]), &note().subject(&patient)).unwrap())
                .bind(sealer.seal(&[0xa5; 300], &Context::new("Patient", "scan").without_record()).unwrap())
                .execute(&pool)
                .await
                .unwrap();
        }
        let ward = sealer.for_scope(&Scope::group("ward 7")).await.unwrap();
        sqlx::query("INSERT INTO golden (suite, id, name) VALUES (?, 'ward 7', ?)")
            .bind(number)
            .bind(ward.seal("of nobody in particular", &name("ward 7")).unwrap())
            .execute(&pool)
            .await
            .unwrap();
    }
    pool.close().await;
}

async fn check(folder: &Path, suites: &[(i64, Suite)]) {
    let (pool, keys) = open(folder).await;
    let opener = Opener::builder(keys.clone()).build();
    type Row = (Sealed<String>, Option<Vec<u8>>, Option<Vec<u8>>, Sealed<Json<Vec<String>>>, Sealed<Vec<u8>>);
    for (number, _) in suites {
        for (id, value) in NAMES {
            let query = "SELECT name, name_tag, ssn_tag, note, scan FROM golden WHERE suite = ? AND id = ?";
            let row: Row = sqlx::query_as(query).bind(number).bind(id).fetch_one(&pool).await.unwrap();
            let opener = opener.for_scope(&scope(id)).await.unwrap();
            assert_eq!(i64::from(row.0.as_bytes()[0]), *number);
            assert_eq!(opener.open(&row.0, &name(id)).unwrap().expose(), value);
            assert_eq!(opener.open(&row.3, &note()).unwrap().expose().0, [id, value]);
            assert_eq!(
                opener.open(&row.4, &Context::new("Patient", "scan").without_record()).unwrap().expose(),
                &[0xa5; 300]
            );

            let tag = |tag: Option<phi_crypto::Tag>| tag.map(|tag| tag.as_bytes().to_vec());
            assert_eq!(tag(BY_NAME.open(&keys).await.unwrap().tag(value).unwrap()), row.1);
            assert_eq!(tag(BY_SSN.open(&keys).await.unwrap().tag("078051120").unwrap()), row.2);
            assert_eq!((row.1.is_some(), row.2.is_some()), (!value.is_empty(), true));
        }
        let query = "SELECT name FROM golden WHERE suite = ? AND id = 'ward 7'";
        let of_ward: Sealed<String> = sqlx::query_scalar(query).bind(number).fetch_one(&pool).await.unwrap();
        let ward = opener.for_scope(&Scope::group("ward 7")).await.unwrap();
        assert_eq!(ward.open(&of_ward, &name("ward 7")).unwrap().expose(), "of nobody in particular");
    }
}

pub(crate) fn copy_of_golden() -> tempfile::TempDir {
    copy_of(&CORPORA[0])
}

fn copy_of(corpus: &Corpus) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in FILES {
        let copy = copy.path().join(file);
        fs::copy(golden(corpus).join(file), &copy).unwrap();
        // Version control does not keep the mode that the keyring insists on.
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
    }
    copy
}

#[tokio::test]
async fn what_was_sealed_by_an_earlier_version_opens() {
    for corpus in &CORPORA {
        check(copy_of(corpus).path(), &corpus.1).await;
    }
}

#[tokio::test]
async fn what_is_sealed_now_opens_as_the_golden_files_do() {
    for (_, suites) in &CORPORA {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), suites).await;
        check(folder.path(), suites).await;
    }
}

/// Run once for each version of the formats: `cargo test -p phi-crypto --all-features -- --ignored writes_the_golden`.
#[tokio::test]
#[ignore = "writes the golden files of a new format version"]
async fn writes_the_golden_files() {
    for corpus in CORPORA.iter().filter(|corpus| !golden(corpus).exists()) {
        fs::create_dir_all(golden(corpus)).unwrap();
        write(&golden(corpus), &corpus.1).await;
    }
}
