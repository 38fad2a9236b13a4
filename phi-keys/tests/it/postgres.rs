//! The key store on PostgreSQL: what one process and several do to it.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use phi_keys::{
    Change, Committed, DataKey, EphemeralKeyring, Error, KeyStore, Keys, PostgresKeyStore, PostgresRevocations,
    Residue, Revocation, Sleeper, Slot, StoreError,
};
use sqlx::{PgPool, Row};
use tokio::sync::Barrier;

use crate::support::Tick;
use crate::support::postgres::Schema;
use crate::support::{patient, subject};

async fn keys(pool: &PgPool, kms: &Arc<EphemeralKeyring>) -> Keys {
    Keys::builder(PostgresKeyStore::new(pool.clone())).kek(Arc::clone(kms)).tenant("clinic").build().await.unwrap()
}

async fn count(pool: &PgPool, statement: &'static str) -> i64 {
    sqlx::query(statement).fetch_one(pool).await.unwrap().get(0)
}

#[tokio::test]
async fn keys_are_the_same_for_another_process_and_a_shred_names_what_is_left() {
    let Some(schema) = Schema::new().await else { return };
    let (here, there) = (schema.pool().await, schema.pool().await);
    let kms = Arc::new(EphemeralKeyring::generate().unwrap());
    let (one, two) = (keys(&here, &kms).await, keys(&there, &kms).await);
    let id = one.data_key(&patient("a")).await.unwrap().full_id();
    assert_eq!(two.data_key(&patient("a")).await.unwrap().full_id(), id);
    let report = one.shred(&subject("a")).await.unwrap();
    assert_eq!(report.keys, [id]);
    assert!(!report.purged, "a client cannot remove what a server keeps");
    assert_eq!(report.residues, [Residue::DeadTuples, Residue::ArchivedLog, Residue::Replicas]);
    assert!(matches!(keys(&there, &kms).await.data_key(&patient("a")).await, Err(Error::Shredded)));
    assert_eq!(count(&here, "SELECT count(*) FROM phi_keys_row WHERE kind = 2").await, 0);
    assert!(two.shred(&subject("a")).await.unwrap().repeated);
}

#[tokio::test]
async fn a_revocation_reaches_another_process_and_a_lost_connection_is_taken_for_the_worst() {
    let Some(schema) = Schema::new().await else { return };
    let (here, there) = (schema.pool().await, schema.pool().await);
    let kms = Arc::new(EphemeralKeyring::generate().unwrap());
    let build = |pool: &PgPool| {
        let channel = PostgresRevocations::named(pool.clone(), format!("{}_revocation", schema.search_path()));
        Keys::builder(PostgresKeyStore::new(pool.clone())).kek(Arc::clone(&kms)).revocations(channel).build()
    };
    let (one, two) = (build(&here).await.unwrap(), build(&there).await.unwrap());
    let follower = two.clone();
    let follower = tokio::spawn(async move { follower.follow_revocations(Tick).await.map(drop) });
    let ended = async |key: &DataKey| {
        for _ in 0..1_000 {
            if !key.is_live() {
                return;
            }
            Tick.sleep(Duration::from_secs(1)).await;
        }
        panic!("the lease goes on");
    };
    // Until it listens, it hears nothing.
    let hears = async || {
        let key = two.data_key(&patient("c")).await.unwrap();
        while key.is_live() {
            let _ = one.revoke(&Revocation::All).await.unwrap();
            Tick.sleep(Duration::from_secs(1)).await;
        }
    };
    hears().await;

    let key = two.data_key(&patient("MRN-7431")).await.unwrap();
    assert!(one.revoke(&Revocation::Scope(patient("MRN-7431"))).await.unwrap().announced);
    ended(&key).await;
    let key = two.data_key(&patient("MRN-7431")).await.unwrap();
    let _ = one.shred(&subject("MRN-7431")).await.unwrap();
    ended(&key).await;
    assert!(matches!(two.data_key(&patient("MRN-7431")).await, Err(Error::Shredded)));

    let key = two.data_key(&patient("b")).await.unwrap();
    let listeners =
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND query LIKE '%";
    let listeners = format!("{listeners}{}%'", schema.search_path());
    assert!(sqlx::query(sqlx::AssertSqlSafe(listeners)).fetch_one(&here).await.unwrap().get::<i64, _>(0) > 0);
    ended(&key).await;
    hears().await;
    follower.abort();
}

#[tokio::test]
async fn a_commit_is_synchronous_whatever_the_session_says() {
    let Some(schema) = Schema::new().await else { return };
    let options =
        schema.options().options([("synchronous_commit", "off"), ("default_transaction_isolation", "serializable")]);
    let pool = schema.pool_with(options).await;
    let kms = Arc::new(EphemeralKeyring::generate().unwrap());
    let keys = keys(&pool, &kms).await;
    keys.data_key(&patient("a")).await.unwrap();
    // What the last transaction of the store had is gone with it, so it is looked at from within one.
    sqlx::query("CREATE TABLE seen (setting TEXT, level TEXT)").execute(&pool).await.unwrap();
    for statement in [
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES \
         (current_setting('synchronous_commit'), current_setting('transaction_isolation')); RETURN NULL; END $$",
        "CREATE TRIGGER note AFTER INSERT OR UPDATE ON phi_keys_row EXECUTE FUNCTION note()",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    keys.data_key(&patient("b")).await.unwrap();
    let _ = keys.shred(&subject("b")).await.unwrap();
    let rows = sqlx::query("SELECT DISTINCT setting, level FROM seen").fetch_all(&pool).await.unwrap();
    let seen = rows.iter().map(|row| (row.get::<String, _>(0), row.get::<String, _>(1))).collect::<Vec<_>>();
    assert_eq!(seen, [("on".to_owned(), "read committed".to_owned())]);
    assert_eq!(sqlx::query("SHOW synchronous_commit").fetch_one(&pool).await.unwrap().get::<String, _>(0), "off");
}

#[tokio::test]
async fn the_tables_are_used_without_the_right_to_make_them_and_a_later_version_is_refused() {
    let Some(schema) = Schema::new().await else { return };
    let pool = schema.pool().await;
    let store = PostgresKeyStore::new(pool.clone());
    assert!(matches!(store.domain_rows().await, Err(StoreError::NotMigrated)));
    store.migrate().await.unwrap();
    let name = schema.search_path();
    let role = format!("{name}_clerk");
    for statement in [
        format!("CREATE ROLE {role}"),
        format!("GRANT USAGE ON SCHEMA {name} TO {role}"),
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {name} TO {role}"),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&pool).await.unwrap();
    }
    let clerk = schema.pool_with(schema.options().options([("role", &role)])).await;
    let kms = Arc::new(EphemeralKeyring::generate().unwrap());
    keys(&clerk, &kms).await.data_key(&patient("a")).await.unwrap();
    clerk.close().await;
    for statement in [format!("DROP OWNED BY {role}"), format!("DROP ROLE {role}")] {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&pool).await.unwrap();
    }

    sqlx::query("UPDATE phi_keys_schema SET version = 3").execute(&pool).await.unwrap();
    let opened = Keys::builder(store).kek(kms).build().await;
    assert!(matches!(opened, Err(Error::Store(StoreError::Newer { found: 3, supported: 2 }))), "{opened:?}");
}

#[tokio::test]
async fn a_shred_within_a_transaction_is_the_transaction_s() {
    let Some(schema) = Schema::new().await else { return };
    let pool = schema.pool().await;
    let kms = Arc::new(EphemeralKeyring::generate().unwrap());
    let keys = keys(&pool, &kms).await;
    sqlx::query("CREATE TABLE patient (ssn_index BYTEA)").execute(&pool).await.unwrap();
    sqlx::query("INSERT INTO patient VALUES ('\\x01')").execute(&pool).await.unwrap();
    let kid = keys.data_key(&patient("a")).await.unwrap().kid();

    let mut transaction = pool.begin().await.unwrap();
    let pending = keys.shred_in_postgres(&mut transaction, &subject("a")).await.unwrap();
    assert!(matches!(keys.data_key(&patient("a")).await, Err(Error::ShredUnderWay)));
    transaction.rollback().await.unwrap();
    drop(pending);
    assert_eq!(keys.data_key(&patient("a")).await.unwrap().kid(), kid);

    let mut transaction = pool.begin().await.unwrap();
    sqlx::query("UPDATE patient SET ssn_index = NULL").execute(&mut *transaction).await.unwrap();
    let pending = keys.shred_in_postgres(&mut transaction, &subject("a")).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(pending.committed().await.unwrap().keys.len(), 1);
    assert!(matches!(keys.data_key(&patient("a")).await, Err(Error::Shredded)));
    assert_eq!(count(&pool, "SELECT count(*) FROM patient WHERE ssn_index IS NULL").await, 1);

    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        let mut transaction = pool.begin_with(level_of(level)).await.unwrap();
        let refused = keys.shred_in_postgres(&mut transaction, &subject("b")).await;
        assert!(matches!(refused, Err(Error::Config(_))), "{level}: {refused:?}");
    }
}

fn level_of(level: &str) -> sqlx::AssertSqlSafe<String> {
    sqlx::AssertSqlSafe(format!("BEGIN ISOLATION LEVEL {level}"))
}

/// Shreds and creations of the same subjects, by several pools: no key row is ever left beside a tombstone.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn shreds_and_creations_at_once_leave_no_key_beside_a_tombstone() {
    let Some(schema) = Schema::new().await else { return };
    let kms = Arc::new(EphemeralKeyring::generate().unwrap());
    let mut managers = Vec::new();
    for _ in 0..4 {
        managers.push(keys(&schema.pool().await, &kms).await);
    }
    for round in 0..15 {
        let name = format!("patient {round}");
        let barrier = Arc::new(Barrier::new(managers.len()));
        let tasks = managers.iter().cloned().enumerate().map(|(at, keys)| {
            let (name, barrier) = (name.clone(), Arc::clone(&barrier));
            tokio::spawn(async move {
                barrier.wait().await;
                if at % 2 == 0 {
                    keys.data_key(&patient(&name)).await.map(drop).or_else(|error| match error {
                        Error::Shredded => Ok(()),
                        other => Err(other),
                    })
                } else {
                    keys.shred(&subject(&name)).await.map(drop)
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap().unwrap();
        }
    }
    let pool = schema.pool().await;
    assert_eq!(count(&pool, "SELECT count(*) FROM phi_keys_row WHERE kind = 3").await, 15);
    assert_eq!(count(&pool, "SELECT count(*) FROM phi_keys_row WHERE kind = 2").await, 0);
}

/// Two transactions that lock each other out: the server ends one of them, and the store runs it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_was_ended_for_another_runs_again() {
    let Some(schema) = Schema::new().await else { return };
    let pool = schema.pool().await;
    let kms = Arc::new(EphemeralKeyring::generate().unwrap());
    let keys = keys(&pool, &kms).await;
    keys.data_key(&patient("a")).await.unwrap();
    let store = PostgresKeyStore::new(pool.clone());
    let rows = store.domain_rows().await.unwrap();
    let [root, data] = rows.as_slice() else { panic!("{rows:?}") };

    // Ours takes the data row last; the other one holds it, and wants what ours holds.
    let mut other = pool.begin().await.unwrap();
    sqlx::query("SET LOCAL deadlock_timeout = '60s'").execute(&mut *other).await.unwrap();
    sqlx::query("SELECT 1 FROM phi_keys_row WHERE key_use = 2 FOR UPDATE").execute(&mut *other).await.unwrap();
    let change = Change::new().replace(root.clone(), root.clone()).replace(data.clone(), data.clone());
    let ours = tokio::spawn({
        let store = store.clone();
        async move { store.commit(&change).await }
    });
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN \
        (SELECT pid FROM pg_stat_activity WHERE query LIKE 'UPDATE phi_keys_row%')";
    while count(&pool, waiting).await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let theirs = sqlx::query("SELECT 1 FROM phi_keys_row WHERE key_use = 1 FOR UPDATE").execute(&mut *other).await;
    theirs.unwrap();
    other.rollback().await.unwrap();
    assert_eq!(ours.await.unwrap().unwrap(), Committed::Done);
}

#[tokio::test]
async fn forged_and_unreadable_rows_do_not_stop_a_shred() {
    let Some(schema) = Schema::new().await else { return };
    let pool = schema.pool().await;
    let kms = Arc::new(EphemeralKeyring::generate().unwrap());
    let keys = keys(&pool, &kms).await;
    for (at, damage) in [
        "UPDATE phi_keys_row SET mac = '\\x00' WHERE kind = 2",
        "UPDATE phi_keys_row SET state = 99 WHERE kind = 2",
        "UPDATE phi_keys_row SET full_id = '\\x01' WHERE kind = 2",
        "INSERT INTO phi_keys_row SELECT 3, tenant, key_use, scope, 0, '', '', 5, created, '', '', '\\x00' \
         FROM phi_keys_row WHERE kind = 2",
        "INSERT INTO phi_keys_row SELECT 3, tenant, key_use, scope, 0, '', '', 5, created, '', '', mac \
         FROM phi_keys_row WHERE kind = 2",
    ]
    .into_iter()
    .enumerate()
    {
        let name = at.to_string();
        let handle = keys.data_key(&patient(&name)).await.unwrap();
        sqlx::query(damage).execute(&pool).await.unwrap();
        let report = keys.shred(&subject(&name)).await.unwrap();
        assert_eq!(report.keys.contains(&handle.full_id()), !damage.contains("full_id"), "{damage}");
        assert_eq!(count(&pool, "SELECT count(*) FROM phi_keys_row WHERE kind = 2").await, 0, "{damage}");
        assert!(matches!(keys.data_key(&patient(&name)).await, Err(Error::Shredded)), "{damage}");
    }
    assert!(matches!(PostgresKeyStore::new(pool).slot(&Slot::root()).await, Ok(rows) if rows.len() == 2));
}

const CHILD: &str = "PHI_KEYS_TEST_POSTGRES_SCHEMA";
const KEYRING: &str = "PHI_KEYS_TEST_POSTGRES_KEYRING";
const SUBJECTS: usize = 80;

#[cfg(all(feature = "local", unix))]
mod killed {
    use std::path::Path;

    use phi_keys::{LocalKeyring, Unlock};

    use super::*;

    async fn open(folder: &Path, pool: &PgPool) -> Keys {
        let keyring = LocalKeyring::open(folder.join("keyring"), Unlock::key_file(folder.join("key"))).unwrap();
        let store = PostgresKeyStore::new(pool.clone());
        Keys::builder(store).kek(keyring).tenant("clinic").build().await.unwrap()
    }

    /// Runs in the child: shreds one subject after the other until it is killed.
    #[tokio::test]
    async fn child_that_shreds() {
        let (Ok(schema), Ok(folder)) = (std::env::var(CHILD), std::env::var(KEYRING)) else { return };
        let url = std::env::var("PHI_TEST_POSTGRES_URL").unwrap();
        let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
        let pool = PgPool::connect_with(options.options([("search_path", &schema)])).await.unwrap();
        let keys = open(Path::new(&folder), &pool).await;
        for number in 0..SUBJECTS {
            let _ = keys.shred(&subject(&number.to_string())).await.unwrap();
        }
    }

    fn child(schema: &Schema, folder: &Path) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["postgres::killed::child_that_shreds", "--exact"])
            .env(CHILD, schema.search_path())
            .env(KEYRING, folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    #[tokio::test]
    async fn a_killed_shred_is_whole_or_not_there_and_can_be_repeated() {
        for after in [1, 20, 50] {
            let Some(schema) = Schema::new().await else { return };
            let folder = tempfile::tempdir().unwrap();
            let unlock = Unlock::create_key_file(folder.path().join("key")).unwrap();
            LocalKeyring::create(folder.path().join("keyring"), unlock).unwrap();
            let pool = schema.pool().await;
            let keys = open(folder.path(), &pool).await;
            for number in 0..SUBJECTS {
                keys.data_key(&patient(&number.to_string())).await.unwrap();
            }
            let mut child = child(&schema, folder.path());
            const TOMBSTONES: &str = "SELECT count(*) FROM phi_keys_row WHERE kind = 3";
            while count(&pool, TOMBSTONES).await < after {
                assert!(child.try_wait().unwrap().is_none(), "the child ended before it was killed");
            }
            child.kill().unwrap();
            child.wait().unwrap();

            // What the server still runs for a dead client ends with its statement.
            let keys = open(folder.path(), &pool).await;
            let mut shredded = 0;
            for number in 0..SUBJECTS {
                match keys.data_key(&patient(&number.to_string())).await {
                    Ok(_) => {}
                    Err(Error::Shredded) => shredded += 1,
                    Err(error) => panic!("{error:?}"),
                }
            }
            let total = i64::try_from(SUBJECTS).unwrap();
            assert!((after..total).contains(&shredded), "the kill landed in the middle: {shredded} of {total}");
            for number in 0..SUBJECTS {
                let report = keys.shred(&subject(&number.to_string())).await.unwrap();
                assert_eq!(report.keys.len(), 1, "the tombstone remembers which key is gone");
            }
            assert_eq!(count(&pool, "SELECT count(*) FROM phi_keys_row WHERE kind = 2").await, 0);
        }
    }
}
