//! Lost sessions and tokens, which concern every session of the process.

use std::fs;
use std::path::Path;

use phi_keys::pkcs11::{Pkcs11Error, Pkcs11Pool};
use phi_keys::{Carrier, KekState, Kms, KmsError, Signer, WrapContext};

use super::token::{Token, alone, restart};

fn here() -> WrapContext {
    WrapContext::from_digest([1; 32])
}

#[tokio::test]
async fn a_lost_session_is_opened_again() {
    let Some(token) = Token::own("pkcs11::softhsm_lost::a_lost_session_is_opened_again") else { return };
    let pool = Pkcs11Pool::open(token.config().sessions(3)).await.unwrap();
    let kms = pool.create_kek("clinic").await.unwrap();
    let signer = pool.create_signer("checkpoints").await.unwrap();
    let carrier = Carrier::generate().unwrap();
    let wrapped = kms.wrap_dek(&carrier, &here()).await.unwrap();
    for round in 0..6 {
        restart();
        let opened = kms.unwrap_dek(&wrapped, &here()).await.unwrap();
        assert_eq!(opened.expose(), carrier.expose(), "round {round}");
        restart();
        assert!(kms.wrap_dek(&carrier, &here()).await.is_ok(), "round {round}");
        restart();
        assert!(signer.sign(b"checkpoint").await.is_ok(), "round {round}");
        restart();
        assert_eq!(kms.status().await.unwrap().state, KekState::Enabled, "round {round}");
    }
    pool.close().await;
}

#[tokio::test]
async fn a_token_that_goes_away_and_comes_back_is_named_for_what_it_is() {
    const NAME: &str = "pkcs11::softhsm_lost::a_token_that_goes_away_and_comes_back_is_named_for_what_it_is";
    let Some(tokens) = alone(NAME) else { return };
    let token = Token::own(NAME).unwrap();
    let pool = token.pool().await;
    let kms = pool.create_kek("clinic").await.unwrap();
    let carrier = Carrier::generate().unwrap();
    let wrapped = kms.wrap_dek(&carrier, &here()).await.unwrap();

    let drawer = tempfile::tempdir().unwrap();
    move_all(&tokens, drawer.path());
    restart();
    for answer in [kms.unwrap_dek(&wrapped, &here()).await.err(), kms.status().await.err()] {
        let error = answer.unwrap();
        assert!(matches!(&error, KmsError::Unavailable(_)) && error.is_transient(), "{error:?}");
        let reason = std::error::Error::source(&error).unwrap().to_string();
        assert!(reason.contains("no slot holds"), "{reason}");
    }
    move_all(drawer.path(), &tokens);
    restart();
    assert_eq!(kms.unwrap_dek(&wrapped, &here()).await.unwrap().expose(), carrier.expose(), "the token is back");

    // Wiped, and a token of the same label again: without the key, then with another one.
    restart();
    token.initialise(token.slot());
    assert_eq!(kms.unwrap_dek(&wrapped, &here()).await.unwrap_err().kind(), "not_found");
    assert!(matches!(pool.kek("clinic").await, Err(Pkcs11Error::KeyMissing)));
    pool.create_kek("clinic").await.unwrap();
    assert_eq!(kms.unwrap_dek(&wrapped, &here()).await.unwrap_err().kind(), "unknown_version");
    pool.close().await;
}

fn move_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let folder = to.join(entry.file_name());
        fs::create_dir(&folder).unwrap();
        for file in fs::read_dir(entry.path()).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), folder.join(file.file_name())).unwrap();
        }
        fs::remove_dir_all(entry.path()).unwrap();
    }
}
