//! The keyring file.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Barrier};

use phi_keys::{
    Carrier, Error, KekState, KeyStore, KeyUse, KeyringError, Keys, Kms, KmsAdmin, KmsError, KmsFuture, LocalKeyring,
    MemoryKeyStore, Unlock, WrapContext, Wrapped,
};
use tempfile::TempDir;
use tokio::sync::Semaphore;

use crate::forward::forward;

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
    assert!(matches!(&wrong, Err(KeyringError::WrongPassphrase)));
    assert!(wrong.unwrap_err().to_string().ends_with(": give the one that it was made with or last given"));
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
    let wrong = LocalKeyring::open(desk.path("keyring"), other);
    assert!(matches!(&wrong, Err(KeyringError::WrongKeyFile)));
    assert!(wrong.unwrap_err().to_string().ends_with(": give the one that it was made with or last given"));
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

/// Who may read everything, as root may, gives that right up in a process of its own.
#[test]
fn a_file_that_its_owner_may_not_read_is_told_from_a_folder_that_he_may_not_enter() {
    const GIVEN_UP: &str = "PHI_KEYS_TEST_WITHOUT_OVERRIDE";
    const SELF: &str = "keyring::a_file_that_its_owner_may_not_read_is_told_from_a_folder_that_he_may_not_enter";
    let desk = Desk::new();
    desk.keyring();
    chmod(&desk.path("keyring"), 0o000);
    if fs::read(desk.path("keyring")).is_ok() {
        assert!(std::env::var_os(GIVEN_UP).is_none(), "the right was not given up");
        let mut again = Command::new("setpriv");
        again.args(["--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]);
        again.arg(std::env::current_exe().unwrap()).args([SELF, "--exact"]).env(GIVEN_UP, "yes");
        let output = again.output().expect("setpriv of util-linux");
        let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && said.contains("1 passed"), "{said}{failed}");
        return;
    }
    let file = desk.open().unwrap_err();
    assert!(matches!(file, KeyringError::Unreadable), "{file:?}");
    assert_eq!(file.to_string(), "the file may not be read by its owner: run `chmod 600` on it");
    assert!(matches!(KmsError::from(file), KmsError::Failed(_)), "waiting does not help");

    chmod(&desk.path("keyring"), 0o600);
    if std::os::unix::fs::chown(desk.path("keyring"), Some(65_534), None).is_ok() {
        assert!(matches!(desk.open(), Err(KeyringError::Owner)), "somebody else's, which is why it cannot be read");
    }
    chmod(desk.folder.path(), 0o000);
    let folder = desk.open().unwrap_err();
    chmod(desk.folder.path(), 0o700);
    assert!(matches!(&folder, KeyringError::Io(error) if error.kind() == std::io::ErrorKind::PermissionDenied));
    assert!(folder.to_string().ends_with("the permissions of its folder"), "{folder}");
}

#[test]
fn every_error_names_its_mend() {
    use KeyringError as E;
    let io = Arc::new(std::io::Error::from(std::io::ErrorKind::StorageFull));
    for error in [
        E::Missing,
        E::AlreadyExists,
        E::Io(io),
        E::Unreadable,
        E::Permissions(0o644),
        E::Owner,
        E::NotAFile,
        E::NotAKeyring,
        E::Newer { found: 2, supported: 1 },
        E::Truncated,
        E::Damaged,
        E::Parameters,
        E::WrongPassphrase,
        E::WrongKeyFile,
        E::Relocked,
        E::NeedsPassphrase,
        E::NeedsKeyFile,
        E::WeakPassphrase,
        E::OtherStore,
        E::NoSuchVersion,
        E::NewestVersion,
        E::Full,
        E::Platform,
        E::Cipher,
    ] {
        let text = error.to_string();
        let (_, mend) = text.split_once(": ").unwrap_or_else(|| panic!("no mend: {text}"));
        assert!(mend.split_whitespace().count() >= 3, "{text}");
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

const ANYWHERE: WrapContext = WrapContext::from_digest([3; 32]);

#[tokio::test]
async fn who_has_not_read_a_rotation_wraps_under_the_new_version_or_not_at_all() {
    let desk = Desk::new();
    let (rotating, serving) = (desk.keyring(), desk.open().unwrap());
    rotating.rotate().unwrap();
    assert_eq!(serving.version(), 1, "it has not read the file again");
    let carrier = Carrier::generate().unwrap();
    let wrapped = serving.wrap_dek(&carrier, &ANYWHERE).await.unwrap();
    assert_eq!(wrapped.kek_version(), "2");
    assert_eq!(serving.generate(&ANYWHERE).await.unwrap().1.kek_version(), "2");

    let file = fs::read(desk.path("keyring")).unwrap();
    for (spoil, undo) in [
        (&(|| fs::remove_file(desk.path("keyring")).unwrap()) as &dyn Fn(), &(|| ()) as &dyn Fn()),
        (&|| desk.write("keyring", &file[..40]), &|| ()),
        (&|| chmod(&desk.path("keyring"), 0o644), &|| chmod(&desk.path("keyring"), 0o600)),
    ] {
        spoil();
        assert!(matches!(serving.wrap_dek(&carrier, &ANYWHERE).await, Err(KmsError::Failed(_))));
        let opened = serving.unwrap_dek(&wrapped, &ANYWHERE).await.unwrap();
        assert_eq!(opened.expose(), carrier.expose(), "what was read still opens");
        undo();
        desk.write("keyring", &file);
    }
    serving.wrap_dek(&carrier, &ANYWHERE).await.unwrap();
}

#[tokio::test]
async fn a_relocked_keyring_opens_with_the_new_secret_only_and_keeps_every_key() {
    let desk = Desk::new();
    let (keyring, serving) = (desk.keyring(), desk.open().unwrap());
    let carrier = Carrier::generate().unwrap();
    let wrapped = keyring.wrap_dek(&carrier, &ANYWHERE).await.unwrap();
    keyring.rotate().unwrap();
    let keys = Keys::builder(MemoryKeyStore::new()).kek(keyring.clone()).build().await.unwrap();

    let weak = keyring.relock(Unlock::passphrase("elevenbytes"));
    assert!(matches!(weak, Err(KeyringError::WeakPassphrase)));
    keyring.relock(Unlock::passphrase(PASSPHRASE)).unwrap();
    assert_eq!(fs::metadata(desk.path("keyring")).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(matches!(desk.open(), Err(KeyringError::NeedsPassphrase)));
    let opened = LocalKeyring::open(desk.path("keyring"), Unlock::passphrase(PASSPHRASE)).unwrap();
    assert_eq!((opened.id(), opened.version()), (keyring.id(), 2));
    assert_eq!(opened.root_pin().unwrap().pinned().unwrap(), Some(keys.fingerprint()));
    assert_eq!(opened.unwrap_dek(&wrapped, &ANYWHERE).await.unwrap().expose(), carrier.expose());
    assert_eq!(keyring.rotate().unwrap(), 3, "who changed the passphrase goes on");

    // Who has not heard of it unwraps, and changes nothing.
    assert_eq!(serving.unwrap_dek(&wrapped, &ANYWHERE).await.unwrap().expose(), carrier.expose());
    assert!(matches!(serving.rotate(), Err(KeyringError::Relocked)));
    assert!(matches!(serving.relock(Unlock::passphrase("another passphrase")), Err(KeyringError::Relocked)));
    let refused = serving.wrap_dek(&carrier, &ANYWHERE).await.unwrap_err();
    assert!(matches!(&refused, KmsError::Unauthenticated(_)), "{refused:?}");
    assert!(std::error::Error::source(&refused).unwrap().to_string().contains("open it again"));
    assert_eq!(opened.rotate().unwrap(), 4);
    assert_eq!(fs::read_dir(desk.folder.path()).unwrap().count(), 2, "no temporary file is left");
}

#[test]
fn rotations_while_a_keyring_is_relocked_lose_no_version() {
    let desk = Desk::new();
    let keyring = desk.keyring();
    let _ = Unlock::create_key_file(desk.path("other")).unwrap();
    let barrier = Barrier::new(3);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..10 {
                    keyring.rotate().unwrap();
                }
            });
        }
        scope.spawn(|| {
            barrier.wait();
            for round in 0..10 {
                keyring.relock(Unlock::key_file(desk.path(if round % 2 == 0 { "other" } else { "key" }))).unwrap();
            }
        });
    });
    assert_eq!(desk.open().unwrap().version(), 21);
}

#[tokio::test]
async fn a_version_is_retired_only_when_no_tenant_needs_it() {
    let desk = Desk::new();
    let (store, keyring) = (Arc::new(MemoryKeyStore::new()), desk.keyring());
    let tenant = async |name: &str| {
        let keys = Keys::builder(Arc::clone(&store)).kek(desk.open().unwrap()).tenant(name).build().await.unwrap();
        (keys.domain_key(KeyUse::Index).await.unwrap().full_id(), keys)
    };
    let ((one_id, one), (other_id, other)) = (tenant("one").await, tenant("other").await);
    let version = keyring.rotate().unwrap();
    assert_eq!(version, 2);
    let kms = |refused: Error| match refused {
        Error::Kms(error) => std::error::Error::source(&error).unwrap().to_string(),
        other => panic!("{other:?}"),
    };
    assert!(kms(one.retire_kek_version(&keyring, 2).await.unwrap_err()).contains("the newest version"));
    assert!(kms(one.retire_kek_version(&keyring, 3).await.unwrap_err()).contains("no KEK of this version"));
    assert!(matches!(one.retire_kek_version(&keyring, 1).await, Err(Error::KekInUse { keys: 3 })));
    let _ = one.rewrap().await.unwrap();
    assert!(matches!(one.retire_kek_version(&keyring, 1).await, Err(Error::KekInUse { keys: 1 })));
    let uses = one.kek_versions().await.unwrap();
    let uses = uses.iter().map(|used| (used.version.as_str(), used.keys)).collect::<Vec<_>>();
    assert_eq!(uses, [("1", 1), ("2", 2)]);
    let _ = other.rewrap().await.unwrap();

    let stranger = LocalKeyring::create(desk.path("stranger"), Unlock::key_file(desk.path("key"))).unwrap();
    assert!(matches!(one.retire_kek_version(&stranger, 1).await, Err(Error::RootMismatch)), "pins no store");
    let change = one.retire_kek_version(&keyring, 1).await.unwrap();
    assert_eq!((change.act.as_str(), change.version.as_deref()), ("kek.retire", Some("1")));
    let versions = KmsAdmin::versions(&desk.open().unwrap()).await.unwrap().versions;
    assert_eq!(versions.iter().map(|version| version.name.as_str()).collect::<Vec<_>>(), ["2"]);
    // Also for a process that read the file before.
    let states = (keyring.version_state("1").await.unwrap(), keyring.version_state("2").await.unwrap());
    assert_eq!(states, (Some(KekState::Destroyed), Some(KekState::Enabled)));
    for (name, id) in [("one", one_id), ("other", other_id)] {
        assert_eq!(tenant(name).await.0, id);
    }
    assert_eq!(keyring.rotate().unwrap(), 3, "numbers are not used again");
}

/// A process that stops between wrapping a new domain key and writing it, while a version is retired in another one.
#[tokio::test]
async fn a_domain_key_that_is_made_while_its_version_is_retired_is_not_lost() {
    let desk = Desk::new();
    let (store, keyring) = (Arc::new(MemoryKeyStore::new()), desk.keyring());
    let admin = Keys::builder(Arc::clone(&store)).kek(keyring.clone()).build().await.unwrap();
    let held = Arc::new(Held { keyring: desk.open().unwrap(), stop: Semaphore::new(0), at: Semaphore::new(0) });
    held.stop.add_permits(1);
    let maker = Keys::builder(Arc::clone(&store)).kek(Arc::clone(&held)).build().await.unwrap();
    held.at.forget_permits(usize::MAX);
    held.stop.forget_permits(usize::MAX);

    let making = async {
        let key = maker.domain_key(KeyUse::Index).await.unwrap();
        key.full_id()
    };
    let retiring = async {
        held.at.acquire().await.unwrap().forget();
        keyring.rotate().unwrap();
        let _ = admin.rewrap().await.unwrap();
        let _ = admin.retire_kek_version(&keyring, 1).await.unwrap();
        held.stop.add_permits(100);
    };
    let (made, ()) = tokio::join!(making, retiring);
    let fresh = Keys::builder(store).kek(desk.open().unwrap()).build().await.unwrap();
    assert_eq!(fresh.domain_key(KeyUse::Index).await.unwrap().full_id(), made);
    assert_eq!(fresh.kek_versions().await.unwrap().len(), 1);
}

/// Stops after each unwrap, which is how a new carrier is seen to open.
#[derive(Debug)]
struct Held {
    keyring: LocalKeyring,
    at: Semaphore,
    stop: Semaphore,
}

impl Kms for Held {
    forward!(self.keyring: kek_id, wrap_dek, status, root_pin);

    fn unwrap_dek<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Carrier> {
        Box::pin(async move {
            let carrier = self.keyring.unwrap_dek(wrapped, context).await?;
            self.at.add_permits(1);
            self.stop.acquire().await.unwrap().forget();
            Ok(carrier)
        })
    }
}
