//! Files: streams against the cipher alone and against others, ranges of a large file, memory, and threads.

mod heap;
mod range;
mod threads;

use std::io::{self, Read, Write};
use std::iter;

use phi_crypto::{Context, ScopedOpener, ScopedSealer};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::ours::NAME;
use crate::Result;
use crate::measure::{Contender, Effort};
use crate::report::Report;

const LIMIT: &str = "ring in 16 KiB chunks";
const KEYED: &str = "ring, a key for each file";
const RAGE: &str = "age";
const TINK: &str = "tink streaming";
const CHUNK: usize = 16_384;
const RANGE: u64 = 64 << 10;
const NOTES: &str = "binds context, commits to key and context, random access, one copy";

/// Lengths of whole files. A stream that goes on costs what the longest costs for each byte.
const LENGTHS: [(usize, &str); 3] = [(64 << 10, "64 KiB"), (1 << 20, "1 MiB"), (16 << 20, "16 MiB")];

/// As many bytes as wanted, namely those that the buffer holds already: a source that costs nothing, since the limit has none.
struct Generated(usize);

impl Read for Generated {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let size = std::hint::black_box(out).len().min(self.0);
        self.0 -= size;
        Ok(size)
    }
}

/// Counts what it is given.
#[derive(Default)]
struct Counted(usize);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += std::hint::black_box(bytes).len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn place() -> Context<'static> {
    Context::new("Scan", "image").record_id(7431_u64)
}

fn nonce(number: u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

fn key() -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).expect("32 bytes are a key of AES-256"))
}

/// Seals and opens one file after the other.
pub(crate) fn run(report: &mut Report, effort: Effort, sealer: &ScopedSealer, opener: &ScopedOpener) -> Result<()> {
    for (length, name) in LENGTHS {
        let seal = format!("seal a file of {name}");
        report.measure(
            &seal,
            effort,
            vec![ours_seal(sealer, length), limit(length), keyed(length), age_seal(length), tink_seal(length)],
        );
        let open = format!("open a file of {name}");
        let stored = sealed(sealer, length);
        let contenders = vec![ours_open(opener, &stored), limit_open(length), age_open(length), tink_open(length)];
        report.measure(&open, effort, contenders);
        if length >= 1 << 20 {
            for workload in [&seal, &open] {
                let share = report.cpu(workload, LIMIT) / report.cpu(workload, NAME);
                report.bar_at_least(workload, &format!("speed of {LIMIT}"), share, "×", 0.9);
                for peer in [RAGE, TINK] {
                    let times = report.cpu(workload, peer) / report.cpu(workload, NAME);
                    report.bar_at_least(workload, &format!("speed ÷ {peer}"), times, "×", 4.0);
                }
            }
        }
    }
    range::run(report, effort, sealer, opener)?;
    heap::run(report, effort, sealer, opener)?;
    threads::run(report, effort, sealer)
}

fn ours_seal(sealer: &ScopedSealer, length: usize) -> Contender<'_> {
    Contender::new(NAME, crate::version(NAME), NOTES, move || {
        let mut file = sealer.file(Counted::default(), &place()).expect("a live lease");
        file.seal_from(Generated(length)).expect("a live lease");
        file.finish().expect("a live lease").0
    })
}

fn sealed(sealer: &ScopedSealer, length: usize) -> Vec<u8> {
    let mut file = sealer.file(Vec::new(), &place()).expect("a live lease");
    file.seal_from(Generated(length)).expect("a live lease");
    file.finish().expect("a live lease")
}

fn ours_open<'a>(opener: &'a ScopedOpener, stored: &'a [u8]) -> Contender<'a> {
    let mut buffer = vec![0; RANGE as usize];
    Contender::new(NAME, crate::version(NAME), NOTES, move || {
        drain(&mut opener.file(stored, &place()).expect("a live lease"), &mut buffer)
    })
}

/// Reads to the end, 64 KiB at a time.
fn drain(source: &mut impl Read, buffer: &mut [u8]) -> usize {
    let mut total = 0;
    loop {
        match source.read(buffer).expect("what was sealed opens") {
            0 => return total,
            read => total += read,
        }
    }
}

/// The same chunk again and again, which never leaves the first cache. Neither side reads a file's worth of memory: ours is
/// given a source that costs nothing.
fn limit<'a>(length: usize) -> Contender<'a> {
    let (key, mut chunk, mut number) = (key(), vec![0; CHUNK], 0);
    let notes = "cached key, one buffer, nothing read, written or bound";
    Contender::new(LIMIT, crate::version("ring"), notes, move || {
        for _ in 0..length / CHUNK {
            number += 1;
            let tag = key.seal_in_place_separate_tag(nonce(number), Aad::empty(), &mut chunk).expect("short");
            let _ = std::hint::black_box(tag);
        }
    })
}

/// As the limit, with what C2SP chunked-encryption asks of any file before its first chunk: a salt, and HKDF-Expand of two
/// blocks of SHA-512 over it.
fn keyed<'a>(length: usize) -> Contender<'a> {
    let (random, mut chunk) = (SystemRandom::new(), vec![0; CHUNK]);
    let notes = "a salt and a derived key for each file; nothing read or written";
    Contender::new(KEYED, crate::version("ring"), notes, move || {
        let mut info = [0; 190];
        random.fill(&mut info[..24]).expect("a system with randomness");
        let prk = hmac::Key::new(hmac::HMAC_SHA512, &[7; 32]);
        let mut block = hmac::Context::with_key(&prk);
        block.update(&info);
        block.update(&[1]);
        let first = block.sign();
        let mut block = hmac::Context::with_key(&prk);
        block.update(first.as_ref());
        block.update(&info);
        block.update(&[2]);
        let _ = std::hint::black_box(block.sign());
        let key = UnboundKey::new(&AES_256_GCM, &first.as_ref()[..32]).expect("32 bytes are a key of AES-256");
        let key = LessSafeKey::new(key);
        for number in 0..(length / CHUNK) as u64 {
            let tag = key.seal_in_place_separate_tag(nonce(number), Aad::empty(), &mut chunk).expect("short");
            let _ = std::hint::black_box(tag);
        }
    })
}

/// Out of stored bytes, with the one copy that opening in place needs.
fn limit_open<'a>(length: usize) -> Contender<'a> {
    let key = key();
    let mut sealed = vec![0; CHUNK];
    key.seal_in_place_append_tag(nonce(1), Aad::empty(), &mut sealed).expect("short");
    let (stored, mut buffer) = (sealed.repeat(length / CHUNK), sealed.clone());
    Contender::new(LIMIT, crate::version("ring"), "cached key, one copy; nothing bound", move || {
        for chunk in stored.chunks_exact(CHUNK + 16) {
            buffer.copy_from_slice(chunk);
            key.open_in_place(nonce(1), Aad::empty(), &mut buffer).expect("what was sealed opens");
        }
    })
}

fn age_seal<'a>(length: usize) -> Contender<'a> {
    let recipient = age::x25519::Identity::generate().to_public();
    let notes = "ChaCha20-Poly1305; X25519 recipient; binds no context";
    Contender::new(RAGE, crate::version("age"), notes, move || {
        let encryptor = age::Encryptor::with_recipients(iter::once(&recipient as &dyn age::Recipient));
        let mut writer = encryptor.expect("a recipient").wrap_output(Counted::default()).expect("a sink");
        io::copy(&mut Generated(length), &mut writer).expect("a sink");
        writer.finish().expect("a sink").0
    })
}

fn age_open<'a>(length: usize) -> Contender<'a> {
    let identity = age::x25519::Identity::generate();
    let recipient = identity.to_public();
    let encryptor = age::Encryptor::with_recipients(iter::once(&recipient as &dyn age::Recipient));
    let mut writer = encryptor.expect("a recipient").wrap_output(Vec::new()).expect("a sink");
    io::copy(&mut Generated(length), &mut writer).expect("a sink");
    let stored = writer.finish().expect("a sink");
    let mut buffer = vec![0; RANGE as usize];
    Contender::new(RAGE, crate::version("age"), "ChaCha20-Poly1305; X25519 identity", move || {
        let decryptor = age::Decryptor::new(&stored[..]).expect("what was sealed opens");
        let reader = decryptor.decrypt(iter::once(&identity as &dyn age::Identity));
        drain(&mut reader.expect("what was sealed opens"), &mut buffer)
    })
}

const TINK_AAD: &[u8] = b"Scan image 7431";

fn tink() -> Box<dyn tink_core::StreamingAead> {
    tink_streaming_aead::init();
    let handle = tink_core::keyset::Handle::new(&tink_streaming_aead::aes256_gcm_hkdf_1mb_key_template());
    tink_streaming_aead::new(&handle.expect("a key")).expect("a primitive")
}

fn tink_seal<'a>(length: usize) -> Contender<'a> {
    let primitive = tink();
    let notes = "AES256-GCM-HKDF, its 1 MiB segments; binds associated data, commits to no key";
    Contender::new(TINK, crate::version("tink-streaming-aead"), notes, move || {
        let mut writer = primitive.new_encrypting_writer(Box::new(Counted::default()), TINK_AAD).expect("a writer");
        io::copy(&mut Generated(length), &mut writer).expect("a sink");
        writer.close().expect("a sink");
    })
}

fn tink_open<'a>(length: usize) -> Contender<'a> {
    let primitive = tink();
    let stored = Shared::default();
    let mut writer = primitive.new_encrypting_writer(Box::new(stored.clone()), TINK_AAD).expect("a writer");
    io::copy(&mut Generated(length), &mut writer).expect("a sink");
    writer.close().expect("a sink");
    let stored = stored.0.lock().expect("one thread").clone();
    let mut buffer = vec![0; RANGE as usize];
    let notes = "AES256-GCM-HKDF, its 1 MiB segments";
    Contender::new(TINK, crate::version("tink-streaming-aead"), notes, move || {
        let source = Box::new(io::Cursor::new(stored.clone()));
        drain(&mut primitive.new_decrypting_reader(source, TINK_AAD).expect("a reader"), &mut buffer)
    })
}

/// A sink that can be looked at afterwards.
#[derive(Clone, Default)]
struct Shared(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("one thread").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
