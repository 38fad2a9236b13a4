//! What was in a buffer of this crate is not in the memory of the process afterwards.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use phi_crypto::{Context, EncodeError, Openable, Plaintext, SealError, Sealable};
use tokio::sync::Mutex;

use crate::support::Clinic;

const NAME: phi_crypto::Field = Context::new("Patient", "name");

/// Who looks copies what is there, so one looks at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Bytes that are nowhere but where they are asked for, the program's constants included.
#[derive(Debug, PartialEq)]
struct Marker(u8);

const LENGTH: usize = 160;

impl Marker {
    const fn byte(seed: u8, place: usize) -> u8 {
        seed.wrapping_mul(59).wrapping_add(place as u8).wrapping_mul(167) ^ (place as u8).rotate_left(3)
    }

    fn bytes(&self) -> Vec<u8> {
        (0..LENGTH).map(|place| Self::byte(self.0, place)).collect()
    }

    /// Whether its middle is in the memory of this process. An allocator overwrites the beginning of what is freed.
    fn is_found(&self) -> bool {
        let middle = |place: usize| Self::byte(self.0, 64 + place);
        let mut memory = File::open("/proc/self/mem").unwrap();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let mut piece = vec![0; 1 << 20];
        let mut found = false;
        for map in maps.lines().filter(|map| map.contains(" rw-p ")) {
            let (begin, end) = map.split_whitespace().next().unwrap().split_once('-').unwrap();
            let [begin, end] = [begin, end].map(|place| u64::from_str_radix(place, 16).unwrap());
            let mut place = begin;
            while place < end {
                memory.seek(SeekFrom::Start(place)).unwrap();
                let Ok(read @ 1..) = memory.read(&mut piece) else { break };
                let mut rest = &piece[..read];
                while let Some(next) = rest.iter().position(|byte| *byte == middle(0)) {
                    rest = &rest[next..];
                    found |= rest.len() >= 32 && (0..32).all(|place| rest[place] == middle(place));
                    rest = &rest[1..];
                }
                // Pieces overlap by what a marker at their border takes.
                let last = place + read as u64 >= end;
                place += if last { read as u64 } else { (read as u64).saturating_sub(31).max(1) };
            }
        }
        piece.fill(0);
        found
    }
}

impl Sealable for Marker {
    type Opens = Self;

    fn plaintext(&self) -> Result<Plaintext<'_>, EncodeError> {
        Ok(Plaintext::from(self.bytes()))
    }
}

impl Openable for Marker {
    fn from_plaintext(bytes: zeroize::Zeroizing<Vec<u8>>) -> Result<Self, phi_crypto::DecodeError> {
        let seed = (0..=u8::MAX).find(|seed| (0..LENGTH).all(|place| bytes[place] == Self::byte(*seed, place)));
        seed.map(Self).ok_or_else(phi_crypto::DecodeError::new)
    }
}

#[tokio::test]
async fn what_is_in_memory_is_found() {
    let _alone = ALONE.lock().await;
    assert!(!Marker(1).is_found());
    let held = Marker(1).bytes();
    assert!(Marker(1).is_found());
    drop(held);
    assert!(Marker(1).is_found(), "freeing wipes nothing");
}

#[tokio::test]
async fn nothing_is_left_of_what_was_sealed() {
    let _alone = ALONE.lock().await;
    let clinic = Clinic::new().await;
    let sealer = clinic.sealer("ada").await;
    let sealed = sealer.seal(&Marker(10), &NAME.record_id(1_u64)).unwrap();
    assert!(!Marker(10).is_found(), "one value");

    let twice = NAME.record_id(1_u64).pair("a", "b").pair("a", "c");
    assert!(matches!(sealer.seal(&Marker(11), &twice), Err(SealError::Context(_))));
    assert!(!Marker(11).is_found(), "one that cannot be sealed");

    let items = [(Marker(12), NAME.record_id(1_u64)), (Marker(13), NAME.record_id(2_u64))];
    sealer.seal_many(&items).unwrap();
    assert!(!Marker(12).is_found() && !Marker(13).is_found(), "a batch");

    let mut grown = Marker(14).bytes();
    grown.shrink_to_fit();
    sealer.seal_in_place(&mut grown, &NAME.record_id(1_u64)).unwrap();
    assert!(!Marker(14).is_found(), "a buffer that had to grow");

    drop(sealed);
}

#[tokio::test]
async fn nothing_is_left_of_what_was_opened() {
    let _alone = ALONE.lock().await;
    let clinic = Clinic::new().await;
    let (sealer, opener) = (clinic.sealer("ada").await, clinic.opener("ada").await);
    let place = NAME.record_id(1_u64);
    let sealed = sealer.seal(&Marker(20), &place).unwrap();
    assert_eq!(*opener.open(&sealed, &place).unwrap().expose(), Marker(20));
    assert!(!Marker(20).is_found(), "one value");

    opener.open(&sealed, &NAME.record_id(2_u64)).unwrap_err();
    assert!(!Marker(20).is_found(), "one that is refused");

    let sealed = sealer.seal_many(&[(Marker(21), place.clone()), (Marker(22), place.clone())]).unwrap();
    let opened = opener.open_many(&[(&sealed[0], place.clone()), (&sealed[1], NAME.record_id(2_u64))]);
    assert!(opened[0].is_ok() && opened[1].is_err());
    assert!(!Marker(21).is_found() && !Marker(22).is_found(), "a batch");
}

#[tokio::test]
async fn nothing_is_left_of_a_file() {
    let _alone = ALONE.lock().await;
    let clinic = Clinic::new().await;
    let (sealer, opener) = (clinic.sealer("ada").await, clinic.opener("ada").await);
    let place = NAME.record_id(1_u64);
    let mut plaintext = zeroize::Zeroizing::new(Vec::with_capacity(200_000));
    plaintext.resize(100_000, 7);
    plaintext.extend((0..LENGTH).map(|place| Marker::byte(30, place)));
    plaintext.resize(200_000, 7);
    let mut file = sealer.file(Vec::new(), &place).unwrap();
    file.write_all(&plaintext).unwrap();
    let stored = file.finish().unwrap();
    let mut file = opener.file(stored.as_slice(), &place).unwrap();
    let mut part = zeroize::Zeroizing::new([0; 5_000]);
    while file.read(part.as_mut_slice()).unwrap() > 0 {}
    drop((file, part, plaintext));
    assert!(!Marker(30).is_found());
}
