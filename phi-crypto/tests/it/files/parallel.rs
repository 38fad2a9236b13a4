//! Several threads write the file that one would.

use core::num::NonZeroUsize;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

use phi_crypto::file::FileError;

use super::{CHUNK, open, patient, place, plaintext};
use crate::support::LEASE;

fn threads(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

#[tokio::test]
async fn any_number_of_threads_seals_any_length() {
    let (_clinic, sealer, opener) = patient().await;
    // A thread takes 16 chunks at a time.
    let whole = plaintext(130 * CHUNK + 9);
    for count in [1, 2, 3, 7] {
        for length in [0, 1, CHUNK, 16 * CHUNK, 16 * CHUNK + 1, 33 * CHUNK - 1, 64 * CHUNK, whole.len()] {
            for before in [0, 5, CHUNK, 9 * CHUNK + 5] {
                let before = before.min(length);
                let mut file = sealer.file(Uneven::default(), &place()).unwrap();
                file.write_all(&whole[..before]).unwrap();
                let taken = file.seal_from_parallel(&whole[before..length], threads(count)).unwrap();
                assert_eq!(taken, (length - before) as u64);
                let sealed = file.finish().unwrap().0;
                assert!(open(&opener, &sealed).unwrap() == whole[..length], "{count} {length} {before}");
            }
        }
    }
}

/// Keeps what it is given, and gives way to the other threads on every second call.
#[derive(Default)]
struct Uneven(Vec<u8>, bool);

impl Write for Uneven {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            (0..100).for_each(|_| std::thread::yield_now());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn two_sources_follow_each_other() {
    let (_clinic, sealer, opener) = patient().await;
    let whole = plaintext(80 * CHUNK + 9);
    let mut file = sealer.file(Vec::new(), &place()).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&told);
    file.on_progress(move |bytes| log.lock().unwrap().push(bytes));
    file.seal_from_parallel(&whole[..39 * CHUNK + 77], threads(3)).unwrap();
    file.seal_from_parallel(&whole[39 * CHUNK + 77..], threads(2)).unwrap();
    file.write_all(b"end").unwrap();
    let opened = open(&opener, &file.finish().unwrap()).unwrap();
    assert!(opened == [&whole[..], b"end"].concat());
    let told = told.lock().unwrap();
    assert!(told.is_sorted() && told.last() == Some(&(whole.len() as u64 + 3)), "{told:?}");
}

/// Fails or panics after so many bytes.
struct Until(usize, bool);

impl Read for Until {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.0 == 0 {
            assert!(!self.1, "the source panics");
            return Err(io::Error::other("the source failed"));
        }
        let size = out.len().min(self.0);
        out[..size].fill(7);
        self.0 -= size;
        Ok(size)
    }
}

impl Write for Until {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 < bytes.len() {
            assert!(!self.1, "the sink panics");
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0 -= bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_failing_source_or_sink_ends_every_thread() {
    let (_clinic, sealer, _opener) = patient().await;
    let mut file = sealer.file(Vec::new(), &place()).unwrap();
    let failed = file.seal_from_parallel(Until(30 * CHUNK, false), threads(4)).unwrap_err();
    assert!(matches!(failed, FileError::Io(_)));
    assert!(matches!(file.finish(), Err(FileError::Abandoned)));

    let mut file = sealer.file(Until(30 * CHUNK, false), &place()).unwrap();
    let failed = file.seal_from_parallel(io::repeat(7), threads(4)).unwrap_err();
    assert!(matches!(&failed, FileError::Io(error) if error.kind() == io::ErrorKind::StorageFull));
    assert!(matches!(file.finish(), Err(FileError::Abandoned)));
}

#[tokio::test]
async fn a_panic_of_source_or_sink_comes_out_and_hangs_nobody() {
    let (_clinic, sealer, _opener) = patient().await;
    for source in [true, false] {
        let sealer = sealer.clone();
        let ended = std::thread::spawn(move || {
            if source {
                let mut file = sealer.file(Vec::new(), &place()).unwrap();
                file.seal_from_parallel(Until(30 * CHUNK, true), threads(4))
            } else {
                let mut file = sealer.file(Until(30 * CHUNK, true), &place()).unwrap();
                file.seal_from_parallel(io::repeat(7), threads(4))
            }
        });
        assert!(ended.join().is_err(), "the panic was lost");
    }
}

#[tokio::test]
async fn the_lease_is_asked_by_threads_too() {
    let (clinic, sealer, _opener) = patient().await;
    let clock = clinic.clock;
    let mut file = sealer.file(Vec::new(), &place()).unwrap();
    file.on_progress(move |_| clock.advance(LEASE));
    let failed = file.seal_from_parallel(io::repeat(7), threads(2)).unwrap_err();
    assert!(matches!(failed, FileError::LeaseEnded), "{failed:?}");
}
