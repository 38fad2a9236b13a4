//! Each operation of the backend is an approved service of the module, and as many of them as it consists of.

use aws_lc_rs::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce as RawNonce, UnboundKey};
use aws_lc_rs::pbkdf2;
use phi_crypto::{BlindIndex, IndexSpec, Padding, Sealed, Sealer, Transform};
use phi_keys::backend::{AeadKey, Backend, HmacSha256};
use phi_keys::derive::Label;
use phi_keys::f1::{self, MessageKey, Nonce, Suite};
use phi_keys::{Carrier, KeyUse, Keys, Kms as _, MemoryKeyStore, Scope, WrapContext};
use phi_types::SubjectId;
use std::io::{Cursor, Read as _, Write as _};

use crate::indicator::{approved, approved_in};
use crate::support::{Clinic, bed, fips, opener, sealer, ward};

const BY_SSN: IndexSpec = BlindIndex::exact("Patient", "ssn", "by_ssn", Transform::Digits);
/// A call of the module's generator is one service.
const DRAW: u64 = 1;
/// HKDF-Expand of one output, which the module has as one service.
const DERIVE: u64 = 1;
/// A message key is derived, and so is the kid.
const MESSAGE_KEY: u64 = 2 * DERIVE;
/// A keyring file is read: its checksum, its kid, the message key of its content, and the content.
const READ: u64 = 1 + DERIVE + MESSAGE_KEY + 1;
/// And written: a salt besides.
const WRITE: u64 = READ + DRAW;

#[test]
fn the_indicator_sees_what_is_not_approved() {
    let sealed_with = |algorithm| {
        let key = LessSafeKey::new(UnboundKey::new(algorithm, &[7; 32]).unwrap());
        let nonce = || RawNonce::assume_unique_for_key([9; 12]);
        let mut body = b"plaintext".to_vec();
        let (sealing, sealed) = approved(|| key.seal_in_place_append_tag(nonce(), Aad::empty(), &mut body));
        sealed.unwrap();
        let (opening, opened) = approved(|| key.open_in_place(nonce(), Aad::empty(), &mut body).map(|text| text.len()));
        assert_eq!(opened.unwrap(), 9);
        (sealing, opening)
    };
    // A nonce from outside: why the module draws them, why no file is sealed, and why old values can be opened.
    assert_eq!(sealed_with(&AES_256_GCM), (0, 1));
    assert_eq!(sealed_with(&CHACHA20_POLY1305), (0, 0));
    // What is counted is this thread's work and nothing else.
    assert_eq!(approved(|| ()).0, 0);
    assert_eq!(approved(|| Backend::ring().expand(&[7; 32], Label::KID, &[])).0, 0);
    assert_eq!(approved(|| std::thread::spawn(|| fips().full_id(&[7; 32])).join().unwrap()).0, 0);
    // A short salt and few iterations, as nobody should choose them.
    let (few, mut derived) = (std::num::NonZeroU32::MIN, [0; 32]);
    assert_eq!(approved(|| pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, few, b"salt", b"short", &mut derived)).0, 0);
}

#[test]
fn randomness_digests_macs_and_derivations_are_approved() {
    let backend = fips();
    for length in [12, 16, 24, 32] {
        let mut bytes = vec![0; length];
        let (services, filled) = approved(|| backend.fill(&mut bytes));
        assert_eq!((services, filled), (DRAW, Ok(())));
        assert_ne!(bytes, vec![0; length]);
    }
    assert_eq!(approved(|| f1::fresh_salt_of(backend).unwrap()).0, DRAW);
    assert_eq!(approved(|| Carrier::generate_on(backend).unwrap().expose().len()), (DRAW, 32));
    assert_eq!(approved(|| backend.sha256([b"one".as_slice(), b"two"])).0, 1);
    assert_eq!(approved(|| HmacSha256::new(backend, &[7; 32]).sign(b"message")).0, 1);
    assert_eq!(approved(|| backend.expand_sha512(&[7; 32], [b"info".as_slice()])[0]).0, 1);
    assert_eq!(approved(|| backend.expand(&[7; 32], Label::FIELD, b"info")).0, DERIVE);
    assert_eq!(approved(|| backend.full_id(&[7; 32])).0, DERIVE);
}

#[test]
fn sealing_and_opening_a_value_is_approved_in_every_form() {
    let backend = fips();
    for suite in [Suite::Aes256Gcm, Suite::Aes256GcmPadded] {
        let derive = || MessageKey::derive_on(backend, &[7; 32], Label::FIELD, suite, [3; 12]).unwrap();
        let (services, key) = approved(derive);
        assert_eq!(services, MESSAGE_KEY);
        let padding = if suite.is_padded() { 9 } else { 0 };
        let nonce = || Nonce::of(backend).unwrap();
        let (services, sealed) = approved(|| key.seal(nonce(), b"aad", b"plaintext").unwrap());
        assert_eq!(services, 1);
        let mut out = Vec::new();
        assert_eq!(approved(|| key.seal_into(nonce(), b"aad", b"plaintext", &mut out).unwrap()).0, 1);
        let padded = || key.seal_padded_into(nonce(), b"aad", b"plaintext", padding, &mut out).unwrap();
        assert_eq!(approved(padded).0, 1);
        let mut buffer = b"plaintext".to_vec();
        assert_eq!(approved(|| key.seal_in_place(nonce(), b"aad", padding, &mut buffer).unwrap()).0, 1);

        let parts = f1::parse(&sealed).unwrap();
        let (services, opened) = approved(|| key.open(&parts, b"aad").unwrap());
        assert_eq!((services, opened.as_slice()), (1, b"plaintext".as_slice()));
        out.clear();
        assert_eq!(approved(|| key.open_into(&parts, b"aad", &mut out).unwrap()).0, 1);
        assert_eq!(approved(|| key.open_in_place(b"aad", &mut buffer).unwrap()).0, 1);
        assert_eq!((out.as_slice(), buffer.as_slice()), (b"plaintext".as_slice(), b"plaintext".as_slice()));
        // What is refused gave nothing.
        assert_eq!(approved(|| key.open(&parts, b"elsewhere").is_err()), (0, true));
    }
    // The cipher below files, on its opening side.
    let ring = AeadKey::new(Backend::ring(), Suite::Aes256Gcm, &[7; 32]).unwrap();
    let mut chunk = b"plaintext".to_vec();
    let tag = ring.seal(Nonce::dangerous_from_bytes([9; 12]), b"", &mut chunk).unwrap();
    chunk.extend(tag);
    let key = AeadKey::new(backend, Suite::Aes256Gcm, &[7; 32]).unwrap();
    let (services, opened) = approved(|| key.open([9; 12], b"", &mut chunk, 0).map(|text| text.to_vec()));
    assert_eq!((services, opened.as_deref()), (1, Some(b"plaintext".as_slice())));
}

#[tokio::test]
async fn wrapping_and_unwrapping_under_a_keyring_is_approved() {
    let clinic = Clinic::new(fips());
    let keyring = clinic.keyring(fips());
    let (carrier, context) = (Carrier::generate_on(fips()).unwrap(), WrapContext::from_digest([1; 32]));
    // The file; then a salt, the message key of the carrier, and the carrier.
    let (services, wrapped) = approved_in(keyring.wrap_dek(&carrier, &context)).await;
    assert_eq!(services, READ + DRAW + MESSAGE_KEY + 1);
    // The kid of the KEK, the message key and the carrier.
    let wrapped = wrapped.unwrap();
    let (services, unwrapped) = approved_in(keyring.unwrap_dek(&wrapped, &context)).await;
    assert_eq!((services, unwrapped.unwrap().expose()), (DERIVE + MESSAGE_KEY + 1, carrier.expose()));
    // A carrier that the keyring draws, wrapped as above.
    let (services, drawn) = approved_in(keyring.generate(&context)).await;
    assert_eq!(services, DRAW + READ + DRAW + MESSAGE_KEY + 1);
    drawn.unwrap();
    // The key of the new version, and the file read and written.
    let (services, version) = approved(|| keyring.rotate().unwrap());
    assert_eq!((services, version), (READ + DRAW + WRITE, 2));
}

#[tokio::test]
async fn everything_under_a_key_manager_is_approved() {
    let clinic = Clinic::new(fips());
    let keyring = clinic.keyring(fips());
    let keys = Keys::builder(MemoryKeyStore::new()).kek(keyring).backend(fips());
    let (services, keys) = approved_in(keys.build()).await;
    let keys = keys.unwrap();
    assert_eq!(keys.backend(), fips());
    // A domain key is wrapped: its context, the carrier drawn, wrapped and unwrapped, its key, and the domain key under that.
    let seal = DRAW + MESSAGE_KEY + 1;
    let wrap_domain = 1 + DRAW + (READ + seal) + (DERIVE + MESSAGE_KEY + 1) + DERIVE + seal;
    // The root key, its fingerprint and the three keys out of it; its row and the generation row, with the digest in that; the
    // keyring, looked at for a pin and given one; and the generation row checked.
    let root = DRAW + 4 * DERIVE + (DERIVE + wrap_domain + 1) + (1 + 1) + READ + (READ + WRITE) + 1;
    assert_eq!(services, root);

    // The name of the scope. The rows of all domain keys checked, a new one written into them and read. The data key drawn,
    // wrapped, written, read and unwrapped.
    let domain = 3 + DRAW + (DERIVE + wrap_domain + 1) + (1 + 1) + 1;
    let data = (DRAW + DERIVE + seal + 1) + 1 + (MESSAGE_KEY + 1 + DERIVE);
    let (services, key) = approved_in(keys.data_key(&ward())).await;
    assert_eq!(services, 1 + domain + data);
    let data = key.unwrap();
    assert_eq!(data.backend(), fips());
    assert_eq!(approved(|| data.derive(Label::FIELD, b"info").unwrap()).0, DERIVE);

    let (sealer, opener) = (sealer(&keys).await, opener(&keys).await);
    // The salt and the key of the first epoch.
    let (services, _) = approved(|| sealer.seal("Ada Lovelace", &bed()).unwrap());
    assert_eq!(services, DRAW + DERIVE + 1);
    let (services, sealed) = approved(|| sealer.seal("Ada Lovelace", &bed()).unwrap());
    assert_eq!(services, 1);
    let mut buffer = Vec::new();
    assert_eq!(approved(|| sealer.seal_into(b"Ada Lovelace", &bed(), &mut buffer).unwrap()).0, 1);
    assert_eq!(approved(|| opener.open_in_place(&mut buffer, &bed()).unwrap().expose().len()), (DERIVE + 1, 12));
    let (services, opened) = approved(|| opener.open(&sealed, &bed()).unwrap());
    assert_eq!((services, opened.expose().as_str()), (1, "Ada Lovelace"));

    let batch = vec![("Grace Hopper", bed()); 50];
    let (services, many) = approved(|| sealer.seal_many(&batch).unwrap());
    assert_eq!((services, many.len()), (50, 50));
    let items = many.iter().map(|sealed| (sealed, bed())).collect::<Vec<_>>();
    let (services, opened) = approved(|| opener.open_many(&items));
    assert_eq!(services, 50);
    assert!(opened.iter().all(|opened| opened.as_ref().unwrap().expose() == "Grace Hopper"));

    let padded = Sealer::builder(keys.clone()).padding(Padding::padme()).build().for_scope(&ward()).await.unwrap();
    let _: Sealed<String> = padded.seal("Ada", &bed()).unwrap();
    assert_eq!(approved(|| padded.seal("Ada", &bed()).unwrap()).0, 1);

    let by_ssn = BY_SSN.open(&keys).await.unwrap();
    assert_eq!(approved(|| by_ssn.tag("078-05-1120").unwrap().is_some()), (1, true));

    let signer = keys.signer("audit").await.unwrap();
    assert_eq!(approved(|| signer.sign_now(b"checkpoint").unwrap()).0, 1);
}

#[tokio::test]
async fn signers_rotation_and_shredding_are_approved() {
    let clinic = Clinic::new(fips());
    let keys = clinic.keys(fips()).await;
    let subject = SubjectId::new("7431").unwrap();
    let scope = Scope::Subject(subject.clone());
    keys.data_key(&scope).await.unwrap();
    let _ = keys.signer("audit").await.unwrap();

    // The seed is derived, and the key pair made out of it.
    let (services, signer) = approved_in(keys.signer("audit")).await;
    assert_eq!(services, DERIVE + 1);
    signer.unwrap();
    // The name of the scope, its one row and the generation row checked; a key drawn, named, wrapped and written; the old row
    // written.
    let seal = DRAW + MESSAGE_KEY + 1;
    let (services, rotated) = approved_in(keys.rotate_data_key(&scope)).await;
    assert_eq!(services, 3 + (DRAW + DERIVE + seal + 1) + 1);
    let _ = rotated.unwrap();
    // The generation row, the rows of three domain keys and their digest checked; a key drawn, named, wrapped as in the test
    // above, and written; the digest, the generation row and the old row written.
    let wrap_domain = 1 + DRAW + (READ + seal) + (DERIVE + MESSAGE_KEY + 1) + DERIVE + seal;
    let (services, rotated) = approved_in(keys.rotate_domain_key(KeyUse::Data)).await;
    assert_eq!(services, (1 + 3 + 1) + (DRAW + DERIVE + wrap_domain + 1) + 3);
    let _ = rotated.unwrap();
    // The name of the scope, the generation row checked; the tombstone, its link in the chain and the generation row written.
    let (services, shredded) = approved_in(keys.shred(&subject)).await;
    assert_eq!(services, 2 + 3);
    let _ = shredded.unwrap();
}

#[tokio::test]
async fn opening_a_file_is_approved() {
    let clinic = Clinic::new(Backend::ring());
    let mut file = sealer(&clinic.keys(Backend::ring()).await).await.file(Vec::new(), &bed()).unwrap();
    file.write_all(&[7; 50_000]).unwrap();
    let sealed = file.finish().unwrap();

    let opener = opener(&clinic.keys(fips()).await).await;
    // The input key, the keys of the file out of it, and four chunks.
    let (services, mut file) = approved(|| opener.file(Cursor::new(sealed), &bed()).unwrap());
    assert_eq!(services, 2 * DERIVE);
    let mut plaintext = Vec::new();
    assert_eq!(approved(|| file.read_to_end(&mut plaintext).unwrap()), (4, 50_000));
    assert_eq!(plaintext, [7; 50_000]);
}
