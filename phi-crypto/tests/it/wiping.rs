//! No long row of bytes of a plaintext that this crate had in a buffer of its own is in the memory of the process afterwards.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use phi_crypto::{Context, DecodeError, EncodeError, Openable, Padding, Plaintext, SealError, Sealable, Sealer};
use tokio::sync::Mutex;
use zeroize::{Zeroize as _, Zeroizing};

use crate::support::{Clinic, scope};

const NAME: phi_crypto::Field = Context::new("Patient", "name");

/// Who looks copies what is there, so one looks at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Bytes that are nowhere but where they are asked for, the program's constants included.
#[derive(Debug, PartialEq)]
struct Marker(u8);

const LENGTH: u8 = 160;
/// Where the rows begin that are looked for: any 63 bytes from the first of these places on hold one of them.
const ROWS: [u8; 4] = [16, 48, 80, 112];
const ROW: u8 = 32;

impl Marker {
    const fn byte(&self, place: u8) -> u8 {
        self.0.wrapping_mul(59).wrapping_add(place).wrapping_mul(167) ^ place.rotate_left(3)
    }

    fn bytes(&self) -> Vec<u8> {
        (0..LENGTH).map(|place| self.byte(place)).collect()
    }

    /// Whether what begins at a place of memory is one of the rows.
    fn begins(&self, memory: &[u8]) -> bool {
        ROWS.iter().any(|row| {
            memory.len() >= usize::from(ROW) && (0..ROW).zip(memory).all(|(at, byte)| *byte == self.byte(row + at))
        })
    }
}

impl Sealable for Marker {
    type Opens = Self;

    fn plaintext(&self) -> Result<Plaintext<'_>, EncodeError> {
        Ok(Plaintext::from(self.bytes()))
    }
}

impl Openable for Marker {
    fn from_plaintext(bytes: Zeroizing<Vec<u8>>) -> Result<Self, DecodeError> {
        let is = |marker: &Self| bytes.iter().copied().eq((0..LENGTH).map(|place| marker.byte(place)));
        (0..=u8::MAX).map(Self).find(is).ok_or_else(DecodeError::new)
    }
}

/// Reads the memory of this process into room that it has before anything is freed, so that it overwrites nothing.
struct Looker {
    maps: String,
    piece: Vec<u8>,
}

impl Looker {
    fn new() -> Self {
        Self { maps: String::with_capacity(1 << 20), piece: vec![0; 1 << 20] }
    }

    fn finds(&mut self, marker: &Marker) -> bool {
        self.maps.clear();
        File::open("/proc/self/maps").unwrap().read_to_string(&mut self.maps).unwrap();
        let mut memory = File::open("/proc/self/mem").unwrap();
        let firsts = ROWS.map(|row| marker.byte(row));
        let mut found = false;
        for map in self.maps.lines().filter(|map| map.contains(" rw-p ")) {
            let (begin, end) = map.split_whitespace().next().unwrap().split_once('-').unwrap();
            let [mut place, end] = [begin, end].map(|place| u64::from_str_radix(place, 16).unwrap());
            while place < end {
                memory.seek(SeekFrom::Start(place)).unwrap();
                let Ok(read @ 1..) = memory.read(&mut self.piece) else { break };
                let mut rest = &self.piece[..read];
                while let Some(next) = rest.iter().position(|byte| firsts.contains(byte)) {
                    found |= marker.begins(&rest[next..]);
                    rest = &rest[next + 1..];
                }
                // Pieces overlap by what a row at their border takes.
                let is_last = place + read as u64 >= end;
                place += if is_last { read as u64 } else { (read as u64).saturating_sub(31).max(1) };
            }
        }
        self.piece.zeroize();
        self.piece.resize(1 << 20, 0);
        found
    }
}

#[tokio::test]
async fn what_is_in_memory_is_found() {
    let _alone = ALONE.lock().await;
    let mut looker = Looker::new();
    assert!(!looker.finds(&Marker(1)));
    let held = Marker(1).bytes();
    assert!(looker.finds(&Marker(1)));
    drop(held);
    assert!(looker.finds(&Marker(1)), "this allocator wipes what is freed, so that nothing is shown here");
}

#[tokio::test]
async fn nothing_is_left_of_what_was_sealed() {
    let _alone = ALONE.lock().await;
    let mut looker = Looker::new();
    let clinic = Clinic::new().await;
    let sealer = clinic.sealer("ada").await;
    let place = NAME.record_id(1_u64);
    sealer.seal(&Marker(10), &place).unwrap();
    assert!(!looker.finds(&Marker(10)), "one value");

    let twice = NAME.record_id(1_u64).pair("a", "b").pair("a", "c");
    assert!(matches!(sealer.seal(&Marker(11), &twice), Err(SealError::Context(_))));
    assert!(!looker.finds(&Marker(11)), "one that cannot be sealed");

    sealer.seal_many(&[(Marker(12), place.clone()), (Marker(13), NAME.record_id(2_u64))]).unwrap();
    assert!(!looker.finds(&Marker(12)) && !looker.finds(&Marker(13)), "a batch");

    let mut grown = Marker(14).bytes();
    grown.shrink_to_fit();
    sealer.seal_in_place(&mut grown, &place).unwrap();
    assert!(!looker.finds(&Marker(14)), "a buffer that had to grow");

    let padded = Sealer::builder(clinic.keys.clone()).padding(Padding::padme()).build().hedged();
    padded.for_scope(&scope("ada")).await.unwrap().seal(&Marker(15), &place).unwrap();
    assert!(!looker.finds(&Marker(15)), "padded and hedged");
}

#[tokio::test]
async fn nothing_is_left_of_what_was_opened() {
    let _alone = ALONE.lock().await;
    let mut looker = Looker::new();
    let clinic = Clinic::new().await;
    let (sealer, opener) = (clinic.sealer("ada").await, clinic.opener("ada").await);
    let place = NAME.record_id(1_u64);
    let sealed = sealer.seal(&Marker(20), &place).unwrap();
    assert_eq!(*opener.open(&sealed, &place).unwrap().expose(), Marker(20));
    assert!(!looker.finds(&Marker(20)), "one value");

    opener.open(&sealed, &NAME.record_id(2_u64)).unwrap_err();
    assert!(!looker.finds(&Marker(20)), "one that is refused");

    let sealed = sealer.seal_many(&[(Marker(21), place.clone()), (Marker(22), place.clone())]).unwrap();
    let opened = opener.open_many(&[(&sealed[0], place.clone()), (&sealed[1], NAME.record_id(2_u64))]);
    assert!(opened[0].is_ok() && opened[1].is_err());
    assert!(!looker.finds(&Marker(21)) && !looker.finds(&Marker(22)), "a batch");
}

#[tokio::test]
async fn nothing_is_left_of_a_file() {
    let _alone = ALONE.lock().await;
    let mut looker = Looker::new();
    let clinic = Clinic::new().await;
    let (sealer, opener) = (clinic.sealer("ada").await, clinic.opener("ada").await);
    let place = NAME.record_id(1_u64);
    // In the first chunk and in one further on.
    let file_of = |marker: Marker| {
        let mut plaintext = Zeroizing::new(Vec::with_capacity(200_000));
        for end in [1_000, 100_000] {
            plaintext.resize(end, 7);
            plaintext.extend((0..LENGTH).map(|place| marker.byte(place)));
        }
        plaintext.resize(200_000, 7);
        let mut file = sealer.file(Vec::new(), &place).unwrap();
        file.write_all(&plaintext).unwrap();
        file.finish().unwrap()
    };
    let stored = file_of(Marker(30));
    let mut part = Zeroizing::new([0; 5_000]);
    let mut file = opener.file(stored.as_slice(), &place).unwrap();
    while file.read(part.as_mut_slice()).unwrap() > 0 {}
    drop(file);
    part.zeroize();
    assert!(!looker.finds(&Marker(30)), "sealed and opened to the end");

    let stored = file_of(Marker(31));
    let mut file = opener.file(stored.as_slice(), &place).unwrap();
    file.read_exact(part.as_mut_slice()).unwrap();
    part.zeroize();
    assert!(looker.finds(&Marker(31)), "opened with the first bytes");
    drop(file);
    assert!(!looker.finds(&Marker(31)), "left in its first chunk");

    let stored = file_of(Marker(34));
    let mut file = opener.file(stored.as_slice(), &place).unwrap();
    let mut chunk = Zeroizing::new([0; 20_000]);
    file.read_exact(&mut chunk[..16_384]).unwrap();
    chunk.zeroize();
    file.read_exact(&mut chunk[..16_384]).unwrap();
    assert!(looker.finds(&Marker(34)), "opened with the second chunk");
    drop(file);
    assert!(!looker.finds(&Marker(34)), "left in its second chunk");

    let mut file = sealer.file(Vec::new(), &place).unwrap();
    file.write_all(&Zeroizing::new(Marker(32).bytes())).unwrap();
    assert!(looker.finds(&Marker(32)), "held until there is a chunk");
    drop(file);
    assert!(!looker.finds(&Marker(32)), "never finished");

    let mut file = sealer.file(Vec::new(), &place).unwrap();
    file.seal_from(Zeroizing::new(Marker(33).bytes()).as_slice()).unwrap();
    drop(file);
    assert!(!looker.finds(&Marker(33)), "read from a source and never finished");
}
