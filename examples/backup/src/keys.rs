//! The keys of the backups: a keyring file, its key file and a key store in one folder.

use std::error::Error;
use std::fs;
use std::path::Path;

use phi_keys::{Keys, LocalKeyring, SqliteKeyStore, Unlock};
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;

pub(crate) async fn create_or_open(folder: &Path) -> Result<Keys, Box<dyn Error>> {
    if folder.exists() {
        return open(folder).await;
    }
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|error| format!("the folder of the keys cannot be made: {error}"))?;
    let unlock = Unlock::create_key_file(folder.join("key-file"))?;
    let keyring = LocalKeyring::create(folder.join("keyring"), unlock)?;
    keys(folder, keyring).await
}

pub(crate) async fn open(folder: &Path) -> Result<Keys, Box<dyn Error>> {
    let keyring = LocalKeyring::open(folder.join("keyring"), Unlock::key_file(folder.join("key-file")))?;
    keys(folder, keyring).await
}

async fn keys(folder: &Path, keyring: LocalKeyring) -> Result<Keys, Box<dyn Error>> {
    let options = SqliteConnectOptions::new().filename(folder.join("keys.db")).create_if_missing(true);
    let store = SqliteKeyStore::new(SqlitePool::connect_with(options).await?);
    Ok(Keys::builder(store).kek(keyring).tenant("backup").build().await?)
}
