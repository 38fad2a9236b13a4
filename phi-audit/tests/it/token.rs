//! A log that is signed by keys which never leave a token. In one test, because SoftHSM 2.6.1 does not bear a key that is made
//! while other threads look around in the token.

use std::sync::Arc;

use phi_keys::Signer;
use phi_keys::pkcs11::{Pkcs11Config, Pkcs11Pool};

use crate::ecdsa::a_whole_log;

#[tokio::test]
async fn a_log_is_signed_within_a_token() {
    let Some(module) = crate::component::given("softhsm", "PHI_TEST_PKCS11_MODULE") else { return };
    let variable = |name: &str| std::env::var(name).unwrap();
    let config = Pkcs11Config::new(module, variable("PHI_TEST_PKCS11_TOKEN"), variable("PHI_TEST_PKCS11_PIN").into());
    let pool = Pkcs11Pool::open(config).await.unwrap();
    // Labels that no earlier run on the same token has used.
    let label = |kind: &str| format!("phi-audit {kind} {}", std::process::id());
    let p256 = pool.create_p256_signer(&label("p256")).await.unwrap();
    assert_eq!(p256.public_key().algorithm(), "ECDSA-P256-SHA256");
    a_whole_log(Arc::new(p256)).await;
    let ed25519 = pool.create_signer(&label("ed25519")).await.unwrap();
    assert_eq!(ed25519.public_key().algorithm(), "Ed25519");
    a_whole_log(Arc::new(ed25519)).await;
    pool.close().await;
}
