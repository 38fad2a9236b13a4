//! What is refused, and that nothing unauthentic comes out before.

use std::io::{self, ErrorKind, Read, Write as _};

use phi_crypto::Context;
use phi_crypto::file::{FileError, FileHead};

use super::{CHUNK, open, patient, place, plaintext, read, seal, seekable};
use crate::support::subject;

const SEALED: usize = CHUNK + 16;

/// Opens by all ways; they agree, and what came out before the refusal is a beginning of the plaintext.
fn refused(opener: &phi_crypto::ScopedOpener, sealed: &[u8], whole: &[u8]) -> FileError {
    let mut file = match opener.file(sealed, &place()) {
        Ok(file) => file,
        Err(error) => return error,
    };
    let (out, error) = read(&mut file);
    let error = error.expect("a file that must be refused was opened");
    assert!(whole.starts_with(&out), "bytes that were never sealed came out");
    let (more, again) = read(&mut file);
    assert!(more.is_empty() && again.is_some(), "it went on after a refusal");
    error
}

#[tokio::test]
async fn every_flipped_bit_of_the_head_and_of_the_last_chunk_is_refused() {
    let (_clinic, sealer, opener) = patient().await;
    let whole = plaintext(2 * CHUNK + 40);
    let sealed = seal(&sealer, &whole);
    let last = 80 + 2 * SEALED;
    let between = (80..last).step_by(61);
    for at in (0..80).chain(between).chain(last..sealed.len()) {
        for bit in 0..8 {
            let mut changed = sealed.clone();
            changed[at] ^= 1 << bit;
            let error = refused(&opener, &changed, &whole);
            let expected = match at {
                0..4 => matches!(error, FileError::NotSealed),
                4..8 => matches!(error, FileError::Unsupported),
                8..24 => matches!(error, FileError::UnknownKey { .. }),
                _ => matches!(error, FileError::Refused),
            };
            assert!(expected, "byte {at}, bit {bit}: {error:?}");
            if (80..last).contains(&at) {
                break;
            }
        }
    }
}

#[tokio::test]
async fn cut_at_every_byte_it_is_refused() {
    let (_clinic, sealer, opener) = patient().await;
    let whole = plaintext(CHUNK + 40);
    let sealed = seal(&sealer, &whole);
    let step = |at: usize| if (200..SEALED).contains(&at) { 37 } else { 1 };
    let mut at = 0;
    while at < sealed.len() {
        let error = refused(&opener, &sealed[..at], &whole);
        let behind = at.saturating_sub(80) % SEALED;
        let expected = match at {
            0..4 => matches!(error, FileError::NotSealed),
            4..80 => matches!(error, FileError::Truncated),
            _ if behind < 16 => matches!(error, FileError::Truncated),
            _ => matches!(error, FileError::Refused),
        };
        assert!(expected, "{at}: {error:?}");
        if at >= 80 {
            assert!(seekable(&opener, &sealed[..at]).unwrap().authentic_len().is_err(), "{at} has a length");
        }
        at += step(at);
    }
}

#[tokio::test]
async fn moved_doubled_and_appended_chunks_are_refused() {
    let (_clinic, sealer, opener) = patient().await;
    let whole = plaintext(3 * CHUNK + 40);
    let sealed = seal(&sealer, &whole);
    let chunk = |number: usize| &sealed[80 + number * SEALED..sealed.len().min(80 + (number + 1) * SEALED)];
    let head = &sealed[..80];
    let other = seal(&sealer, &whole);
    for (name, parts) in [
        ("swapped", vec![head, chunk(1), chunk(0), chunk(2), chunk(3)]),
        ("doubled", vec![head, chunk(0), chunk(0), chunk(1), chunk(2), chunk(3)]),
        ("left out", vec![head, chunk(0), chunk(2), chunk(3)]),
        ("last one first", vec![head, chunk(3)]),
        ("last one twice", vec![head, chunk(0), chunk(1), chunk(2), chunk(3), chunk(3)]),
        ("a byte behind", vec![&sealed, b"x"]),
        ("an empty chunk behind", vec![&sealed, &[0; 16]]),
        ("a whole file behind", vec![&sealed, &sealed]),
        ("a chunk of another file", vec![head, chunk(0), &other[80 + SEALED..]]),
        ("the head of another file", vec![&other[..80], &sealed[80..]]),
        ("the salt of another file", vec![&sealed[..24], &other[24..48], &sealed[48..]]),
        ("the commitment of another file", vec![&sealed[..48], &other[48..80], &sealed[80..]]),
        ("without its last chunk", vec![head, chunk(0), chunk(1), chunk(2)]),
    ] {
        let error = refused(&opener, &parts.concat(), &whole);
        let truncated = name == "without its last chunk";
        assert!(matches!(error, FileError::Refused) != truncated, "{name}: {error:?}");
        assert!(matches!(error, FileError::Truncated) == truncated, "{name}: {error:?}");
    }
}

#[tokio::test]
async fn a_writer_that_was_dropped_leaves_a_file_that_is_refused() {
    let (_clinic, sealer, opener) = patient().await;
    let whole = plaintext(20 * CHUNK);
    for length in [0, 1, CHUNK, 14 * CHUNK, 15 * CHUNK + 5, 20 * CHUNK] {
        let mut sink = Vec::new();
        let mut file = sealer.file(&mut sink, &place()).unwrap();
        file.write_all(&whole[..length]).unwrap();
        file.flush().unwrap();
        drop(file);
        assert!(matches!(refused(&opener, &sink, &whole), FileError::Truncated), "{length}");
    }
}

#[tokio::test]
async fn every_element_of_the_context_counts() {
    let (clinic, sealer, opener) = patient().await;
    let sealed = seal(&sealer, &plaintext(100));
    let ada = subject("ada");
    for other in [
        Context::new("Scan", "image2").record_id("7431").row_version(2).pair("ward", "7"),
        Context::new("Scans", "image").record_id("7431").row_version(2).pair("ward", "7"),
        Context::new("Scan", "image").record_id("7432").row_version(2).pair("ward", "7"),
        Context::new("Scan", "image").without_record().row_version(2).pair("ward", "7"),
        Context::new("Scan", "image").record_id("7431").row_version(3).pair("ward", "7"),
        Context::new("Scan", "image").record_id("7431").pair("ward", "7"),
        Context::new("Scan", "image").record_id("7431").row_version(2).pair("ward", "8"),
        Context::new("Scan", "image").record_id("7431").row_version(2).pair("wards", "7"),
        Context::new("Scan", "image").record_id("7431").row_version(2),
        place().pair("bed", ""),
    ] {
        assert!(matches!(opener.file(&sealed[..], &other), Err(FileError::Refused)), "{other:?}");
    }
    assert!(opener.file(&sealed[..], &place().subject(&ada).tenant("clinic")).is_ok());
    assert!(matches!(opener.file(&sealed[..], &place().tenant("other")), Err(FileError::Context(_))));
    assert!(matches!(sealer.file(Vec::new(), &place().row_version(3)), Err(FileError::Context(_))));

    // The key of another patient is not held; within a group, the subject that is named counts.
    let _other = clinic.sealer("grace").await;
    let grace = clinic.opener("grace").await;
    assert!(matches!(grace.file(&sealed[..], &place()), Err(FileError::UnknownKey { .. })));
}

#[tokio::test]
async fn what_is_no_file_of_ours_is_said() {
    let (_clinic, sealer, opener) = patient().await;
    let sealed = seal(&sealer, b"x");
    for plain in [&b""[..], b"PHI", b"patient: Ada", &[0; 500]] {
        assert!(matches!(open(&opener, plain), Err(FileError::NotSealed)), "{plain:?}");
    }
    for at in 4..8 {
        let mut later = sealed.clone();
        later[at] = 9;
        assert!(matches!(open(&opener, &later), Err(FileError::Unsupported)));
    }
    let head = FileHead::parse(&sealed).unwrap();
    assert_eq!(head.kid(), sealer.kid());
    assert!(matches!(FileHead::parse(&sealed[..79]), Err(FileError::Truncated)));
    assert_eq!(format!("{head:?}"), format!("FileHead({})", sealer.kid()));
}

#[tokio::test]
async fn an_observer_hears_of_files() {
    use phi_crypto::{OpenObserver, Opened, Opener};
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<String>>>);
    impl OpenObserver for Heard {
        fn opened(&self, what: &Opened<'_>) {
            let subject = what.subject().map(|subject| subject.expose().to_owned());
            self.0.lock().unwrap().push(format!("opened {}.{} {subject:?}", what.record_type(), what.field()));
        }

        fn refused(&self, what: &Opened<'_>) {
            self.0.lock().unwrap().push(format!("refused {}.{}", what.record_type(), what.field()));
        }
    }
    let (clinic, sealer, _opener) = patient().await;
    let heard = Heard::default();
    let opener = Opener::builder(clinic.keys.clone()).observer(heard.clone()).build();
    let opener = opener.for_scope(&crate::support::scope("ada")).await.unwrap();
    let mut sealed = seal(&sealer, b"x");
    open(&opener, &sealed).unwrap();
    *sealed.last_mut().unwrap() ^= 1;
    open(&opener, &sealed).unwrap_err();
    sealed[30] ^= 1;
    open(&opener, &sealed).unwrap_err();
    let opened = "opened Scan.image Some(\"ada\")";
    assert_eq!(*heard.0.lock().unwrap(), [opened, opened, "refused Scan.image", "refused Scan.image"]);
}

/// A source that fails once before it gives anything.
struct Failing<'a>(Option<ErrorKind>, &'a [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self.0.take() {
            Some(kind) => Err(kind.into()),
            None => self.1.read(room),
        }
    }
}

#[tokio::test]
async fn a_head_is_read_through_interruptions_and_no_other_error() {
    let (_clinic, sealer, _opener) = patient().await;
    let sealed = seal(&sealer, b"x");
    let head = FileHead::read(&mut Failing(Some(ErrorKind::Interrupted), &sealed)).unwrap();
    assert_eq!(head.kid(), FileHead::parse(&sealed).unwrap().kid());
    let failed = FileHead::read(&mut Failing(Some(ErrorKind::BrokenPipe), &sealed)).unwrap_err();
    assert!(matches!(failed, FileError::Io(error) if error.kind() == ErrorKind::BrokenPipe));
}
