//! The keyring file.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier};

use phi_keys::{Error, KeyStore, KeyringError, Keys, Kms, LocalKeyring, MemoryKeyStore, Unlock};
use tempfile::TempDir;

const PASSPHRASE: &str = "correct horse battery staple";

struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A keyring under a key file, which is quick to open.
    fn keyring(&self) -> LocalKeyring {
        LocalKeyring::create(self.path("keyring"), Unlock::create_key_file(self.path("key")).unwrap()).unwrap()
    }

    fn open(&self) -> Result<LocalKeyring, KeyringError> {
        LocalKeyring::open(self.path("keyring"), Unlock::key_file(self.path("key")))
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
        chmod(&self.path(name), 0o600);
    }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_passphrase_opens_only_its_own_keyring() {
    let desk = Desk::new();
    let path = desk.path("keyring");
    let keyring = LocalKeyring::create(&path, Unlock::passphrase(PASSPHRASE)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let opened = LocalKeyring::open(&path, Unlock::passphrase(PASSPHRASE)).unwrap();
    assert_eq!((opened.id(), opened.version()), (keyring.id(), 1));

    let wrong = LocalKeyring::open(&path, Unlock::passphrase("correct horse battery stable"));
    assert!(matches!(wrong, Err(KeyringError::WrongPassphrase)));
    let key = LocalKeyring::open(&path, Unlock::create_key_file(desk.path("key")).unwrap());
    assert!(matches!(key, Err(KeyringError::NeedsPassphrase)));
    let weak = LocalKeyring::create(desk.path("other"), Unlock::passphrase("elevenbytes"));
    assert!(matches!(weak, Err(KeyringError::WeakPassphrase)));
    assert!(!desk.path("other").exists());
    let again = LocalKeyring::create(&path, Unlock::passphrase(PASSPHRASE));
    assert!(matches!(again, Err(KeyringError::AlreadyExists)));
    LocalKeyring::open(&path, Unlock::passphrase(PASSPHRASE)).unwrap();
}

#[test]
fn a_key_file_opens_only_its_own_keyring() {
    let desk = Desk::new();
    desk.keyring();
    desk.open().unwrap();
    let other = Unlock::create_key_file(desk.path("other key")).unwrap();
    assert!(matches!(LocalKeyring::open(desk.path("keyring"), other), Err(KeyringError::WrongKeyFile)));
    let passphrase = LocalKeyring::open(desk.path("keyring"), Unlock::passphrase(PASSPHRASE));
    assert!(matches!(passphrase, Err(KeyringError::NeedsKeyFile)));
    assert!(matches!(Unlock::create_key_file(desk.path("key")), Err(KeyringError::AlreadyExists)));

    let key = fs::read(desk.path("key")).unwrap();
    chmod(&desk.path("key"), 0o640);
    assert!(
        matches!(desk.open(), Err(KeyringError::KeyFile(error)) if matches!(*error, KeyringError::Permissions(0o640)))
    );
    for bad in [&b""[..], b"phi-key-file-1:", &key[..key.len() - 4], &key[1..], b"\xff\xff"] {
        desk.write("key", bad);
        assert!(matches!(desk.open(), Err(KeyringError::KeyFile(error)) if matches!(*error, KeyringError::Damaged)));
    }
    fs::remove_file(desk.path("key")).unwrap();
    assert!(matches!(desk.open(), Err(KeyringError::KeyFile(error)) if matches!(*error, KeyringError::Missing)));
}

#[test]
fn a_file_that_others_could_use_is_refused() {
    let desk = Desk::new();
    desk.keyring();
    let path = desk.path("keyring");
    for mode in [0o604, 0o602, 0o640, 0o620, 0o610, 0o601, 0o644, 0o666, 0o777] {
        chmod(&path, mode);
        assert!(matches!(desk.open(), Err(KeyringError::Permissions(found)) if found == mode));
    }
    for mode in [0o600, 0o400] {
        chmod(&path, mode);
        desk.open().unwrap();
    }

    fs::rename(&path, desk.path("moved")).unwrap();
    assert!(matches!(desk.open(), Err(KeyringError::Missing)));
    symlink(desk.path("moved"), &path).unwrap();
    assert!(matches!(desk.open(), Err(KeyringError::NotAFile)));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(desk.open(), Err(KeyringError::NotAFile)));
}

/// Needs root, which can give files away.
#[test]
fn a_file_of_another_user_is_refused() {
    let desk = Desk::new();
    desk.keyring();
    match std::os::unix::fs::chown(desk.path("keyring"), Some(65_534), None) {
        Ok(()) => assert!(matches!(desk.open(), Err(KeyringError::Owner))),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied),
    }
}

#[test]
fn every_flipped_bit_and_every_truncation_is_refused_for_what_it_is() {
    let desk = Desk::new();
    desk.keyring();
    let good = fs::read(desk.path("keyring")).unwrap();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        desk.write("keyring", &bad);
        let refused = desk.open().unwrap_err();
        let expected = match bit / 8 {
            0..8 => matches!(refused, KeyringError::NotAKeyring),
            8 => matches!(refused, KeyringError::Newer { supported: 1, .. }),
            70..74 => matches!(refused, KeyringError::Truncated),
            _ => matches!(refused, KeyringError::Damaged),
        };
        assert!(expected, "byte {}: {refused:?}", bit / 8);
    }
    for length in 0..good.len() {
        desk.write("keyring", &good[..length]);
        assert!(matches!(desk.open(), Err(KeyringError::Truncated)), "length {length}");
    }
    let mut long = good.clone();
    long.push(0);
    desk.write("keyring", &long);
    assert!(matches!(desk.open(), Err(KeyringError::Truncated)));
    desk.write("keyring", &vec![0; 300 * 1024]);
    assert!(matches!(desk.open(), Err(KeyringError::NotAKeyring)));
    desk.write("keyring", &good);
    desk.open().unwrap();
}

/// Puts a right checksum behind a file that was changed on purpose.
fn with_checksum(mut file: Vec<u8>) -> Vec<u8> {
    let end = file.len() - 32;
    let checksum = ring::digest::digest(&ring::digest::SHA256, &file[..end]);
    file[end..].copy_from_slice(checksum.as_ref());
    file
}

#[test]
fn who_mends_the_checksum_still_changes_nothing() {
    let desk = Desk::new();
    desk.keyring();
    let good = fs::read(desk.path("keyring")).unwrap();
    for at in 8..good.len() - 32 {
        let mut bad = good.clone();
        bad[at] ^= 1;
        desk.write("keyring", &with_checksum(bad));
        assert!(desk.open().is_err(), "byte {at}");
    }
}

#[test]
fn key_derivations_out_of_bounds_are_refused_before_they_run() {
    let desk = Desk::new();
    let path = desk.path("keyring");
    LocalKeyring::create(&path, Unlock::passphrase(PASSPHRASE)).unwrap();
    let good = fs::read(&path).unwrap();
    // Memory in KiB, passes, lanes.
    for (at, value) in [
        (10, 8_u32),
        (10, 19 * 1024 - 1),
        (10, 1024 * 1024 + 1),
        (10, u32::MAX),
        (14, 0),
        (14, 1),
        (14, 17),
        (18, 0),
        (18, 17),
    ] {
        let mut bad = good.clone();
        bad[at..at + 4].copy_from_slice(&value.to_be_bytes());
        desk.write("keyring", &with_checksum(bad));
        let opened = LocalKeyring::open(&path, Unlock::passphrase(PASSPHRASE));
        assert!(matches!(opened, Err(KeyringError::Parameters)), "{at}: {value}");
    }
}

#[test]
fn rotations_at_once_lose_no_version() {
    let desk = Desk::new();
    desk.keyring();
    let rings = (0..4).map(|_| desk.open().unwrap()).collect::<Vec<_>>();
    let barrier = Arc::new(Barrier::new(rings.len()));
    std::thread::scope(|scope| {
        for ring in &rings {
            let barrier = Arc::clone(&barrier);
            scope.spawn(move || {
                barrier.wait();
                for _ in 0..10 {
                    ring.rotate().unwrap();
                }
            });
        }
    });
    assert_eq!(desk.open().unwrap().version(), 41);
    let files = fs::read_dir(desk.folder.path()).unwrap().count();
    assert_eq!(files, 2, "no temporary file is left");
}

#[test]
fn creations_at_once_have_one_winner() {
    for _ in 0..20 {
        let desk = Desk::new();
        Unlock::create_key_file(desk.path("key")).unwrap();
        let barrier = Barrier::new(4);
        let results = std::thread::scope(|scope| {
            let create = || {
                barrier.wait();
                LocalKeyring::create(desk.path("keyring"), Unlock::key_file(desk.path("key")))
            };
            let threads = (0..4).map(|_| scope.spawn(create)).collect::<Vec<_>>();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        let winners = results.iter().filter_map(|result| result.as_ref().ok()).collect::<Vec<_>>();
        assert_eq!(winners.len(), 1);
        assert_eq!(desk.open().unwrap().id(), winners[0].id());
        assert!(
            results.iter().filter_map(|result| result.as_ref().err()).all(|e| matches!(e, KeyringError::AlreadyExists))
        );
    }
}

#[test]
fn a_rotation_that_cannot_be_written_leaves_the_keyring_as_it_was() {
    let desk = Desk::new();
    let keyring = desk.keyring();
    let before = fs::read(desk.path("keyring")).unwrap();
    fs::remove_file(desk.path("keyring")).unwrap();
    assert!(matches!(keyring.rotate(), Err(KeyringError::Missing)));
    assert_eq!(keyring.version(), 1);
    desk.write("keyring", &before);
    assert_eq!(keyring.rotate().unwrap(), 2);
}

#[tokio::test]
async fn a_keyring_serves_one_key_store() {
    let desk = Desk::new();
    let keyring = desk.keyring();
    let store = Arc::new(MemoryKeyStore::new());
    let keys = Keys::builder(Arc::clone(&store)).kek(keyring.clone()).build().await.unwrap();
    let pinned = desk.open().unwrap().root_pin().unwrap().pinned().unwrap();
    assert_eq!(pinned, Some(keys.fingerprint()), "the pin is in the file");

    let other = Keys::builder(MemoryKeyStore::new()).kek(desk.open().unwrap()).build().await;
    assert!(matches!(other, Err(Error::RootMissing)));
    assert!(Keys::builder(store).kek(desk.open().unwrap()).build().await.is_ok());
}

#[tokio::test]
async fn a_store_whose_maker_died_before_it_was_pinned_is_pinned_when_it_is_opened() {
    let desk = Desk::new();
    let (store, keyring) = (Arc::new(MemoryKeyStore::new()), desk.keyring());
    let unpinned = fs::read(desk.path("keyring")).unwrap();
    let made = Keys::builder(Arc::clone(&store)).kek(keyring).build().await.unwrap();
    desk.write("keyring", &unpinned);
    let opened = Keys::builder(store).kek(desk.open().unwrap()).build().await.unwrap();
    assert_eq!(opened.fingerprint(), made.fingerprint());
    assert_eq!(desk.open().unwrap().root_pin().unwrap().pinned().unwrap(), Some(made.fingerprint()));
}

#[tokio::test]
async fn a_keyring_that_was_opened_before_the_pin_makes_no_second_root_key() {
    let desk = Desk::new();
    let (early, late) = (desk.keyring(), desk.open().unwrap());
    Keys::builder(MemoryKeyStore::new()).kek(early).build().await.unwrap();
    let empty = Arc::new(MemoryKeyStore::new());
    let other = Keys::builder(Arc::clone(&empty)).kek(late).build().await;
    assert!(matches!(other, Err(Error::RootMissing)), "{other:?}");
    assert!(empty.domain_rows().await.unwrap().is_empty());
}

#[test]
fn no_error_names_the_file_or_the_passphrase() {
    let desk = Desk::new();
    let path = desk.path("Hopper Grace.keyring");
    let missing = LocalKeyring::open(&path, Unlock::passphrase(PASSPHRASE)).unwrap_err();
    let folder = LocalKeyring::open(desk.folder.path(), Unlock::passphrase(PASSPHRASE)).unwrap_err();
    let unwritable = LocalKeyring::create(desk.path("no/such/Hopper"), Unlock::passphrase(PASSPHRASE)).unwrap_err();
    for error in [missing, folder, unwritable] {
        let text = format!("{error} {error:?}");
        assert!(!text.contains("Hopper") && !text.contains("horse"), "{text}");
    }
    let keyring = LocalKeyring::create(&path, Unlock::passphrase(PASSPHRASE)).unwrap();
    let text = format!("{keyring:?} {:?}", Unlock::passphrase(PASSPHRASE));
    assert!(!text.contains("Hopper") && !text.contains("horse"), "{text}");
}
