//! What is sealed comes out, whatever the lengths and the pieces.

use core::sync::atomic::{AtomicBool, Ordering};
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

use phi_crypto::file::{FileError, sealed_len};

use super::{CHUNK, open, patient, place, plaintext, read, seal};

const LENGTHS: [usize; 16] = [
    0,
    1,
    15,
    16,
    17,
    CHUNK - 1,
    CHUNK,
    CHUNK + 1,
    2 * CHUNK,
    3 * CHUNK - 1,
    7 * CHUNK + 5,
    8 * CHUNK - 1,
    8 * CHUNK,
    8 * CHUNK + 1,
    16 * CHUNK,
    20 * CHUNK + 77,
];

#[tokio::test]
async fn every_length_comes_back() {
    let (_clinic, sealer, opener) = patient().await;
    for length in LENGTHS {
        let sealed = seal(&sealer, &plaintext(length));
        assert_eq!(sealed.len() as u64, sealed_len(length as u64), "{length}");
        assert_eq!(&sealed[..8], b"PHIF\x01\x01\0\0");
        assert_eq!(&sealed[8..24], sealer.kid().as_bytes());
        assert!(open(&opener, &sealed).unwrap() == plaintext(length), "{length}");
    }
}

#[tokio::test]
async fn pieces_flushes_and_sources_change_nothing() {
    let (_clinic, sealer, opener) = patient().await;
    let whole = plaintext(9 * CHUNK + 1000);
    for piece in [1000, CHUNK - 1, CHUNK, 3 * CHUNK, 9 * CHUNK] {
        let mut file = sealer.file(Vec::new(), &place()).unwrap();
        for (number, part) in whole.chunks(piece).enumerate() {
            file.write_all(part).unwrap();
            if number % 3 == 0 {
                file.flush().unwrap();
            }
        }
        assert_eq!(file.position(), whole.len() as u64);
        assert!(open(&opener, &file.finish().unwrap()).unwrap() == whole, "{piece}");

        let mut file = sealer.file(Vec::new(), &place()).unwrap();
        file.write_all(&whole[..piece]).unwrap();
        file.seal_from(Pieces { rest: &whole[piece..], size: piece, calls: 0 }).unwrap();
        assert!(open(&opener, &file.finish().unwrap()).unwrap() == whole, "{piece}");
    }
}

/// A source that gives little at a time, and is interrupted in between.
struct Pieces<'a> {
    rest: &'a [u8],
    size: usize,
    calls: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls.is_multiple_of(3) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let size = out.len().min(self.size);
        self.rest.read(&mut out[..size])
    }
}

#[tokio::test]
async fn a_source_that_trickles_is_opened() {
    let (_clinic, sealer, opener) = patient().await;
    let whole = plaintext(3 * CHUNK + 9);
    let sealed = seal(&sealer, &whole);
    for size in [1, 777, CHUNK + 16, 5 * CHUNK] {
        let mut file = opener.file(Pieces { rest: &sealed, size, calls: 0 }, &place()).unwrap();
        let (opened, error) = read(&mut file);
        assert!(error.is_none() && opened == whole, "{size}");
        assert_eq!(file.read(&mut [0; 9]).unwrap(), 0);
    }
}

/// A sink that takes little at a time, and fails now and then until it is told to be steady.
struct Fragile {
    taken: Vec<u8>,
    calls: usize,
    steady: Arc<AtomicBool>,
}

impl Write for Fragile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.calls += 1;
        match self.calls % 4 {
            1 => Err(io::ErrorKind::Interrupted.into()),
            2 if !self.steady.load(Ordering::Relaxed) => Err(io::ErrorKind::WouldBlock.into()),
            _ => {
                let size = bytes.len().min(9000);
                self.taken.extend_from_slice(&bytes[..size]);
                Ok(size)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_write_that_failed_can_be_repeated() {
    let (_clinic, sealer, opener) = patient().await;
    let whole = plaintext(40 * CHUNK + 5);
    let steady = Arc::new(AtomicBool::new(false));
    let sink = Fragile { taken: Vec::new(), calls: 0, steady: Arc::clone(&steady) };
    let mut file = sealer.file(sink, &place()).unwrap();
    let mut rest = &whole[..];
    while !rest.is_empty() {
        match file.write(rest) {
            Ok(taken) => rest = &rest[taken..],
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
    while let Err(error) = file.flush() {
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
    steady.store(true, Ordering::Relaxed);
    let sealed = file.finish().unwrap().taken;
    assert!(open(&opener, &sealed).unwrap() == whole);
}

#[tokio::test]
async fn a_full_disk_is_said() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (_clinic, sealer, _opener) = patient().await;
    let mut file = sealer.file(Full(200_000), &place()).unwrap();
    let error = file.write_all(&plaintext(300_000)).and_then(|()| file.flush()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(matches!(FileError::from(error), FileError::Io(_)));
}

#[tokio::test]
async fn progress_is_told_on_both_sides() {
    let (_clinic, sealer, opener) = patient().await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = |told: &Arc<Mutex<Vec<u64>>>| {
        let told = Arc::clone(told);
        move |bytes| told.lock().unwrap().push(bytes)
    };
    let whole = plaintext(40 * CHUNK + 5);
    let mut file = sealer.file(Vec::new(), &place()).unwrap();
    file.on_progress(log(&told));
    file.write_all(&whole).unwrap();
    let sealed = file.finish().unwrap();
    let end = whole.len() as u64;
    assert_eq!(told.lock().unwrap().last(), Some(&end));
    assert!(told.lock().unwrap().len() > 3 && told.lock().unwrap().is_sorted());

    told.lock().unwrap().clear();
    let mut file = opener.file(&sealed[..], &place()).unwrap();
    file.on_progress(log(&told));
    assert!(read(&mut file).1.is_none());
    let told = told.lock().unwrap();
    assert!(told.is_sorted() && told.last() == Some(&end), "{told:?}");
}

#[tokio::test]
async fn two_files_of_one_plaintext_share_no_chunk() {
    let (_clinic, sealer, _opener) = patient().await;
    let (one, other) = (seal(&sealer, &[0; 2 * CHUNK]), seal(&sealer, &[0; 2 * CHUNK]));
    assert_eq!(one[..24], other[..24]);
    assert_ne!(one[24..48], other[24..48], "the salt repeats");
    let chunks: std::collections::BTreeSet<&[u8]> =
        [&one, &other].iter().flat_map(|file| file[80..].chunks(16)).collect();
    assert_eq!(chunks.len(), 2 * one[80..].len().div_ceil(16), "blocks repeat");
}
