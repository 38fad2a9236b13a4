//! A report over many patients whose keys are cold: every key row is read, checked and unwrapped, then every field opened.

use std::sync::Arc;
use std::time::Duration;

use phi_crypto::{Context, Field, Opener, Sealed, Sealer};
use phi_keys::{EphemeralKeyring, Fingerprint, Keys, MemoryKeyStore, Scope};
use phi_types::SubjectId;
use tokio::runtime::Runtime;

use super::ours::{NAME, NOTES};
use crate::Result;
use crate::measure::Contender;

pub(crate) const SHARED: &str = "phi-crypto, a salt for each patient";
pub(crate) const OWN: &str = "phi-crypto, a salt for each field";

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
    kek: Arc<EphemeralKeyring>,
    fingerprint: Fingerprint,
    scopes: Vec<Scope>,
    shared: Vec<Sealed<Vec<u8>>>,
    own: Vec<Sealed<Vec<u8>>>,
}

impl Cold {
    pub(crate) fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let (store, kek) = (Arc::new(MemoryKeyStore::new()), Arc::new(EphemeralKeyring::generate()?));
        let mut scopes = Vec::new();
        for patient in 0..PATIENTS {
            scopes.push(Scope::from(SubjectId::new(format!("22d6efc6-9f1c-4b0e-8a55-{patient:012}"))?));
        }
        let (mut shared, mut own) = (Vec::new(), Vec::new());
        let fingerprint = runtime.block_on(async {
            let keys = Keys::builder(Arc::clone(&store)).kek(Arc::clone(&kek)).tenant("clinic").build().await?;
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
        Ok(Self { runtime, store, kek, fingerprint, scopes, shared, own })
    }

    pub(crate) fn contenders(&self) -> Vec<Contender<'_>> {
        vec![self.contender(SHARED, &self.shared), self.contender(OWN, &self.own)]
    }

    fn contender<'a>(&'a self, system: &'static str, sealed: &'a [Sealed<Vec<u8>>]) -> Contender<'a> {
        let values = PATIENTS * FIELDS.len() as u32;
        let contender = Contender::new(system, crate::version(NAME), NOTES, move || {
            self.runtime.block_on(async {
                // A process that has just started: nothing is in its caches.
                let keys = Keys::builder(Arc::clone(&self.store)).kek(Arc::clone(&self.kek)).tenant("clinic");
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
