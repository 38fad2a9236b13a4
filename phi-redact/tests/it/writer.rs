//! The writer: the same output however the bytes arrive.

use std::io::{self, Write};

use phi_redact::{RedactWriter, redact_line};
use proptest::prelude::*;

const LOG: &str = "2026-05-12T20:16:22.050631Z  INFO ssn 078-05-1120\nmrn: 4711\n\nplain\ncaf\u{e9} ada@example.com";

fn through(pieces: &[&[u8]]) -> String {
    let mut writer = RedactWriter::new(Vec::new());
    for piece in pieces {
        writer.write_all(piece).unwrap();
    }
    String::from_utf8(writer.finish().unwrap()).unwrap()
}

#[test]
fn every_split_gives_the_same_lines() {
    let whole: String = LOG.split_inclusive('\n').map(redact_line).collect();
    assert!(whole.starts_with("2026-05-12T20:16:22.050631Z  INFO ssn [SSN]\nmrn: [MRN]\n"));
    for i in 0..LOG.len() {
        let (a, b) = LOG.as_bytes().split_at(i);
        assert_eq!(through(&[a, b]), whole, "split at {i}");
    }
    let bytes: Vec<&[u8]> = LOG.as_bytes().chunks(1).collect();
    assert_eq!(through(&bytes), whole);
}

#[test]
fn a_line_without_end_is_held_back_by_flush_and_written_by_drop() {
    let mut written = Vec::new();
    {
        let mut writer = RedactWriter::new(&mut written);
        writer.write_all(b"done\nssn 078-05").unwrap();
        writer.flush().unwrap();
        assert_eq!(format!("{writer:?}"), "RedactWriter { held_back: 10, .. }");
        writer.write_all(b"-1120").unwrap();
    }
    assert_eq!(String::from_utf8(written).unwrap(), "done\nssn [SSN]");
}

#[test]
fn an_endless_line_becomes_a_note_and_the_next_line_is_whole_again() {
    let endless = vec![b'1'; 3 << 20];
    assert_eq!(through(&[&endless, b"\nnext\n"]), "[line over 1 MiB left out]\nnext\n");
    assert_eq!(through(&[&endless]), "[line over 1 MiB left out]\n");
}

#[test]
fn an_error_is_passed_on_and_no_line_is_written_twice() {
    struct FullDisk(u32, Vec<u8>);
    impl Write for FullDisk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += 1;
            if self.0 == 2 {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            self.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut writer = RedactWriter::new(FullDisk(0, Vec::new()));
    writer.write_all(b"one\n").unwrap();
    assert_eq!(writer.write_all(b"two\n").unwrap_err().kind(), io::ErrorKind::StorageFull);
    writer.write_all(b"three\n").unwrap();
    assert_eq!(writer.finish().unwrap().1, b"one\nthree\n");
}

proptest! {
    #[test]
    fn any_bytes_pass_in_any_pieces(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0_usize..200) {
        let (a, b) = bytes.split_at(cut.min(bytes.len()));
        prop_assert_eq!(through(&[a, b]), through(&[&bytes]));
    }
}
