//! A stream may last longer than a lease, and no longer than the key.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use phi_crypto::file::{FileError, FileHead};

use super::{CHUNK, open, patient, place, plaintext, seal, seekable};
use crate::support::{LEASE, scope, subject};

#[tokio::test]
async fn a_stream_stops_at_the_end_of_its_lease_and_goes_on_with_a_new_one() {
    let (clinic, sealer, _opener) = patient().await;
    let whole = plaintext(20 * CHUNK);
    let mut file = sealer.file(Vec::new(), &place()).unwrap();
    let mut written = 0;
    let stopped = loop {
        match file.write(&whole[written..]) {
            Ok(taken) => written += taken,
            Err(error) => break error,
        }
        clinic.clock.advance(LEASE);
    };
    assert!(matches!(FileError::of(&stopped), Some(FileError::LeaseEnded)));
    file.renew(file.renewal().await.unwrap()).unwrap();
    file.write_all(&whole[written..]).unwrap();
    let sealed = file.finish().unwrap();

    let opener = clinic.opener("ada").await;
    let mut file = seekable(&opener, &sealed).unwrap();
    let mut out = vec![0; 5];
    file.read_exact(&mut out).unwrap();
    clinic.clock.advance(LEASE);
    let mut rest = Vec::new();
    let stopped = file.read_to_end(&mut rest).unwrap_err();
    assert!(matches!(FileError::of(&stopped), Some(FileError::LeaseEnded)));
    assert!(file.seek(SeekFrom::End(0)).is_err() && file.open_range(3, 4).is_err());
    file.renew(file.renewal().await.unwrap()).unwrap();
    file.read_to_end(&mut rest).unwrap();
    assert!([out, rest].concat() == whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_can_renew_itself() {
    let (clinic, sealer, opener) = patient().await;
    let whole = plaintext(20 * CHUNK + 3);
    let runtime = tokio::runtime::Handle::current();
    let clock = clinic.clock.clone();
    let all = whole.clone();
    let work = move || {
        let renewing = runtime.clone();
        let mut file = sealer.file(Vec::new(), &place()).unwrap();
        file.renew_with(move |renewal| renewing.block_on(renewal));
        for part in all.chunks(CHUNK) {
            clock.advance(LEASE);
            file.write_all(part).unwrap();
        }
        clock.advance(LEASE);
        let sealed = file.finish().unwrap();

        // The opener's own lease is over as well, so a new one is needed only to begin.
        let opener = runtime.block_on(clinic.opener("ada"));
        let mut file = opener.file(&sealed[..], &place()).unwrap();
        clock.advance(LEASE);
        file.renew_with(move |renewal| runtime.block_on(renewal));
        let mut out = Vec::new();
        file.read_to_end(&mut out).unwrap();
        out
    };
    assert!(tokio::task::spawn_blocking(work).await.unwrap() == whole);
    drop(opener);
}

#[tokio::test]
async fn a_shred_ends_streams() {
    let (clinic, sealer, opener) = patient().await;
    let sealed = seal(&sealer, &plaintext(20 * CHUNK));
    let mut reading = seekable(&opener, &sealed).unwrap();
    let mut writing = sealer.file(Vec::new(), &place()).unwrap();
    writing.write_all(b"x").unwrap();
    let _report = clinic.keys.shred(&subject("ada")).await.unwrap();
    let error = reading.read(&mut [0; 9]).unwrap_err();
    assert!(matches!(FileError::of(&error), Some(FileError::LeaseEnded)));
    assert!(matches!(reading.renewal().await, Err(phi_keys::Error::Shredded)));
    assert!(matches!(writing.renewal().await, Err(phi_keys::Error::Shredded)));
    assert!(matches!(writing.finish(), Err(FileError::LeaseEnded)));
}

#[tokio::test]
async fn a_lease_on_another_key_is_none() {
    let (clinic, sealer, opener) = patient().await;
    let other = clinic.keys.data_key(&scope("grace")).await.unwrap();
    let mut file = sealer.file(Vec::new(), &place()).unwrap();
    assert!(matches!(file.renew(other.clone()), Err(FileError::KeyRotated)));
    file.write_all(b"x").unwrap();
    let sealed = file.finish().unwrap();
    assert_eq!(open(&opener, &sealed).unwrap(), b"x");
    assert!(matches!(seekable(&opener, &sealed).unwrap().renew(other), Err(FileError::KeyRotated)));
}

#[tokio::test]
async fn ranges_go_on_with_a_new_lease_on_the_same_key() {
    let (clinic, sealer, opener) = patient().await;
    let sealed = seal(&sealer, b"a range");
    let mut ranges = opener.file_ranges(&FileHead::parse(&sealed).unwrap(), &place()).unwrap();
    let chunk = || sealed[FileHead::LEN..].to_vec();
    clinic.clock.advance(LEASE);
    assert!(matches!(ranges.open(2..7, chunk()), Err(FileError::LeaseEnded)));
    let other = clinic.keys.data_key(&scope("grace")).await.unwrap();
    assert!(matches!(ranges.renew(other), Err(FileError::KeyRotated)));
    assert!(matches!(ranges.open(2..7, chunk()), Err(FileError::LeaseEnded)));
    ranges.renew(ranges.renewal().await.unwrap()).unwrap();
    assert_eq!(ranges.open(2..7, chunk()).unwrap().expose(), b"range");
}
