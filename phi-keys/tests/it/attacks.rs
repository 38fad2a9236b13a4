//! What somebody gets who can write the key tables, and wrap under a KEK whose public half they have.

use std::sync::Arc;

use phi_keys::conformance;
use phi_keys::{EphemeralKeyring, Kms, MemoryKeyStore};
use phi_types::SystemClock;

use crate::faults::Faulty;

#[tokio::test]
async fn every_attack_on_the_key_tables_is_refused_that_is_claimed_to_be() {
    let named = |name| Arc::new(EphemeralKeyring::named(name, SystemClock::new()).unwrap()) as Arc<dyn Kms>;
    // Two that bind contexts, and one that does not and wraps under versions that it names no more than its algorithm.
    for keks in [[named("east"), named("west")], [named("east"), Faulty::loose("west")]] {
        let attacks = conformance::attacks(|| async { MemoryKeyStore::new() }, keks).await.unwrap();
        for attack in &attacks {
            assert!(attack.is_as_claimed(), "{attack:?}");
        }
        assert_eq!(attacks.len(), 2 * 19 + 14);
        let signed = |name: &str| attacks.iter().find(|a| a.name == format!("{name}, with valid MACs")).unwrap();
        for name in ["swap the wrapped data keys of two patients, with their ids", "strip the binding mode"] {
            assert!(signed(name).outcome.is_err(), "{name}");
        }
        // Who has the root key as well is nobody that forged rows are refused from.
        for name in ["insert a key of one's own", "flip the state column of a data key"] {
            assert!(signed(name).outcome.is_ok(), "{name}");
        }
    }
}
