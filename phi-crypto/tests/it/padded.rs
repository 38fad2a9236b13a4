//! Values that hide their length, and what says that a value should be sealed again.

use phi_crypto::{Context, Opener, Padding, Reseal, Sealed, Sealer, Suite};
use phi_keys::f1::OVERHEAD;

use crate::support::{Clinic, scope};

const NAME: Context<'static> = Context::new("Patient", "name").without_record();
const CIPHERS: [(Suite, u8); 2] = [(Suite::Aes256Gcm, 0x11), (Suite::ChaCha20Poly1305, 0x12)];

#[tokio::test]
async fn padded_values_open_in_every_form_and_show_only_their_step() {
    let clinic = Clinic::new().await;
    // Makes the key.
    clinic.sealer("ada").await;
    let opener = clinic.opener("ada").await;
    for (suite, byte) in CIPHERS {
        let builder = || Sealer::builder(clinic.keys.clone()).suite(suite);
        for (sealer, lengths) in [
            (builder().padding(Padding::multiple_of(50)).build(), [50, 50, 50, 100]),
            (builder().padding(Padding::multiple_of(50)).build().hedged(), [50, 50, 50, 100]),
            (builder().padding(Padding::padme()).build(), [32, 32, 52, 52]),
            // A padded suite says by itself that it pads.
            (Sealer::builder(clinic.keys.clone()).suite(suite.padded()).build(), [32, 32, 52, 52]),
        ] {
            let sealer = sealer.for_scope(&scope("ada")).await.unwrap();
            for (plaintext, padded) in [vec![], vec![0; 31], vec![0x80; 49], vec![7; 50]].into_iter().zip(lengths) {
                let sealed = sealer.seal(&plaintext, &NAME).unwrap();
                assert_eq!((sealed.as_bytes()[0], sealed.as_bytes().len()), (byte, OVERHEAD + padded));
                assert_eq!(opener.open(&sealed, &NAME).unwrap().expose(), &plaintext);
                for sealed in sealer.seal_many(&[(&plaintext, NAME), (&plaintext, NAME)]).unwrap() {
                    assert_eq!(sealed.as_bytes().len(), OVERHEAD + padded);
                    assert_eq!(opener.open(&sealed, &NAME).unwrap().expose(), &plaintext);
                }
                let mut buffer = plaintext.clone();
                sealer.seal_in_place(&mut buffer, &NAME).unwrap();
                assert_eq!(buffer.len(), OVERHEAD + padded);
                assert_eq!(opener.open_in_place(&mut buffer, &NAME).unwrap().expose(), &plaintext);
                assert_eq!(buffer, plaintext);
            }
        }
    }
}

#[tokio::test]
async fn every_flipped_bit_and_every_truncation_of_a_padded_field_is_refused() {
    let clinic = Clinic::new().await;
    // Makes the key.
    clinic.sealer("ada").await;
    let opener = clinic.opener("ada").await;
    for (suite, _) in CIPHERS {
        let sealer = Sealer::builder(clinic.keys.clone()).suite(suite).padding(Padding::multiple_of(16)).build();
        let sealed = sealer.for_scope(&scope("ada")).await.unwrap().seal(&[0x5a; 64], &NAME).unwrap().into_bytes();
        for bit in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(opener.open_into(&altered, &NAME, &mut Vec::new()).is_err(), "bit {bit}");
            assert!(opener.open_in_place(&mut altered, &NAME).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(opener.open_into(&sealed[..length], &NAME, &mut Vec::new()).is_err(), "length {length}");
        }
        opener.open_into(&sealed, &NAME, &mut Vec::new()).unwrap();
    }
}

#[tokio::test]
async fn in_place_is_what_it_is_elsewhere() {
    let clinic = Clinic::new().await;
    let (sealer, opener) = (clinic.sealer("ada").await, clinic.opener("ada").await);
    let mut buffer = b"Ada Lovelace".to_vec();
    sealer.seal_in_place(&mut buffer, &NAME).unwrap();
    let sealed = Sealed::<String>::from_bytes(buffer.clone()).unwrap();
    assert_eq!(opener.open(&sealed, &NAME).unwrap().expose(), "Ada Lovelace");
    assert_eq!(opener.open_in_place(&mut buffer, &NAME).unwrap().expose(), b"Ada Lovelace");

    let mut altered = sealed.as_bytes().to_vec();
    altered[50] ^= 1;
    assert_eq!(opener.open_in_place(&mut altered, &NAME), Err(phi_crypto::OpenError::Refused));
    assert!(altered.is_empty());
    let mut plaintext = b"never sealed".to_vec();
    assert!(opener.open_in_place(&mut plaintext, &NAME).is_err());
    assert_eq!(plaintext, b"never sealed");
    let twice = NAME.row_version(1).row_version(2);
    assert!(sealer.seal_in_place(&mut plaintext, &twice).is_err());
    assert_eq!(plaintext, b"never sealed");
}

#[tokio::test]
async fn an_opener_says_which_values_should_be_sealed_again() {
    let clinic = Clinic::new().await;
    let plain = clinic.sealer("ada").await.seal("Ada", &NAME).unwrap();
    let padded = Sealer::builder(clinic.keys.clone()).padding(Padding::multiple_of(64)).build();
    let padded = padded.for_scope(&scope("ada")).await.unwrap().seal("Ada", &NAME).unwrap();

    let any = clinic.opener("ada").await;
    assert_eq!((any.needs_reseal(&plain), any.needs_reseal(&padded)), (None, None));

    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = std::sync::Arc::clone(&told);
    let opener = Opener::builder(clinic.keys.clone())
        .reseal_to(Suite::Aes256Gcm.padded())
        .observer(move |what: &phi_crypto::Opened<'_>| heard.lock().unwrap().push(what.needs_reseal()))
        .build();
    let opener = opener.for_scope(&scope("ada")).await.unwrap();
    assert_eq!((opener.needs_reseal(&plain), opener.needs_reseal(&padded)), (Some(Reseal::OtherSuite), None));
    opener.open(&plain, &NAME).unwrap();
    opener.open(&padded, &NAME).unwrap();
    opener.open_many(&[(&plain, NAME)]).remove(0).unwrap();
    assert_eq!(*told.lock().unwrap(), [Some(Reseal::OtherSuite), None, Some(Reseal::OtherSuite)]);
    // A value under a key of its scope that is not the newest: to an opener of Ada every other kid is one.
    let of_grace = clinic.sealer("grace").await.seal("Grace", &NAME).unwrap();
    assert_eq!(any.needs_reseal(&of_grace), Some(Reseal::NewerKey));
    // Who names kids does not know what else there is.
    let named = clinic.opener.for_kids(&scope("ada"), [plain.kid()]).await.unwrap();
    assert_eq!(named.needs_reseal(&of_grace), None);
}
