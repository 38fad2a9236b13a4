//! A keyring file that somebody else has written.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use phi_keys::{LocalKeyring, Unlock};
use ring::digest;
use tempfile::TempDir;

use crate::input::Input;

const CHECKSUM_LEN: usize = 32;

struct World {
    folder: TempDir,
    key_file: PathBuf,
    good: Vec<u8>,
}

fn world() -> World {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let key_file = folder.path().join("key");
    let path = folder.path().join("good");
    LocalKeyring::create(&path, Unlock::create_key_file(&key_file).expect("a new file")).expect("a new file");
    World { good: fs::read(path).expect("what was written"), folder, key_file }
}

/// A keyring is refused after any change, though its checksum, which anybody can compute, is right.
pub(crate) fn keyring(input: &[u8]) {
    thread_local!(static WORLD: World = world());
    WORLD.with(|world| {
        let path = world.folder.path().join("tampered");
        assert!(open(&path, input, world).is_err(), "nobody made this file");

        let mut input = Input::new(input);
        let mut file = world.good.clone();
        file.truncate(file.len() - CHECKSUM_LEN);
        let (at, change) = (usize::from(u16::from_be_bytes(input.array())) % file.len(), input.byte());
        file[at] ^= change.max(1);
        file.truncate(file.len() - usize::from(input.byte() % 4));
        file.extend_from_slice(&input.rest().iter().copied().take(4).collect::<Vec<_>>());
        let checksum = digest::digest(&digest::SHA256, &file);
        file.extend_from_slice(checksum.as_ref());
        assert!(open(&path, &file, world).is_err(), "byte {at}");
    });
}

/// A key file opens its keyring only as it was written, but for the line end, whatever else is put into it.
pub(crate) fn key_file(input: &[u8]) {
    thread_local!(static WORLD: World = world());
    WORLD.with(|world| {
        let good = fs::read(&world.key_file).expect("what was written");
        let ends = |bytes: &[u8]| bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        let is_good = |bytes: &[u8]| bytes.strip_prefix(good.trim_ascii_end()).is_some_and(ends);
        let opens = |bytes: &[u8]| {
            let path = world.folder.path().join("tampered-key");
            write(&path, bytes);
            LocalKeyring::open(world.folder.path().join("good"), Unlock::key_file(path)).is_ok()
        };
        assert_eq!(opens(input), is_good(input));

        let mut input = Input::new(input);
        let mut bytes = good.clone();
        let at = usize::from(input.byte()) % bytes.len();
        let removed = usize::from(input.byte()) % (bytes.len() - at + 1);
        bytes.splice(at..at + removed, input.rest().iter().copied());
        assert_eq!(opens(&bytes), is_good(&bytes), "{removed} bytes from {at} on");
    });
}

fn open(path: &Path, bytes: &[u8], world: &World) -> Result<LocalKeyring, phi_keys::KeyringError> {
    write(path, bytes);
    LocalKeyring::open(path, Unlock::key_file(&world.key_file))
}

fn write(path: &Path, bytes: &[u8]) {
    let mut options = fs::OpenOptions::new();
    let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(path).expect("a writable folder");
    file.write_all(bytes).expect("room on the disk");
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("our own file");
}
