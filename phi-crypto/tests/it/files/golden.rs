//! Files that version 0.1 sealed, under the keys of the golden database.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use phi_crypto::{Opener, Sealer};

use super::{CHUNK, open, place, plaintext};
use crate::golden::{copy_of_golden, open as open_store};
use crate::support::scope;

const FILES: [(&str, usize); 3] = [("empty", 0), ("two-chunks", 2 * CHUNK), ("long", 2 * CHUNK + 999)];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/f2")
}

#[tokio::test]
async fn files_of_an_earlier_version_open() {
    let store = copy_of_golden();
    let (_pool, keys) = open_store(store.path()).await;
    let opener = Opener::builder(keys).build().for_scope(&scope("ada")).await.unwrap();
    for (name, length) in FILES {
        let sealed = fs::read(golden().join(name)).unwrap();
        assert!(open(&opener, &sealed).unwrap() == plaintext(length), "{name}");
    }
}

/// Run once for each version of the format: `cargo test -p phi-crypto --all-features -- --ignored writes_the_golden_f2`.
#[tokio::test]
#[ignore = "writes the golden files of a new format version"]
async fn writes_the_golden_f2_files() {
    assert!(!golden().exists(), "golden files are never written again");
    fs::create_dir_all(golden()).unwrap();
    let store = copy_of_golden();
    let (_pool, keys) = open_store(store.path()).await;
    let sealer = Sealer::builder(keys).build().for_scope(&scope("ada")).await.unwrap();
    for (name, length) in FILES {
        let mut file = sealer.file(fs::File::create_new(golden().join(name)).unwrap(), &place()).unwrap();
        file.write_all(&plaintext(length)).unwrap();
        file.finish().unwrap().sync_all().unwrap();
    }
}
