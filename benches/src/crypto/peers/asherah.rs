//! Asherah as its own bindings store a value: JSON, with its default policy and one session that is kept.

use std::sync::Arc;

use asherah::aead::AES256GCM;
use asherah::kms::StaticKMS;
use asherah::metastore::InMemoryMetastore;
use asherah::session::{PublicFactory, PublicSession};
use asherah::types::DataRowRecord;

use super::Peer;
use crate::Result;

type Kms = StaticKMS<AES256GCM>;

pub(in crate::crypto) struct Asherah {
    session: PublicSession<AES256GCM, Kms, InMemoryMetastore>,
    /// What the session's caches belong to.
    _factory: PublicFactory<AES256GCM, Kms, InMemoryMetastore>,
}

impl Asherah {
    pub(in crate::crypto) fn new() -> Result<Self> {
        let crypto = Arc::new(AES256GCM::new());
        let kms = Arc::new(StaticKMS::new(Arc::clone(&crypto), vec![7; 32]).map_err(|error| error.to_string())?);
        let config = asherah::Config::new("service", "product");
        let factory = asherah::api::new_session_factory(config, Arc::new(InMemoryMetastore::new()), kms, crypto);
        let session = factory.get_session("patient-7431");
        // The keys of the partition come with its first value.
        session.encrypt(b"first").map_err(|error| error.to_string())?;
        Ok(Self { session, _factory: factory })
    }
}

impl Peer for Asherah {
    const NAME: &'static str = "asherah";
    const PACKAGE: &'static str = "asherah";
    const NOTES: &'static str = "JSON; binds nothing, commits to no key, does not stream; a fresh random key for each \
                                 value, key and nonce from a generator in the process that fork() copies";

    type Stored = String;

    fn seal(&self, plaintext: &[u8]) -> String {
        self.session.encrypt(plaintext).expect("keys in the cache").to_json_fast()
    }

    fn open(&self, stored: &String) -> Vec<u8> {
        let record: DataRowRecord = serde_json::from_str(stored).expect("its own JSON");
        self.session.decrypt(record).expect("what was sealed opens")
    }

    /// All but the record of its key, which holds the time.
    fn of_cipher(stored: &String) -> &[u8] {
        stored.rsplit_once(r#""Data":"#).expect("its own JSON").1.as_bytes()
    }
}
