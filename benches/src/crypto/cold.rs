//! A report over many patients whose keys are cold: every key row is read, checked and unwrapped, then every field opened.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use phi_crypto::{Context, Field, Opener, Sealed, Sealer};
use phi_keys::{Change, EphemeralKeyring, Fingerprint, KeyStore, Keys, MemoryKeyStore, Scope, Slot, SqliteKeyStore};
use phi_types::SubjectId;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::ours::{NAME, NOTES};
use crate::Result;
use crate::measure::Contender;

pub(crate) const SHARED: &str = "phi-crypto, a salt for each patient";
pub(crate) const OWN: &str = "phi-crypto, a salt for each field";

const SHARED_SQLITE: &str = "phi-crypto, a salt for each patient, keys in SQLite";
const OWN_SQLITE: &str = "phi-crypto, a salt for each field, keys in SQLite";
const NOTES_SQLITE: &str = "key rows read from a SQLite file; CPU time of all threads, the database's among them";

const TENANT: &str = "clinic";
const PATIENTS: u32 = 10_000;
/// The fields of one patient, by the names that a program gives them.
const FIELDS: [Field; 20] = [
    Context::new("Patient", "name"),
    Context::new("Patient", "birth_date"),
    Context::new("Patient", "ssn"),
    Context::new("Patient", "mrn"),
    Context::new("Patient", "phone"),
    Context::new("Patient", "mobile"),
    Context::new("Patient", "email"),
    Context::new("Patient", "street"),
    Context::new("Patient", "city"),
    Context::new("Patient", "zip"),
    Context::new("Patient", "contact"),
    Context::new("Patient", "insurer"),
    Context::new("Patient", "policy"),
    Context::new("Patient", "employer"),
    Context::new("Patient", "allergies"),
    Context::new("Patient", "conditions"),
    Context::new("Patient", "medication"),
    Context::new("Patient", "language"),
    Context::new("Patient", "notes"),
    Context::new("Patient", "consent"),
];

/// A store of key rows and what was sealed under them.
pub(crate) struct Cold {
    runtime: Runtime,
    store: Arc<MemoryKeyStore>,
    sqlite: SqliteKeyStore,
    /// Where the file of the store is.
    _folder: TempDir,
    kek: Arc<EphemeralKeyring>,
    fingerprint: Fingerprint,
    scopes: Vec<Scope>,
    shared: Vec<Sealed<Vec<u8>>>,
    own: Vec<Sealed<Vec<u8>>>,
}

impl Cold {
    pub(crate) fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let (store, kek) = (Arc::new(MemoryKeyStore::new()), Arc::new(EphemeralKeyring::generate()?));
        let mut scopes = Vec::new();
        for patient in 0..PATIENTS {
            scopes.push(Scope::from(SubjectId::new(format!("22d6efc6-9f1c-4b0e-8a55-{patient:012}"))?));
        }
        let (mut shared, mut own) = (Vec::new(), Vec::new());
        let fingerprint = runtime.block_on(async {
            let keys = Keys::builder(Arc::clone(&store)).kek(Arc::clone(&kek)).tenant(TENANT).build().await?;
            let sealer = Sealer::builder(keys.clone()).build();
            for (patient, scope) in (0_u64..).zip(&scopes) {
                let sealer = sealer.for_scope(scope).await?;
                for field in FIELDS {
                    shared.push(sealer.seal(&[7; 64], &field.record_id(patient))?);
                }
                for field in FIELDS {
                    sealer.roll();
                    own.push(sealer.seal(&[7; 64], &field.record_id(patient))?);
                }
            }
            Ok::<_, Box<dyn std::error::Error>>(keys.fingerprint())
        })?;
        let folder = tempfile::tempdir()?;
        let sqlite = runtime.block_on(copy(&store, folder.path()))?;
        Ok(Self { runtime, store, sqlite, _folder: folder, kek, fingerprint, scopes, shared, own })
    }

    pub(crate) fn contenders(&self) -> Vec<Contender<'_>> {
        vec![
            self.contender(SHARED, NOTES, &self.store, &self.shared),
            self.contender(OWN, NOTES, &self.store, &self.own),
            self.contender(SHARED_SQLITE, NOTES_SQLITE, &self.sqlite, &self.shared).whole_process(),
            self.contender(OWN_SQLITE, NOTES_SQLITE, &self.sqlite, &self.own).whole_process(),
        ]
    }

    fn contender<'a>(
        &'a self,
        system: &'static str,
        notes: &'static str,
        store: &'a (impl KeyStore + Clone),
        sealed: &'a [Sealed<Vec<u8>>],
    ) -> Contender<'a> {
        let values = PATIENTS * FIELDS.len() as u32;
        let contender = Contender::new(system, crate::version(NAME), notes, move || {
            self.runtime.block_on(async {
                // A process that has just started: nothing is in its caches.
                let keys = Keys::builder(store.clone()).kek(Arc::clone(&self.kek)).tenant(TENANT);
                let keys = keys.lease(Duration::from_secs(3600)).fingerprint(self.fingerprint).build();
                let opener = Opener::builder(keys.await.expect("the keys of this store")).build();
                let mut sealed = sealed.iter();
                let mut items = Vec::with_capacity(values as usize);
                for (patient, scope) in (0_u64..).zip(&self.scopes) {
                    for (field, sealed) in FIELDS.iter().zip(sealed.by_ref()) {
                        items.push((scope, sealed, field.record_id(patient)));
                    }
                }
                let opened = opener.open_many(&items).await;
                assert!(
                    opened.len() == values as usize && opened.iter().all(|opened| opened.is_ok()),
                    "everything opens"
                );
                opened.len()
            })
        });
        contender.items(values)
    }
}

/// The same key rows in a file.
async fn copy(memory: &MemoryKeyStore, folder: &std::path::Path) -> Result<SqliteKeyStore> {
    let options = SqliteConnectOptions::new().filename(folder.join("keys.db")).create_if_missing(true);
    let store = SqliteKeyStore::new(SqlitePoolOptions::new().max_connections(1).connect_with(options).await?);
    store.prepare().await?;
    let mut first = memory.slot(&Slot::root()).await?;
    first.extend(memory.domain_rows().await?.into_iter().filter(|row| row.slot != Slot::root()));
    store.commit(&first.into_iter().fold(Change::new(), Change::insert)).await?;
    for page in memory.data_rows(TENANT, None, NonZeroU32::MAX).await?.chunks(1_000) {
        store.commit(&page.iter().cloned().fold(Change::new(), Change::insert)).await?;
    }
    Ok(store)
}
