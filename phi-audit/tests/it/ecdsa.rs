//! A log whose checkpoints are signed with ECDSA on P-256, as tokens without Ed25519 sign.

use std::path::Path;
use std::sync::Arc;

use base64ct::{Base64, Encoding};
use phi_audit::{Checkpoint, Error, InvalidNote, VerifierKey};
use phi_keys::{PublicKey, SignError, Signer, Signing};

use crate::cli::{said, verify};
use crate::formats::python;
use crate::support::{Clinic, ORIGIN, P256, connect, read};

/// Runs a log under this key through everything that reads a signature or makes one.
pub(crate) async fn a_whole_log(signer: Arc<dyn Signer>) {
    let mut clinic = Clinic::new().await;
    let open = async |clinic: &Clinic| clinic.builder().signer(Arc::clone(&signer)).open().await;
    let log = open(&clinic).await.unwrap();
    let key = log.verifier_key().clone();
    assert_eq!((key.name(), key.public_key()), (ORIGIN, &signer.public_key()));
    log.recorder().record(read(1)).await.unwrap();
    let early = log.checkpoint().await.unwrap();
    assert_eq!(log.checkpoint().await.unwrap(), early);
    let copy = clinic.folder.path().join("copy.db");
    clinic.run(&format!("VACUUM INTO '{}'", copy.display())).await;
    for number in 2..20 {
        log.recorder().record(read(number)).await.unwrap();
    }
    let late = log.checkpoint().await.unwrap();
    let proof = log.prove(2).await.unwrap();
    assert_eq!(phi_audit::Proof::open(&proof.to_string(), &key).unwrap(), proof);
    let (consistency, newest) = log.prove_consistency(early.size()).await.unwrap();
    phi_audit::verify_consistency((early.size(), early.root()), (newest.size(), newest.root()), &consistency).unwrap();
    assert!(log.verify().await.unwrap().is_consistent());
    log.close().await.unwrap();

    // The mark holds the newest checkpoint, and whoever has the key alone can tell what the log must contain.
    let mark = std::fs::read_to_string(clinic.mark()).unwrap();
    let marked = Checkpoint::open(&mark, &key).unwrap();
    assert!(marked.size() >= late.size());
    for (at_least, expected) in [(None, "freshness not proven"), (Some(clinic.mark()), "contains the known checkpoint")]
    {
        let (code, text) = said(&verify(&clinic.path(), &key.to_string(), at_least.as_deref()));
        assert!(code == 0 && text.contains(expected), "{code} {text}");
    }
    let (code, text) = said(&verify(&copy, &key.to_string(), Some(&clinic.mark())));
    assert!(code == 3 && text.contains("rolled back"), "{code} {text}");
    if let Some((agrees, text)) = python(&[Path::new("log"), &clinic.path()], Some(&key)) {
        assert!(agrees, "{text}");
    }

    // Opened again: with the pinned key, not with another one, and not an older copy.
    let log = clinic.builder().signer(Arc::clone(&signer)).verifier_key(key.clone()).open().await.unwrap();
    assert!(log.verify().await.unwrap().is_consistent());
    log.close().await.unwrap();
    for foreign in [P256::generate().public_key(), PublicKey::Ed25519([1; 32])] {
        let foreign = VerifierKey::new(ORIGIN, foreign).unwrap();
        let refused = clinic.builder().signer(Arc::clone(&signer)).verifier_key(foreign.clone()).open().await;
        assert!(matches!(refused, Err(Error::ForeignKey)));
        let (code, text) = said(&verify(&clinic.path(), &foreign.to_string(), None));
        assert!(code == 1 && text.contains("bad signature"), "{code} {text}");
    }
    let refused = clinic.builder().signer(P256::generate()).open().await.unwrap_err();
    assert!(matches!(refused, Error::Checkpoint(InvalidNote::Signature)), "{refused:?}");
    let refused = clinic.try_open().await.unwrap_err();
    assert!(matches!(refused, Error::Checkpoint(InvalidNote::Signature)), "{refused:?}");
    clinic.pool = connect(&copy).await;
    let refused = open(&clinic).await.unwrap_err();
    assert!(matches!(refused, Error::RolledBack { stored, .. } if stored == early.size()), "{refused:?}");
}

#[tokio::test]
async fn a_log_is_signed_with_ecdsa_from_its_opening_to_its_verification() {
    a_whole_log(Arc::new(P256::generate())).await;
}

#[tokio::test]
async fn two_processes_that_sign_differently_share_one_log() {
    let clinic = Clinic::new().await;
    let signer = Arc::new(P256::generate());
    let open = async || clinic.builder().signer(Arc::clone(&signer)).open().await.unwrap();
    let (a, b) = (open().await, open().await);
    for number in 0..40 {
        let log = if number % 2 == 0 { &a } else { &b };
        log.recorder().record(read(number)).await.unwrap();
        let (one, two) = tokio::join!(a.checkpoint(), b.checkpoint());
        one.unwrap();
        two.unwrap();
    }
    // One signs and raises the mark, and the other signs the same head before it sees that.
    a.recorder().record(read(40)).await.unwrap();
    let first = a.checkpoint().await.unwrap();
    assert_eq!(clinic.run(&format!("DELETE FROM phi_audit_checkpoint WHERE size = {}", first.size())).await, 1);
    let second = b.checkpoint().await.unwrap();
    assert_eq!((first.size(), first.root()), (second.size(), second.root()));
    assert_ne!(first.note(), second.note());
    assert_eq!(std::fs::read_to_string(clinic.mark()).unwrap(), first.note());
    let report = a.verify().await.unwrap();
    assert_eq!((report.findings, report.writers), (vec![], 2));
}

/// The order of the curve.
const ORDER: [u8; 32] = *b"\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\
    \xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51";

/// The same note with n − s for s, which anybody can compute.
fn other_signature(note: &str) -> String {
    let (text, blob) = note.trim_end().rsplit_once(' ').unwrap();
    let blob = Base64::decode_vec(blob).unwrap();
    let length_of_r = usize::from(blob[7]);
    let (head, s) = blob.split_at(8 + length_of_r);
    let mut padded = [0; 33];
    padded[33 - (s.len() - 2)..].copy_from_slice(&s[2..]);
    let (mut other, mut borrow) = (vec![0; 32], 0);
    for place in (0..32).rev() {
        let digit = i16::from(ORDER[place]) - i16::from(padded[place + 1]) - borrow;
        borrow = i16::from(digit < 0);
        other[place] = u8::try_from(digit.rem_euclid(256)).unwrap();
    }
    while other[0] == 0 && other[1] < 0x80 {
        other.remove(0);
    }
    if other[0] >= 0x80 {
        other.insert(0, 0);
    }
    let mut blob = [head, &[2, u8::try_from(other.len()).unwrap()], &other].concat();
    blob[5] = u8::try_from(blob.len() - 6).unwrap();
    format!("{text} {}\n", Base64::encode_string(&blob))
}

/// Whoever writes to the database or the mark can put the other signature there; what is signed stays what it is.
#[tokio::test]
async fn the_other_signature_of_a_checkpoint_changes_nothing() {
    let signer = Arc::new(P256::generate());
    let (clinic, key) = Clinic::filled_and_signed(5, Some(Arc::clone(&signer))).await;
    let mark = std::fs::read_to_string(clinic.mark()).unwrap();
    let known = Checkpoint::open(&mark, &key).unwrap();
    let other = other_signature(&mark);
    let same = Checkpoint::open(&other, &key).unwrap();
    assert_eq!((same.size(), same.root()), (known.size(), known.root()));
    assert!(same.note() != known.note() && other_signature(&other) == mark);
    let stored = format!("UPDATE phi_audit_checkpoint SET note = '{other}' WHERE size = {}", known.size());
    assert_eq!(clinic.run(&stored).await, 1);
    assert!(clinic.verify(&key).await.is_consistent());
    let (code, text) = said(&verify(&clinic.path(), &key.to_string(), Some(&clinic.mark())));
    assert_eq!(code, 0, "{text}");
    // Signed again by the next one that opens it, whichever of both is in the store and in the mark.
    for note in [&mark, &other] {
        std::fs::write(clinic.mark(), note).unwrap();
        clinic.run(&format!("DELETE FROM phi_audit_checkpoint WHERE size > {}", known.size())).await;
        let log = clinic.builder().signer(Arc::clone(&signer)).open().await.unwrap();
        assert!(log.verify().await.unwrap().is_consistent());
        log.close().await.unwrap();
    }
}

/// Claims a key, and signs what it is told.
#[derive(Debug)]
struct Claims(PublicKey, Option<[u8; 64]>);

impl Signer for Claims {
    fn public_key(&self) -> PublicKey {
        self.0
    }

    fn sign<'a>(&'a self, _: &'a [u8]) -> Signing<'a> {
        Box::pin(core::future::ready(self.1.ok_or_else(|| SignError::new("it must not be asked"))))
    }
}

#[tokio::test]
async fn a_key_that_is_no_key_and_a_signature_that_is_none_are_refused() {
    let clinic = Clinic::new().await;
    for nowhere in [[4; 65], [0; 65]] {
        let signer = Claims(PublicKey::EcdsaP256(nowhere), None);
        let error = clinic.builder().signer(signer).open().await.unwrap_err();
        assert!(matches!(error, Error::Config(mend) if mend.contains("AuditLogBuilder::signer")), "{error:?}");
    }
    assert!(!clinic.mark().exists());
    for signature in [[0; 64], [1; 64], [0xff; 64]] {
        let signer = Claims(P256::generate().public_key(), Some(signature));
        let error = clinic.builder().signer(signer).open().await.unwrap_err();
        assert!(matches!(error, Error::Checkpoint(InvalidNote::Signature)), "{error:?}");
    }
    assert!(!clinic.mark().exists(), "nothing is signed");
}
