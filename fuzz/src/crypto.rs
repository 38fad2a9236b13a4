//! phi-crypto: what columns give back, and the contexts that values are bound to.

use std::io::{Cursor, Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::LazyLock;

use phi_crypto::file::{FileHead, ciphertext_range};
use phi_crypto::{Context, Opener, ScopedOpener, ScopedSealer, Sealed, Sealer};
use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore, Scope};
use phi_types::ManualClock;
use tokio::runtime::Builder;

use crate::input::Input;

struct World {
    sealer: ScopedSealer,
    opener: ScopedOpener,
}

/// Handles whose lease never ends, because their clock stands still.
fn world() -> World {
    thread_local!(static WORLD: World = new_world());
    WORLD.with(|world| World { sealer: world.sealer.clone(), opener: world.opener.clone() })
}

fn new_world() -> World {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let kek = EphemeralKeyring::generate().expect("randomness");
        let clock = ManualClock::at_unix_seconds(1_767_225_600);
        let builder = Keys::builder(MemoryKeyStore::new()).kek(kek).clock(clock);
        let keys = builder.build().await.expect("an empty store");
        let scope = Scope::group("fuzz");
        let sealer = Sealer::builder(keys.clone()).build().for_scope(&scope).await.expect("a key");
        let opener = Opener::builder(keys).build().for_scope(&scope).await.expect("a key");
        World { sealer, opener }
    })
}

/// A column that somebody else wrote: it is refused, whether it comes as bytes, as text, or as one of our own values with
/// one byte changed, cut or in another place.
pub(crate) fn open(input: &[u8]) {
    let World { sealer, opener } = world();
    let place = Context::new("Patient", "name").record_id("1");
    if let Ok(sealed) = Sealed::<Vec<u8>>::from_bytes(input.to_vec()) {
        assert_eq!(sealed.as_bytes(), input);
        assert!(opener.open(&sealed, &place).is_err());
    }
    if let Ok(text) = std::str::from_utf8(input)
        && let Ok(sealed) = Sealed::<Vec<u8>>::from_text(text)
    {
        assert_eq!(sealed.to_text(), text);
        assert!(opener.open(&sealed, &place).is_err());
    }

    let mut input = Input::new(input);
    let (at, change, cut) = (u16::from_be_bytes(input.array()), input.byte(), input.byte());
    let plaintext = input.rest();
    let ours = sealer.seal(plaintext, &place).expect("a live lease");
    assert_eq!(opener.open(&ours, &place).expect("what was sealed").expose().as_slice(), plaintext);
    let mut buffer = plaintext.to_vec();
    sealer.seal_in_place(&mut buffer, &place).expect("a live lease");
    assert_eq!(opener.open_in_place(&mut buffer, &place).expect("what was sealed").expose(), &plaintext);
    assert!(opener.open(&ours, &Context::new("Patient", "ssn").record_id("1")).is_err());
    let mut bytes = ours.into_bytes();
    match cut {
        0 => bytes.push(change),
        1 => bytes.truncate(usize::from(at) % bytes.len()),
        _ => {
            let at = usize::from(at) % bytes.len();
            bytes[at] ^= change.max(1);
        }
    }
    if let Ok(sealed) = Sealed::<Vec<u8>>::from_bytes(bytes) {
        assert!(opener.open(&sealed, &place).is_err());
    }
}

/// Two contexts with the same bytes are the same context.
pub(crate) fn context(input: &[u8]) {
    let mut input = Input::new(input);
    let (first, second) = (Parts::read(&mut input), Parts::read(&mut input));
    let (first, second) = (first.context(), second.context());
    if let (Ok(one), Ok(other)) = (first.to_aad(), second.to_aad()) {
        assert_eq!(one == other, first == second);
    }
}

/// The elements of a context, all of the fuzzer's choosing but the names, which are constants of the code.
struct Parts<'a> {
    record_type: &'static str,
    tenant: Option<&'a str>,
    record_id: Option<&'a str>,
    row_version: Option<u64>,
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Parts<'a> {
    fn read(input: &mut Input<'a>) -> Self {
        let flags = input.byte();
        let mut text = |flag: u8| (flags & flag != 0).then(|| std::str::from_utf8(input.short()).unwrap_or("é"));
        let (tenant, record_id) = (text(1), text(2));
        let row_version = (flags & 4 != 0).then(|| u64::from(input.byte()));
        let mut text = || std::str::from_utf8(input.short()).unwrap_or("é");
        let pairs = (0..flags >> 6).map(|_| (text(), text())).collect();
        Self { record_type: if flags & 8 == 0 { "Patient" } else { "" }, tenant, record_id, row_version, pairs }
    }

    fn context(&self) -> Context<'a> {
        let mut context = Context::new(self.record_type, "name").without_record();
        if let Some(tenant) = self.tenant {
            context = context.tenant(tenant);
        }
        if let Some(id) = self.record_id {
            context = context.record_id(id);
        }
        if let Some(version) = self.row_version {
            context = context.row_version(version);
        }
        self.pairs.iter().fold(context, |context, (key, value)| context.pair(key, value))
    }
}

fn scan() -> Context<'static> {
    Context::new("Scan", "image").record_id("1")
}

/// A plaintext of several chunks without a fuzzer having to write them, made once.
fn image(length: u16) -> &'static [u8] {
    static IMAGE: LazyLock<Vec<u8>> =
        LazyLock::new(|| (0..usize::from(u16::MAX)).map(|at| (at * 31 + at / 7919) as u8).collect());
    &IMAGE[..usize::from(length)]
}

/// What one input may do to a file: more steps take long and reach nothing that fewer do not.
const STEPS: usize = 40;

fn file(sealer: &ScopedSealer, plaintext: &[u8]) -> Vec<u8> {
    let mut file = sealer.file(Vec::with_capacity(plaintext.len() + 256), &scan()).expect("a live lease");
    file.write_all(plaintext).expect("a live lease");
    file.finish().expect("a live lease")
}

/// A file that somebody else wrote, or one of ours with bytes changed, moved, cut or added: nothing comes out of it but a
/// beginning of what was sealed, and then an error.
pub(crate) fn file_open(input: &[u8]) {
    let World { sealer, opener } = world();
    if let Ok(mut strange) = opener.file(input, &scan()) {
        assert!(strange.read_to_end(&mut Vec::new()).is_err());
    }
    let _ = FileHead::parse(input);

    let mut input = Input::new(input);
    let plaintext = image(u16::from_be_bytes(input.array()));
    let sealed = file(&sealer, plaintext);
    let mut changed = sealed.clone();
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let at = u16::from_be_bytes(input.array());
        let at = usize::from(at) % changed.len().max(1);
        match input.byte() % 5 {
            0 => changed.truncate(at),
            1 => changed.extend_from_slice(input.short()),
            2 => {
                let size = changed.len().saturating_sub(at).min(usize::from(input.byte()));
                let part = changed[at..at + size].to_vec();
                changed.extend(part);
            }
            3 => {
                changed.drain(..at.min(changed.len()));
            }
            _ => {
                if let Some(byte) = changed.get_mut(at) {
                    *byte ^= input.byte();
                }
            }
        }
    }
    let mut out = Vec::new();
    let read = opener.file(&changed[..], &scan()).map(|mut file| file.read_to_end(&mut out));
    assert!(plaintext.starts_with(&out));
    assert_eq!(matches!(read, Ok(Ok(_))), changed == sealed);
}

/// Reads, seeks and ranges, against a slice. Where the file was cut, no more than the whole chunks comes out.
pub(crate) fn file_range(input: &[u8]) {
    let World { sealer, opener } = world();
    let mut input = Input::new(input);
    // A first chunk, one between and a last one.
    let plaintext = image(u16::from_be_bytes(input.array()) % 40_000);
    let mut sealed = file(&sealer, plaintext);
    let cut = usize::from(input.byte()) % 40;
    // The head stays whole: `file_open` cuts that.
    sealed.truncate((sealed.len() - cut).max(FileHead::LEN));
    let mut ranges = opener.file_ranges(&FileHead::parse(&sealed).expect("a head"), &scan()).expect("a live lease");
    let mut file = opener.file(Cursor::new(&sealed[..]), &scan()).expect("a head");
    let mut model = Cursor::new(plaintext);
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let (step, number) = (input.byte(), u64::from(u16::from_be_bytes(input.array())));
        match step % 5 {
            0 => {
                let size = usize::try_from(number).expect("16 bits");
                let (mut found, mut expected) = (vec![0; size], vec![0; size]);
                let mut filled = 0;
                while let Ok(read @ 1..) = file.read(&mut found[filled..]) {
                    filled += read;
                }
                let wanted = model.read(&mut expected).expect("a slice");
                assert!(expected[..wanted].starts_with(&found[..filled]));
                assert!(cut > 0 || filled == wanted);
                model.set_position(model.position() - (wanted - filled) as u64);
            }
            1 | 2 => {
                let by = i64::from(number as i16) * i64::from(input.byte());
                let to = match step % 4 {
                    0 => SeekFrom::Start(by.unsigned_abs()),
                    1 => SeekFrom::Current(by),
                    _ => SeekFrom::End(by),
                };
                let before = model.position();
                match (file.seek(to), model.seek(to)) {
                    (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                    (Err(_), Ok(_)) => {
                        assert!(cut > 0);
                        model.set_position(before);
                    }
                    (found, expected) => assert!(found.is_err() && expected.is_err()),
                }
            }
            3 => {
                let length = u64::from(input.byte()) * 300;
                if let Ok(found) = file.open_range(number, length) {
                    let end = plaintext.len().min(usize::try_from(number + length).expect("17 bits"));
                    let expected = plaintext.get(usize::try_from(number).expect("16 bits")..end).unwrap_or_default();
                    assert_eq!(found.expose().as_slice(), expected);
                } else {
                    assert!(cut > 0);
                }
            }
            _ => {
                let range = number..number + u64::from(input.byte()) * 300;
                let wanted = ciphertext_range(range.clone());
                let end = sealed.len().min(usize::try_from(wanted.end).expect("small"));
                let begin = end.min(usize::try_from(wanted.start).expect("small"));
                if let Ok(found) = ranges.open(range.clone(), sealed[begin..end].to_vec()) {
                    let at = usize::try_from(range.start).expect("16 bits").min(plaintext.len());
                    assert!(plaintext[at..].starts_with(found.expose()));
                }
            }
        }
    }
}
