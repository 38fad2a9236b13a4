//! Ranges of 64 KiB out of a large file on disk, which the page cache holds.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;

use phi_crypto::file::ciphertext_range;
use phi_crypto::{ScopedOpener, ScopedSealer};
use ring::aead::Aad;

use super::{CHUNK, Generated, NOTES, RANGE, key, nonce, place};
use crate::Result;
use crate::crypto::ours::NAME;
use crate::measure::{Contender, Effort};
use crate::report::Report;

pub(super) fn run(report: &mut Report, effort: Effort, sealer: &ScopedSealer, opener: &ScopedOpener) -> Result<()> {
    let (length, name) = if effort.is_quick() { (64_u64 << 20, "64 MiB") } else { (1 << 30, "1 GiB") };
    let mut file = tempfile::tempfile()?;
    let mut sealing = sealer.file(&mut file, &place())?;
    sealing.seal_from(Generated(usize::try_from(length)?))?;
    sealing.finish()?;
    file.seek(SeekFrom::Start(0))?;

    // Places that no prefetching guesses, the same for both.
    let places = || (0..).map(move |turn: u64| turn.wrapping_mul(0x9E37_79B9_7F4A_7C15) % (length - RANGE));
    let workload = format!("64 KiB at a random place of {name}");
    let mut opened = opener.file(file.try_clone()?, &place())?;
    let mut at = places();
    let ours = Contender::new(NAME, crate::version(NAME), NOTES, move || {
        let offset = at.next().expect("endless");
        opened.open_range(offset, RANGE).expect("what was sealed opens").expose().len()
    });
    let limit = covering(&file, places());
    report.measure(&workload, effort, vec![ours, limit]);
    let ratio = report.cpu(&workload, NAME) / report.cpu(&workload, COVERING);
    report.bar(&workload, &format!("÷ ({COVERING})"), ratio, "×", 2.0);
    Ok(())
}

const COVERING: &str = "pread + ring";

/// Reads the chunks that cover the range, and opens as many with a cached key.
fn covering<'a>(file: &'a File, mut places: impl Iterator<Item = u64> + 'a) -> Contender<'a> {
    let key = key();
    let mut sealed = vec![0; CHUNK];
    key.seal_in_place_append_tag(nonce(1), Aad::empty(), &mut sealed).expect("short");
    let (mut bytes, mut buffer) = (vec![0; 6 * (CHUNK + 16)], sealed.clone());
    Contender::new(COVERING, crate::version("ring"), "one read of the covering chunks, and as many opened", move || {
        let offset = places.next().expect("endless");
        let covering = ciphertext_range(offset..offset + RANGE);
        let size = usize::try_from(covering.end - covering.start).expect("a few chunks");
        let read = file.read_at(&mut bytes[..size], covering.start).expect("a file");
        for _ in 0..read.div_ceil(CHUNK + 16) {
            buffer.copy_from_slice(&sealed);
            key.open_in_place(nonce(1), Aad::empty(), &mut buffer).expect("what was sealed opens");
        }
        read
    })
}
