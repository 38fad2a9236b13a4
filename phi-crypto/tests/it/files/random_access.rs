//! Ranges and seeks, against a slice as the model.

use std::io::{Cursor, Read as _, Seek as _, SeekFrom};

use phi_crypto::file::{FileError, FileHead, ciphertext_range};
use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::{CHUNK, patient, place, plaintext, seal, seekable};

#[derive(Debug, Clone)]
enum Step {
    Read(usize),
    Start(u64),
    Current(i64),
    End(i64),
    Range(u64, u64),
    Length,
}

fn step(length: usize) -> impl Strategy<Value = Step> {
    let length = length as u64;
    let near = prop_oneof![0..=length + 40, (0..=length / CHUNK as u64).prop_map(|chunk| chunk * CHUNK as u64)];
    let signed = i64::try_from(length).unwrap() + 40;
    prop_oneof![
        (1..50_000_usize).prop_map(Step::Read),
        near.clone().prop_map(Step::Start),
        (-signed..=signed).prop_map(Step::Current),
        (-signed..=40).prop_map(Step::End),
        (near, 0..40_000_u64).prop_map(|(at, size)| Step::Range(at, size)),
        Just(Step::Length),
    ]
}

fn run() -> impl Strategy<Value = (usize, usize, Vec<Step>)> {
    let lengths = prop_oneof![Just(0), Just(CHUNK), Just(14 * CHUNK), 0..16 * CHUNK,];
    (lengths, 0..100_usize)
        .prop_flat_map(|(length, before)| (Just(length), Just(before), prop::collection::vec(step(length), 1..25)))
}

#[test]
fn reads_seeks_and_ranges_are_those_of_a_slice() {
    let runtime = Runtime::new().unwrap();
    let (_clinic, sealer, opener) = runtime.block_on(patient());
    let all = plaintext(16 * CHUNK);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases: 64, ..ProptestConfig::default() });
    let checked = runner.run(&run(), |(length, before, steps)| {
        // The file may begin anywhere in its source.
        let bytes = [vec![0xaa; before], seal(&sealer, &all[..length])].concat();
        let mut source = Cursor::new(&bytes[..]);
        source.set_position(before as u64);
        let mut file = opener.file(source, &place()).unwrap();
        let mut model = Cursor::new(&all[..length]);
        for step in steps {
            let (found, expected) = match step {
                Step::Read(size) => {
                    let (mut found, mut expected) = (vec![0; size], vec![0; size]);
                    let mut filled = 0;
                    while let Ok(read @ 1..) = file.read(&mut found[filled..]) {
                        filled += read;
                    }
                    let wanted = model.read(&mut expected).unwrap();
                    prop_assert_eq!(filled, wanted);
                    prop_assert!(found[..filled] == expected[..wanted]);
                    continue;
                }
                Step::Range(at, size) => {
                    let end = length.min(usize::try_from(at + size).unwrap());
                    let expected = all.get(usize::try_from(at).unwrap()..end).unwrap_or_default();
                    prop_assert!(file.open_range(at, size).unwrap().expose() == expected);
                    continue;
                }
                Step::Length => (file.authentic_len().ok(), Some(length as u64)),
                Step::Start(to) => (file.seek(SeekFrom::Start(to)).ok(), model.seek(SeekFrom::Start(to)).ok()),
                Step::Current(by) => (file.seek(SeekFrom::Current(by)).ok(), model.seek(SeekFrom::Current(by)).ok()),
                Step::End(by) => (file.seek(SeekFrom::End(by)).ok(), model.seek(SeekFrom::End(by)).ok()),
            };
            prop_assert_eq!(found, expected);
            prop_assert_eq!(file.stream_position().unwrap(), model.position());
        }
        Ok(())
    });
    checked.unwrap();
}

#[tokio::test]
async fn the_end_is_never_believed() {
    let (_clinic, sealer, opener) = patient().await;
    let whole = plaintext(3 * CHUNK + 40);
    let sealed = seal(&sealer, &whole);
    // Without its last chunk, and with its third one cut, the file has a length that nobody sealed.
    for cut in [80 + 3 * (CHUNK + 16), 80 + 3 * (CHUNK + 16) - 100, 80 + 2 * (CHUNK + 16) + 3] {
        let cut = &sealed[..cut];
        let fails = |what: &str, result: std::io::Result<u64>| {
            let error = result.expect_err(what);
            assert!(
                matches!(FileError::of(&error), Some(FileError::Truncated | FileError::Refused)),
                "{what}: {error}"
            );
        };
        fails("from the end", seekable(&opener, cut).unwrap().seek(SeekFrom::End(-5)));
        fails("behind the end", seekable(&opener, cut).unwrap().seek(SeekFrom::Start(u64::MAX / 2)));
        fails("the length", seekable(&opener, cut).unwrap().authentic_len().map_err(Into::into));
        let mut file = seekable(&opener, cut).unwrap();
        assert!(file.open_range(3 * CHUNK as u64, 10).is_err(), "a range behind the end");
        assert!(file.open_range(CHUNK as u64, 3 * CHUNK as u64).is_err(), "a range over the end");
        assert!(file.open_range(u64::MAX, u64::MAX).is_err());
        // What is whole can be read.
        assert_eq!(file.open_range(CHUNK as u64, 10).unwrap().expose(), &whole[CHUNK..CHUNK + 10]);
        assert_eq!(file.seek(SeekFrom::Start(7)).unwrap(), 7);
    }
}

#[tokio::test]
async fn a_refused_range_gives_nothing() {
    let (_clinic, sealer, opener) = patient().await;
    let whole = plaintext(3 * CHUNK + 40);
    let mut sealed = seal(&sealer, &whole);
    sealed[80 + CHUNK + 16 + 5] ^= 1;
    let mut file = seekable(&opener, &sealed).unwrap();
    assert!(matches!(file.open_range(0, 2 * CHUNK as u64), Err(FileError::Refused)));
    assert_eq!(file.open_range(0, 10).unwrap().expose(), &whole[..10]);
    assert_eq!(file.open_range(2 * CHUNK as u64, 99_999).unwrap().expose(), &whole[2 * CHUNK..]);
    assert_eq!(file.authentic_len().unwrap(), whole.len() as u64, "the last chunk is as it was");
}

#[tokio::test]
async fn ranges_open_out_of_fetched_bytes() {
    let (_clinic, sealer, opener) = patient().await;
    let whole = plaintext(2 * CHUNK + 40);
    let sealed = seal(&sealer, &whole);
    let fetch = |range: core::ops::Range<u64>| {
        let end = sealed.len().min(usize::try_from(range.end).unwrap());
        sealed[end.min(usize::try_from(range.start).unwrap())..end].to_vec()
    };
    let head = FileHead::parse(&sealed).unwrap();
    let mut ranges = opener.file_ranges(&head, &place()).unwrap();
    for range in [0..0, 0..1, 0..40_000, 16_383..16_385, 16_384..32_768, 32_767..32_769, 32_000..32_808, 32_808..32_809]
    {
        let end = whole.len().min(usize::try_from(range.end).unwrap());
        let expected = &whole[usize::try_from(range.start).unwrap()..end];
        let opened = ranges.open(range.clone(), fetch(ciphertext_range(range.clone()))).unwrap();
        assert!(opened.expose() == expected, "{range:?}");
    }
    // Fewer bytes than the range needs are no end of the file.
    assert!(matches!(ranges.open(0..20_000, fetch(80..80 + 16_400)), Err(FileError::Truncated)));
    assert!(matches!(ranges.open(0..20_000, Vec::new()), Err(FileError::Truncated)));
    assert!(matches!(ranges.open(0..20_000, fetch(80..80 + 16_399)), Err(FileError::Refused)));
    assert!(matches!(ranges.open(0..20_000, fetch(80..80 + 15)), Err(FileError::Refused)));
    assert!(matches!(ranges.open(16_384..20_000, fetch(80..80 + 16_400)), Err(FileError::Refused)));
}
