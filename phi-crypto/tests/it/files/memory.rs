//! Memory does not grow with the file.

use std::io::{self, Read, Write};

use phi_crypto::{ScopedOpener, ScopedSealer};
use tokio::runtime::Runtime;

use super::{patient, place};

/// The most that may live on the heap while a file is sealed or opened, whatever its length.
const MOST: u64 = 4 << 20;

/// As many bytes as wanted.
struct Generated(u64);

impl Read for Generated {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let size = out.len().min(usize::try_from(self.0).unwrap_or(usize::MAX));
        out[..size].fill(7);
        self.0 -= size as u64;
        Ok(size)
    }
}

/// Seals in one thread and opens in the other, with a pipe between them that holds little.
fn through(sealer: &ScopedSealer, opener: &ScopedOpener, length: u64) -> [u64; 2] {
    let (source, sink) = io::pipe().unwrap();
    std::thread::scope(|scope| {
        let sealing = scope.spawn(|| {
            let counted = allocation_counter::measure(|| {
                let mut file = sealer.file(sink, &place()).unwrap();
                file.seal_from(Generated(length)).unwrap();
                file.finish().unwrap();
            });
            counted.bytes_max
        });
        let mut opened = 0;
        let counted = allocation_counter::measure(|| {
            let mut file = opener.file(source, &place()).unwrap();
            let mut buffer = [0; 8192];
            loop {
                match file.read(&mut buffer).unwrap() {
                    0 => break,
                    read => opened += read as u64,
                }
            }
        });
        assert_eq!(opened, length);
        [sealing.join().unwrap(), counted.bytes_max]
    })
}

#[test]
fn a_long_file_takes_as_little_memory_as_a_short_one() {
    let (_clinic, sealer, opener) = Runtime::new().unwrap().block_on(patient());
    let short = through(&sealer, &opener, 1 << 20);
    let long = through(&sealer, &opener, 64 << 20);
    assert_eq!(short, long, "memory grows");
    assert!(long.iter().all(|most| *most <= MOST / 16), "{long:?}");
}

/// The same with 10 GiB, on a clock that stands still so that no lease ends: `cargo test --release -p phi-crypto -- --ignored ten_gibibytes --nocapture`.
#[test]
#[ignore = "takes seconds in a release build, and minutes in others"]
fn ten_gibibytes_take_less_than_four_mebibytes() {
    let (_clinic, sealer, opener) = Runtime::new().unwrap().block_on(patient());
    let [sealing, opening] = through(&sealer, &opener, 10 << 30);
    println!("peak live heap: {sealing} bytes sealing, {opening} bytes opening");
    assert!(sealing <= MOST && opening <= MOST);
}

#[test]
fn a_file_that_is_read_in_large_pieces_takes_one_chunk() {
    let (_clinic, sealer, opener) = Runtime::new().unwrap().block_on(patient());
    let mut file = sealer.file(Vec::new(), &place()).unwrap();
    file.seal_from(Generated(1 << 20)).unwrap();
    let stored = file.finish().unwrap();
    let mut buffer = vec![0; 64 << 10];
    let counted = allocation_counter::measure(|| {
        let mut file = opener.file(stored.as_slice(), &place()).unwrap();
        while file.read(&mut buffer).unwrap() > 0 {}
    });
    assert!(counted.bytes_max < 20 << 10, "{} bytes", counted.bytes_max);
}

#[test]
fn a_pipe_that_nobody_reads_is_an_error() {
    let (_clinic, sealer, _opener) = Runtime::new().unwrap().block_on(patient());
    let (source, sink) = io::pipe().unwrap();
    drop(source);
    let mut file = sealer.file(sink, &place()).unwrap();
    let error = file.write_all(&[7; 1 << 20]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}
