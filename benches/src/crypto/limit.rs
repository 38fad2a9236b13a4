//! The physical limit: the same primitives of the same library, with nothing around them; ring, which ours is built on, and AWS-LC beside it.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::measure::Contender;

pub(crate) const SEAL: &str = "ring";
pub(crate) const SEAL_RANDOM: &str = "ring + SystemRandom";
pub(crate) const BOUND: &str = "ring, context bound";
pub(crate) const AWS_LC: &str = "aws-lc-rs";
pub(crate) const HMAC: &str = "ring HMAC-SHA-256";
const BOUND_NOTES: &str = "as ring, with the bytes of our context as associated data, made before";
const NOTES: &str = "binds no context, commits to no key, cached key, counter nonce, in place, nothing stored";

fn key() -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).expect("32 bytes are a key of AES-256"))
}

fn nonce(counter: u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

/// Seals the same buffer again and again.
pub(crate) fn seal<'a>(length: usize) -> Contender<'a> {
    let (key, mut buffer, mut counter) = (key(), vec![0; length], 0);
    Contender::new(SEAL, crate::version("ring"), NOTES, move || {
        counter += 1;
        key.seal_in_place_separate_tag(nonce(counter), Aad::empty(), &mut buffer).expect("far from the length limit")
    })
}

/// The same with a nonce from the operating system: the least that a random nonce can cost.
pub(crate) fn seal_random<'a>(length: usize) -> Contender<'a> {
    let (key, mut buffer, random) = (key(), vec![0; length], SystemRandom::new());
    let notes = "as ring, with one 12-byte SystemRandom call for the nonce";
    Contender::new(SEAL_RANDOM, crate::version("ring"), notes, move || {
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce).expect("the operating system has random bytes");
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut buffer).expect("far from the length limit")
    })
}

/// Opens the same message again and again; the copy that opening in place needs is in the time.
pub(crate) fn open<'a>(length: usize) -> Contender<'a> {
    let key = key();
    let mut sealed = vec![0; length];
    key.seal_in_place_append_tag(nonce(1), Aad::empty(), &mut sealed).expect("far from the length limit");
    let mut buffer = sealed.clone();
    Contender::new(SEAL, crate::version("ring"), NOTES, move || {
        buffer.copy_from_slice(&sealed);
        key.open_in_place(nonce(1), Aad::empty(), &mut buffer).expect("what was sealed opens")[0]
    })
}

/// As [`seal`], with a context as associated data: what binding it costs before anything of ours.
pub(crate) fn seal_bound<'a>(length: usize, context: Vec<u8>) -> Contender<'a> {
    let (key, mut buffer, mut counter) = (key(), vec![0; length], 0);
    Contender::new(BOUND, crate::version("ring"), BOUND_NOTES, move || {
        counter += 1;
        let aad = Aad::from(std::hint::black_box(&context));
        key.seal_in_place_separate_tag(nonce(counter), aad, &mut buffer).expect("far from the length limit")
    })
}

/// As [`open`], with a context as associated data.
pub(crate) fn open_bound<'a>(length: usize, context: Vec<u8>) -> Contender<'a> {
    let key = key();
    let mut sealed = vec![0; length];
    key.seal_in_place_append_tag(nonce(1), Aad::from(&context), &mut sealed).expect("far from the length limit");
    let mut buffer = sealed.clone();
    Contender::new(BOUND, crate::version("ring"), BOUND_NOTES, move || {
        buffer.copy_from_slice(&sealed);
        let aad = Aad::from(std::hint::black_box(&context));
        key.open_in_place(nonce(1), aad, &mut buffer).expect("what was sealed opens")[0]
    })
}

/// A tag of `value` under a cached key.
pub(crate) fn hmac<'a>(value: &'static [u8]) -> Contender<'a> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
    Contender::new(HMAC, crate::version("ring"), "no normalisation, no context", move || {
        hmac::sign(&key, std::hint::black_box(value))
    })
}

/// As [`seal`], with the other library.
pub(crate) fn seal_aws_lc<'a>(length: usize) -> Contender<'a> {
    use aws_lc_rs::aead::Aad;
    let (key, mut buffer, mut counter) = (key_aws_lc(), vec![0; length], 0);
    Contender::new(AWS_LC, crate::version("aws-lc-rs"), NOTES, move || {
        counter += 1;
        let nonce = nonce_aws_lc(counter);
        key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut buffer).expect("far from the length limit")
    })
}

/// As [`open`], with the other library.
pub(crate) fn open_aws_lc<'a>(length: usize) -> Contender<'a> {
    use aws_lc_rs::aead::Aad;
    let key = key_aws_lc();
    let mut sealed = vec![0; length];
    key.seal_in_place_append_tag(nonce_aws_lc(1), Aad::empty(), &mut sealed).expect("far from the length limit");
    let mut buffer = sealed.clone();
    Contender::new(AWS_LC, crate::version("aws-lc-rs"), NOTES, move || {
        buffer.copy_from_slice(&sealed);
        key.open_in_place(nonce_aws_lc(1), Aad::empty(), &mut buffer).expect("what was sealed opens")[0]
    })
}

fn key_aws_lc() -> aws_lc_rs::aead::LessSafeKey {
    use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).expect("32 bytes are a key of AES-256"))
}

fn nonce_aws_lc(counter: u64) -> aws_lc_rs::aead::Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    aws_lc_rs::aead::Nonce::assume_unique_for_key(nonce)
}
