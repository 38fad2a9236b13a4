//! An anchor that somebody else has written to: as a file, and as records beside a database from before a shred.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use phi_keys::{
    AnchorError, AnchorFuture, Change, EphemeralKeyring, FileAnchor, KeyId, KeyRow, KeyStore, Keys, MemoryKeyStore,
    Scope, Slot, StoreAnchor,
};
use phi_types::SubjectId;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::input::Input;

const LENGTHS: [usize; 3] = [1, 40, 300];

struct Disk {
    folder: TempDir,
    runtime: Runtime,
    good: Vec<u8>,
}

fn records() -> Vec<Vec<u8>> {
    LENGTHS.iter().map(|length| vec![7; *length]).collect()
}

fn disk() -> Disk {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("good");
    let anchor = FileAnchor::create(&path).expect("a new file");
    runtime.block_on(anchor.append(&records())).expect("room on the disk");
    Disk { good: fs::read(path).expect("what was written"), folder, runtime }
}

impl Disk {
    fn write(&self, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join("tampered");
        fs::write(&path, bytes).expect("room on the disk");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("our own file");
        path
    }

    /// What a process reads that opens the file now.
    fn read(&self, path: &Path) -> Result<Vec<Vec<u8>>, AnchorError> {
        self.runtime.block_on(FileAnchor::open(path)?.read(0))
    }
}

/// Bytes as an anchor file. What opens is read the same after more was appended to it; and of a file that was changed or
/// cut off, the records are those that were written, from the first one on.
pub(crate) fn file(input: &[u8]) {
    thread_local!(static DISK: Disk = disk());
    DISK.with(|disk| {
        appended(disk, input);

        let mut input = Input::new(input);
        let mut bytes = disk.good.clone();
        let (at, change) = (usize::from(u16::from_be_bytes(input.array())) % bytes.len(), input.byte());
        bytes[at] ^= change;
        bytes.truncate(bytes.len() - usize::from(u16::from_be_bytes(input.array())) % bytes.len());
        if let Some(found) = appended(disk, &bytes) {
            assert!(records().starts_with(&found), "byte {at}, {} bytes", bytes.len());
        }
        bytes.extend_from_slice(input.rest());
        appended(disk, &bytes);
    });
}

fn appended(disk: &Disk, bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let path = disk.write(bytes);
    let found = disk.read(&path).ok()?;
    let anchor = FileAnchor::open(&path).expect("what has opened");
    disk.runtime.block_on(anchor.append(&[b"one more".to_vec()])).expect("what has opened");
    let after = disk.read(&path).expect("what has opened");
    assert_eq!(after.split_last(), Some((&b"one more".to_vec(), found.as_slice())));
    Some(found)
}

/// A store as it was before a patient was shredded, and the anchor that knows of the shred.
struct World {
    runtime: Runtime,
    kek: Arc<EphemeralKeyring>,
    rows: Vec<KeyRow>,
    records: Vec<Vec<u8>>,
    kid: KeyId,
}

/// Records in memory. Nobody appends to them for good.
#[derive(Debug, Default, Clone)]
struct Records(Arc<Mutex<Vec<Vec<u8>>>>);

impl StoreAnchor for Records {
    fn read(&self, from: u64) -> AnchorFuture<'_, Vec<Vec<u8>>> {
        let records = self.0.lock().expect("nobody panics here").clone();
        Box::pin(async move { Ok(records.into_iter().skip(usize::try_from(from).expect("few")).collect()) })
    }

    fn append<'a>(&'a self, records: &'a [Vec<u8>]) -> AnchorFuture<'a, ()> {
        self.0.lock().expect("nobody panics here").extend_from_slice(records);
        Box::pin(async { Ok(()) })
    }
}

fn patient() -> SubjectId {
    SubjectId::new("fuzz").expect("a short name")
}

fn world() -> World {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let kek = Arc::new(EphemeralKeyring::generate().expect("randomness"));
    let (store, records) = (Arc::new(MemoryKeyStore::new()), Records::default());
    let (rows, kid) = runtime.block_on(async {
        let keys = Keys::builder(store.clone()).kek(kek.clone()).anchor(records.clone()).build().await.expect("empty");
        let kid = keys.data_key(&Scope::subject(&patient())).await.expect("a data key").kid();
        let data = store.by_kid(kid).await.expect("memory").expect("the row of the key");
        let mut rows = store.slot(&Slot::root()).await.expect("memory");
        rows.extend(store.domain_rows().await.expect("memory").into_iter().filter(|row| row.slot != Slot::root()));
        rows.push(data);
        let _ = keys.shred(&patient()).await.expect("a subject");
        (rows, kid)
    });
    let records = records.0.lock().expect("nobody panics here").clone();
    World { runtime, kek, rows, records, kid }
}

/// Whatever is changed in one record or put between them, a restored database is refused or the patient stays shredded.
pub(crate) fn records_changed(input: &[u8]) {
    thread_local!(static WORLD: World = world());
    WORLD.with(|world| {
        let mut input = Input::new(input);
        let mut records = world.records.clone();
        let at = usize::from(input.byte()) % records.len();
        match input.byte() % 4 {
            0 => {
                let record = &mut records[at];
                let place = usize::from(input.byte()) % record.len();
                record[place] ^= input.byte().max(1);
            }
            1 => {
                let record = &mut records[at];
                record.truncate(usize::from(input.byte()) % record.len());
            }
            2 => records[at].extend_from_slice(&[&[input.byte()][..], input.rest()].concat()),
            _ => records.insert(at, input.rest().to_vec()),
        }
        world.runtime.block_on(open(world, records));
    });
}

async fn open(world: &World, records: Vec<Vec<u8>>) {
    let store = MemoryKeyStore::new();
    let change = world.rows.iter().cloned().fold(Change::new(), Change::insert);
    store.commit(&change).await.expect("memory");
    let anchor = Records(Arc::new(Mutex::new(records)));
    let builder = Keys::builder(store).kek(world.kek.clone()).anchor(anchor).dangerous_accept_rollback();
    let Ok(keys) = builder.build().await else { return };
    assert!(keys.data_key_by_id(world.kid, &Scope::subject(&patient())).await.is_err(), "the patient is back");
}
