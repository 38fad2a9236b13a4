//! Certificates of destruction.

use core::time::Duration;

use phi_keys::{Certificate, CertificateError, Error, Signer};

use crate::support::{Site, patient, subject};

const MONTH: Duration = Duration::from_secs(30 * 86_400);

#[tokio::test]
async fn a_certificate_says_what_was_shredded_and_from_when() {
    let site = Site::new();
    let keys = site.keys().await;
    let id = keys.data_key(&patient("MRN-7431")).await.unwrap().full_id();
    let shredded = keys.shred(&subject("MRN-7431")).await.unwrap();
    let signer = keys.signer("destruction").await.unwrap();
    let certificate = keys.certify(&shredded, MONTH, &signer).await.unwrap();
    let read = Certificate::verify(certificate.text(), &signer.public_key()).unwrap();
    assert_eq!(read, certificate);
    assert_eq!((read.keys(), read.tenant(), read.generation()), (&[id][..], "clinic", shredded.generation));
    assert_eq!((read.store(), read.residues()), (keys.fingerprint(), &[][..]));
    assert_eq!(read.deleted(), shredded.at);
    assert_eq!(read.unreadable_since(), shredded.at.saturating_add(Duration::from_secs(3900)));
    assert_eq!(read.irrecoverable_after(), shredded.at.saturating_add(MONTH));
    assert!(!read.text().contains("7431"));
    assert!(read.text().contains("residue backups\n"));
    // Nothing is irrecoverable while a lease may last.
    let at_once = keys.certify(&shredded, Duration::ZERO, &signer).await.unwrap();
    assert_eq!(at_once.irrecoverable_after(), at_once.unreadable_since());

    let other = keys.signer("other").await.unwrap().public_key();
    assert_eq!(Certificate::verify(read.text(), &other), Err(CertificateError::OtherSigner));
    let text = read.text().as_bytes();
    for bit in 0..text.len() * 8 {
        let mut bad = text.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        let Ok(bad) = String::from_utf8(bad) else { continue };
        assert!(Certificate::verify(&bad, &signer.public_key()).is_err(), "bit {bit}");
    }
    for cut in 0..text.len() {
        assert!(Certificate::verify(&read.text()[..cut], &signer.public_key()).is_err(), "cut at {cut}");
    }
    assert!(Certificate::verify(&format!("{}\n", read.text()), &signer.public_key()).is_err());
    assert!(Certificate::verify(&read.text().replace('\n', "\r\n"), &signer.public_key()).is_err());
}

#[tokio::test]
async fn a_shred_is_certified_by_its_own_store_and_tenant_alone() {
    let (site, other) = (Site::new(), Site::new());
    let keys = site.keys().await;
    let shredded = keys.shred(&subject("a")).await.unwrap();
    let signer = keys.signer("destruction").await.unwrap();
    let of_tenant = site.builder().tenant("hospital").build().await.unwrap();
    for stranger in [of_tenant, other.keys().await] {
        let refused = stranger.certify(&shredded, MONTH, &signer).await;
        assert!(matches!(refused, Err(Error::Config(_))), "{refused:?}");
    }
    assert!(keys.certify(&shredded, MONTH, &signer).await.is_ok());
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_repeated_shred_keeps_the_time_of_the_first_unless_it_deletes_more() {
    use phi_keys::{EphemeralKeyring, Keys, SqliteKeyStore};
    use phi_types::ManualClock;

    let database = crate::support::sqlite::Database::new().await;
    let clock = ManualClock::at_unix_seconds(1_767_225_600);
    let keys = Keys::builder(SqliteKeyStore::new(database.pool.clone())).kek(EphemeralKeyring::generate().unwrap());
    let keys = keys.clock(clock.clone()).build().await.unwrap();
    let full_id = keys.data_key(&patient("a")).await.unwrap().full_id();
    sqlx::query("CREATE TABLE kept AS SELECT * FROM phi_keys_row WHERE kind = 2")
        .execute(&database.pool)
        .await
        .unwrap();
    let first = keys.shred(&subject("a")).await.unwrap();
    clock.advance(MONTH);
    let again = keys.shred(&subject("a")).await.unwrap();
    assert_eq!((again.repeated, again.at, again.keys.as_slice()), (true, first.at, &[full_id][..]));
    // Somebody puts the row back.
    sqlx::query("INSERT INTO phi_keys_row SELECT * FROM kept").execute(&database.pool).await.unwrap();
    let more = keys.shred(&subject("a")).await.unwrap();
    assert_eq!((more.repeated, more.at), (true, first.at.saturating_add(MONTH)));
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_certificate_names_what_the_store_could_not_remove() {
    use phi_keys::{EphemeralKeyring, Keys, Residue, SqliteKeyStore};

    let database = crate::support::sqlite::Database::new().await;
    let options =
        sqlx::sqlite::SqliteConnectOptions::new().filename(database.path()).busy_timeout(Duration::from_millis(50));
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let keys = Keys::builder(SqliteKeyStore::new(pool)).kek(EphemeralKeyring::generate().unwrap());
    let keys = keys.build().await.unwrap();
    keys.data_key(&patient("a")).await.unwrap();
    let mut reader = database.pool.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM phi_keys_row").fetch_one(&mut *reader).await.unwrap();
    let shredded = keys.shred(&subject("a")).await.unwrap();
    let signer = keys.signer("destruction").await.unwrap();
    let certificate = keys.certify(&shredded, MONTH, &signer).await.unwrap();
    assert_eq!(certificate.residues(), [Residue::WriteAheadLog]);
    let read = Certificate::verify(certificate.text(), &signer.public_key()).unwrap();
    assert_eq!(read.residues(), [Residue::WriteAheadLog]);
}
