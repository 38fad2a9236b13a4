//! What one backend seals, wraps and signs the other one opens, unwraps and computes alike.

use std::io::{Cursor, Read as _, Write as _};

use phi_crypto::{BlindIndex, IndexSpec, Padding, Sealer, Transform};
use phi_keys::backend::Backend;
use phi_keys::{KeyUse, Signer as _};
use phi_types::SubjectId;

use crate::support::{Clinic, bed, fips, opener, sealer, ward};

const BY_SSN: IndexSpec = BlindIndex::exact("Patient", "ssn", "by_ssn", Transform::Digits);

/// Who made the store and writes, and who comes after and reads.
fn directions() -> [[Backend; 2]; 2] {
    [[Backend::ring(), fips()], [fips(), Backend::ring()]]
}

#[tokio::test]
async fn values_tags_and_signers_are_the_same_on_both() {
    for [writer, reader] in directions() {
        let clinic = Clinic::new(writer);
        let (writing, reading) = (clinic.keys(writer).await, clinic.keys(reader).await);
        assert_eq!(writing.fingerprint().as_bytes(), reading.fingerprint().as_bytes());

        let padded = Sealer::builder(writing.clone()).padding(Padding::padme()).build();
        let padded = padded.for_scope(&ward()).await.unwrap().seal("Ada", &bed()).unwrap();
        let mut sealed = sealer(&writing).await.seal_many(&vec![("Ada", bed()); 20]).unwrap();
        sealed.push(padded);
        let opener = opener(&reading).await;
        for sealed in &sealed {
            assert_eq!(opener.open(sealed, &bed()).unwrap().expose(), "Ada", "{writer:?} to {reader:?}");
            assert!(opener.open(sealed, &bed().record_id(2_u64)).is_err());
        }

        let tag = BY_SSN.open(&writing).await.unwrap().tag("078-05-1120").unwrap();
        assert_eq!(tag, BY_SSN.open(&reading).await.unwrap().tag("078051120").unwrap());
        let signers = [writing.signer("audit").await.unwrap(), reading.signer("audit").await.unwrap()];
        assert_eq!(signers[0].public_key(), signers[1].public_key());
        let signatures = signers.each_ref().map(|signer| signer.sign_now(b"checkpoint").unwrap());
        assert_eq!(signatures[0], signatures[1]);
        signers[0].public_key().verify(b"checkpoint", &signatures[1]).unwrap();
        assert_eq!(writing.session_key().await.unwrap(), reading.session_key().await.unwrap());
    }
}

#[tokio::test]
async fn a_store_lives_on_under_the_other_backend() {
    for [writer, reader] in directions() {
        let clinic = Clinic::new(writer);
        let patient = SubjectId::new("7431").unwrap();
        let first = clinic.keys(writer).await;
        let before = sealer(&first).await.seal("before", &bed()).unwrap();
        first.data_key(&(&patient).into()).await.unwrap();

        // The other one rotates the KEK, the domain key and the data key, wraps anew, and shreds.
        let second = clinic.keys(reader).await;
        clinic.keyring(reader).rotate().unwrap();
        assert!(second.rewrap().await.unwrap().rewrapped >= 2);
        let _of_the_log = second.rotate_domain_key(KeyUse::Data).await.unwrap();
        let _of_the_log = second.rotate_data_key(&ward()).await.unwrap();
        let after = sealer(&second).await.seal("after", &bed()).unwrap();
        let _of_the_log = second.shred(&patient).await.unwrap();

        let third = clinic.keys(writer).await;
        assert_eq!(third.generation().await.unwrap(), second.generation().await.unwrap());
        let opener = opener(&third).await;
        assert_eq!(opener.open(&before, &bed()).unwrap().expose(), "before");
        assert_eq!(opener.open(&after, &bed()).unwrap().expose(), "after");
        assert!(matches!(third.data_key(&(&patient).into()).await, Err(phi_keys::Error::Shredded)));
    }
}

#[tokio::test]
async fn files_of_ring_open_on_the_module_whole_and_in_ranges() {
    let clinic = Clinic::new(Backend::ring());
    let content = (0..100_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect::<Vec<_>>();
    let mut file = sealer(&clinic.keys(Backend::ring()).await).await.file(Vec::new(), &bed()).unwrap();
    file.write_all(&content).unwrap();
    let sealed = file.finish().unwrap();

    let opener = opener(&clinic.keys(fips()).await).await;
    let mut file = opener.file(Cursor::new(&sealed), &bed()).unwrap();
    assert_eq!(file.authentic_len().unwrap(), 100_000);
    assert_eq!(file.open_range(40_000, 30_000).unwrap().expose(), &content[40_000..70_000]);
    let mut whole = Vec::new();
    file.read_to_end(&mut whole).unwrap();
    assert!(whole == content);
    for at in [90, 20_000, sealed.len() - 1] {
        let mut altered = sealed.clone();
        altered[at] ^= 1;
        let mut file = opener.file(Cursor::new(&altered), &bed()).unwrap();
        assert!(file.read_to_end(&mut Vec::new()).is_err(), "byte {at}");
    }
}
