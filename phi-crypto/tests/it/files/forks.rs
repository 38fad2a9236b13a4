//! A forked process seals nothing more into a file that was begun before.

use std::io::Write as _;
use std::process::{Command, exit};

use fork::{Fork, fork, waitpid};
use phi_crypto::file::FileError;

use super::{CHUNK, open, patient, place, plaintext};

/// In a process of its own, because one that runs tests has threads that a fork would leave behind.
#[test]
fn a_forked_process_seals_nothing_more() {
    let tests = std::env::current_exe().unwrap();
    let child = ["--exact", "files::forks::in_a_process_of_its_own", "--ignored", "--test-threads", "1"];
    let output = Command::new(tests).args(child).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "run by `a_forked_process_seals_nothing_more`"]
fn in_a_process_of_its_own() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (_clinic, sealer, opener) = runtime.block_on(patient());
    let whole = plaintext(20 * CHUNK);
    let mut file = sealer.file(Vec::new(), &place()).unwrap();
    file.write_all(&whole[..5000]).unwrap();
    match fork().unwrap() {
        Fork::Child => {
            let refused = |error: &FileError| matches!(error, FileError::Forked);
            let parts = file.seal_from_parallel(&whole[..], std::num::NonZeroUsize::MIN).unwrap_err();
            let written = file.write_all(&whole).and_then(|()| file.flush()).unwrap_err();
            let finished = file.finish().unwrap_err();
            // A file that begins here is one of this process.
            let mut own = sealer.file(Vec::new(), &place()).unwrap();
            own.write_all(&whole).unwrap();
            let fresh = own.finish().is_ok();
            let right = refused(&parts) && FileError::of(&written).is_some() && !matches!(finished, FileError::Io(_));
            exit(if right && fresh { 7 } else { 8 });
        }
        Fork::Parent(child) => {
            let status = waitpid(child).unwrap();
            assert_eq!(fork::WEXITSTATUS(status), 7);
            file.write_all(&whole[5000..]).unwrap();
            assert!(open(&opener, &file.finish().unwrap()).unwrap() == whole);
        }
    }
}

/// The same without threads at all, for each way to go on.
#[test]
#[ignore = "run by `each_way_to_go_on_stops`"]
fn each_way_in_a_process_of_its_own() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (_clinic, sealer, _opener) = runtime.block_on(patient());
    let begin = || {
        let mut file = sealer.file(Vec::new(), &place()).unwrap();
        file.write_all(&[7; CHUNK]).unwrap();
        file
    };
    let (mut written, finished) = (begin(), begin());
    match fork().unwrap() {
        Fork::Child => {
            let flushed = written.flush().unwrap_err();
            let right = matches!(FileError::of(&flushed), Some(FileError::Forked))
                && matches!(finished.finish(), Err(FileError::Forked));
            exit(if right { 7 } else { 8 });
        }
        Fork::Parent(child) => assert_eq!(fork::WEXITSTATUS(waitpid(child).unwrap()), 7),
    }
}

#[test]
fn each_way_to_go_on_stops() {
    let tests = std::env::current_exe().unwrap();
    let child = ["--exact", "files::forks::each_way_in_a_process_of_its_own", "--ignored", "--test-threads", "1"];
    let output = Command::new(tests).args(child).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
