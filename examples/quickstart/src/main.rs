use phi_crypto::{Context, Opener, Sealer, SubjectId};
use phi_keys::{Keys, LocalKeyring, Scope, SqliteKeyStore, Unlock};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?; // an application has a data folder, and its passphrase from elsewhere
    let keyring = LocalKeyring::create(folder.path().join("clinic.keyring"), Unlock::passphrase("not in the code"))?;
    let db = sqlx::SqlitePool::connect(&format!("sqlite://{}/clinic.db?mode=rwc", folder.path().display())).await?;
    let keys = Keys::builder(SqliteKeyStore::new(db)).kek(keyring).tenant("clinic").build().await?;
    let (sealer, opener) = (Sealer::builder(keys.clone()).build(), Opener::builder(keys).build());

    let ada = Scope::Subject(SubjectId::new("7431")?); // a key of her own: shred it, and her data is gone
    let place = Context::new("Patient", "name").record_id("7431"); // the value opens here and nowhere else
    let stored = sealer.for_scope(&ada).await?.seal("Ada Lovelace", &place)?; // a BLOB for SQLite
    let name = opener.for_scope(&ada).await?.open(&stored, &place)?;

    println!("stored: {} bytes, logged: {name}, shown: {}", stored.as_bytes().len(), name.expose());
    Ok(())
}
