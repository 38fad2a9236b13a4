//! Asherah: system, intermediate and data keys. Its default policy caches 1,000 of each kind, for an hour between looks at the
//! metastore.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use asherah::aead::AES256GCM;
use asherah::kms::StaticKMS;
use asherah::policy::CryptoPolicy;
use asherah::session::PublicFactory;
use asherah::traits::{KeyManagementService, Metastore};
use asherah::types::{DataRowRecord, EnvelopeKeyRecord};
use async_trait::async_trait;

use crate::Result;

pub(crate) const NAME: &str = "asherah";

#[derive(Clone)]
struct Kms {
    kms: StaticKMS<AES256GCM>,
    calls: Arc<AtomicU64>,
    disabled: Arc<AtomicBool>,
    /// How long it takes, in milliseconds.
    delay: Arc<AtomicU64>,
}

impl Kms {
    fn answer(&self) -> anyhow::Result<()> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(self.delay.load(Ordering::SeqCst)));
        if self.disabled.load(Ordering::SeqCst) { Err(anyhow::anyhow!("the key is disabled")) } else { Ok(()) }
    }
}

#[async_trait]
impl KeyManagementService for Kms {
    fn encrypt_key(&self, context: &(), key: &[u8]) -> anyhow::Result<Vec<u8>> {
        self.answer()?;
        self.kms.encrypt_key(context, key)
    }

    fn decrypt_key(&self, context: &(), blob: &[u8]) -> anyhow::Result<Vec<u8>> {
        self.answer()?;
        self.kms.decrypt_key(context, blob)
    }
}

/// A metastore in memory whose records the attacker may change.
#[derive(Clone, Default)]
struct Store(Arc<Mutex<HashMap<String, Vec<EnvelopeKeyRecord>>>>);

#[async_trait]
impl Metastore for Store {
    fn load(&self, id: &str, created: i64) -> anyhow::Result<Option<EnvelopeKeyRecord>> {
        let rows = self.0.lock().expect("no panic");
        Ok(rows.get(id).and_then(|rows| rows.iter().find(|row| row.created == created)).cloned())
    }

    fn load_latest(&self, id: &str) -> anyhow::Result<Option<EnvelopeKeyRecord>> {
        let rows = self.0.lock().expect("no panic");
        Ok(rows.get(id).and_then(|rows| rows.iter().max_by_key(|row| row.created)).cloned())
    }

    fn store(&self, id: &str, created: i64, record: &EnvelopeKeyRecord) -> anyhow::Result<bool> {
        let mut rows = self.0.lock().expect("no panic");
        let rows = rows.entry(id.to_owned()).or_default();
        let is_new = rows.iter().all(|row| row.created != created);
        if is_new {
            rows.push(record.clone());
        }
        Ok(is_new)
    }
}

type Factory = PublicFactory<AES256GCM, Kms, Store>;

pub(crate) struct Asherah {
    store: Arc<Store>,
    kms: Arc<Kms>,
    crypto: Arc<AES256GCM>,
    policy: CryptoPolicy,
    factory: Factory,
}

impl Asherah {
    pub(crate) fn new() -> Result<Self> {
        Self::with(CryptoPolicy::default())
    }

    /// With as many keys in memory, for as long.
    pub(crate) fn limited(keys: usize, age: Duration) -> Result<Self> {
        Self::with(CryptoPolicy {
            intermediate_key_cache_max_size: keys,
            intermediate_key_cache_eviction_policy: "lru".to_owned(),
            session_cache_max_size: keys,
            revoke_check_interval_s: age.as_secs().try_into()?,
            ..CryptoPolicy::default()
        })
    }

    fn with(policy: CryptoPolicy) -> Result<Self> {
        let crypto = Arc::new(AES256GCM::new());
        let kms = StaticKMS::new(Arc::clone(&crypto), vec![7; 32]).map_err(|error| error.to_string())?;
        let (store, kms) = (
            Arc::new(Store::default()),
            Arc::new(Kms { kms, calls: Arc::default(), disabled: Arc::default(), delay: Arc::default() }),
        );
        let factory = factory(&store, &kms, &crypto, policy.clone());
        Ok(Self { store, kms, crypto, policy, factory })
    }

    /// A process that knows nothing yet, over the same store and KMS.
    pub(crate) fn restart(&mut self) {
        self.factory = factory(&self.store, &self.kms, &self.crypto, self.policy.clone());
    }

    pub(crate) fn take(&self) -> u64 {
        self.kms.calls.swap(0, Ordering::SeqCst)
    }

    pub(crate) fn delay(&self, delay: Duration) {
        self.kms.delay.store(delay.as_millis() as u64, Ordering::SeqCst);
    }

    pub(crate) fn disable(&self) {
        self.kms.disabled.store(true, Ordering::SeqCst);
    }

    pub(crate) fn write(&self, partition: &str, value: &str) -> Result<DataRowRecord> {
        self.factory.get_session(partition).encrypt(value.as_bytes()).map_err(|error| error.to_string().into())
    }

    pub(crate) fn read(&self, partition: &str, sealed: &DataRowRecord) -> Result<Vec<u8>> {
        self.factory.get_session(partition).decrypt(sealed.clone()).map_err(|error| error.to_string().into())
    }

    fn change(&self, id: &str, change: impl Fn(&mut EnvelopeKeyRecord)) {
        let mut rows = self.store.0.lock().expect("no panic");
        rows.iter_mut().filter(|(name, _)| name.contains(id)).flat_map(|(_, rows)| rows).for_each(change);
    }

    fn record(&self, id: &str) -> Option<EnvelopeKeyRecord> {
        let rows = self.store.0.lock().expect("no panic");
        rows.iter().find(|(name, _)| name.contains(id))?.1.first().cloned()
    }

    /// The attacks on its metastore: how each ended, or `None` where it stores nothing of the kind.
    pub(crate) fn attacks() -> Result<Vec<(&'static str, Option<bool>, &'static str)>> {
        let mut results = Vec::new();
        let mut world = Self::new()?;
        let sealed = world.write("clinic-a", "ours")?;
        world.write("hospital-a", "theirs")?;
        let theirs = world.record("_IK_hospital-a").ok_or("no intermediate key")?;
        world.change("_IK_clinic-a", |row| row.encrypted_key.clone_from(&theirs.encrypted_key));
        world.restart();
        let reads = world.read("clinic-a", &sealed).is_err();
        results.push(("swap the wrapped keys of two tenants, then read", Some(reads), "the value does not open"));
        let written = world.write("clinic-a", "new").is_err();
        results.push((
            "swap the wrapped keys of two tenants, then write",
            Some(written),
            "new values of one tenant are sealed under the other one's key",
        ));

        // A row names its parent by id and time, which stand for KEK and version.
        let mut world = Self::new()?;
        let sealed = world.write("clinic-a", "ours")?;
        world.write("hospital-a", "theirs")?;
        let mut moved = sealed.clone();
        let parent = moved.key.as_mut().and_then(|key| key.parent_key_meta.as_mut()).ok_or("no parent")?;
        parent.id = parent.id.replace("clinic", "hospital");
        world.restart();
        let relabelled = world.read("clinic-a", &moved).is_err();
        results.push(("relabel the KEK id", Some(relabelled), "of the key that wraps a value's key"));
        let mut moved = sealed.clone();
        let parent = moved.key.as_mut().and_then(|key| key.parent_key_meta.as_mut()).ok_or("no parent")?;
        parent.created += 60;
        world.restart();
        let relabelled = world.read("clinic-a", &moved).is_err();
        results.push(("relabel the KEK version", Some(relabelled), "of the key that wraps a value's key"));
        results.push(("strip the binding mode", None, "neither KMS nor wrapped key is given a context"));

        // The same store under another KEK.
        let crypto = Arc::clone(&world.crypto);
        let kms = StaticKMS::new(Arc::clone(&crypto), vec![8; 32]).map_err(|error| error.to_string())?;
        world.kms = Arc::new(Kms { kms, calls: Arc::default(), disabled: Arc::default(), delay: Arc::default() });
        world.restart();
        let crossed = world.read("clinic-a", &sealed).is_err();
        results.push(("give what one KEK wrapped to another", Some(crossed), "by the KMS"));

        let mut world = Self::new()?;
        let sealed = world.write("clinic-a", "ours")?;
        world.change("_IK_clinic-a", |row| row.revoked = Some(true));
        world.restart();
        let flipped = world.read("clinic-a", &sealed).is_err();
        results.push((
            "flip a state column to revoked, then read",
            Some(flipped),
            "a revoked key still opens, by design",
        ));
        world.change("_IK_clinic-a", |row| row.revoked = None);
        world.restart();
        let revived = world.write("clinic-a", "new").is_err();
        results.push(("flip a state column back from revoked, then write", Some(revived), "records carry no MAC"));

        // Whoever may wrap puts a system key in its place that they know.
        let mut world = Self::new()?;
        world.write("clinic-a", "ours")?;
        let own = world.kms.encrypt_key(&(), &[0x5a; 32]).map_err(|error| error.to_string())?;
        world.change("_SK_", |row| row.encrypted_key.clone_from(&own));
        world.store.0.lock().expect("no panic").retain(|name, _| !name.contains("_IK_"));
        world.restart();
        let own = world.write("clinic-a", "new").is_err();
        results.push(("put a key of one's own in another one's place, then write", Some(own), "records carry no MAC"));
        results.push(("put an older copy of one row back", Some(world_is_old(&mut world, "_IK_")?), "not claimed"));
        results.push(("put the whole older store back", Some(world_is_old(&mut world, "")?), "not claimed"));
        Ok(results)
    }
}

/// Puts older records back and reads what was sealed under them.
fn world_is_old(world: &mut Asherah, id: &str) -> Result<bool> {
    let sealed = world.write("clinic-old", "ours")?;
    let before = world.store.0.lock().expect("no panic").clone();
    world.change(id, |row| row.revoked = Some(true));
    *world.store.0.lock().expect("no panic") = before;
    world.restart();
    Ok(world.read("clinic-old", &sealed).is_err())
}

fn factory(store: &Arc<Store>, kms: &Arc<Kms>, crypto: &Arc<AES256GCM>, policy: CryptoPolicy) -> Factory {
    let config = asherah::Config::new("service", "product").with_policy(policy);
    asherah::api::new_session_factory(config, Arc::clone(store), Arc::clone(kms), Arc::clone(crypto))
}
