use phi_keys::{EphemeralKeyring, MemoryKeyStore, conformance};

#[tokio::test]
async fn the_store_in_memory_conforms() {
    conformance::key_store(&MemoryKeyStore::new()).await.unwrap();
}

#[tokio::test]
async fn the_ephemeral_keyring_conforms() {
    let keyring = EphemeralKeyring::generate().unwrap();
    conformance::kms(&keyring).await.unwrap();
    conformance::kms_admin(&keyring).await.unwrap();
    conformance::kms(&keyring).await.unwrap();
}

#[cfg(all(feature = "local", unix))]
#[tokio::test]
async fn the_local_keyring_conforms_before_and_after_a_rotation() {
    use phi_keys::{LocalKeyring, Unlock};

    let folder = tempfile::tempdir().unwrap();
    let unlock = Unlock::create_key_file(folder.path().join("key")).unwrap();
    let keyring = LocalKeyring::create(folder.path().join("keyring"), unlock).unwrap();
    conformance::kms(&keyring).await.unwrap();
    keyring.rotate().unwrap();
    conformance::kms(&keyring).await.unwrap();
    conformance::kms_admin(&keyring).await.unwrap();
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn the_sqlite_store_conforms_in_every_journal_mode() {
    use phi_keys::SqliteKeyStore;
    use sqlx::sqlite::SqliteJournalMode::{Delete, Memory, Persist, Truncate, Wal};

    use crate::support::sqlite::Database;

    for mode in [Wal, Delete, Truncate, Persist, Memory] {
        let database = Database::with(mode).await;
        conformance::key_store(&SqliteKeyStore::new(database.pool.clone())).await.unwrap();
    }
}
