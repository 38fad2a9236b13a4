//! Epochs and replayed randomness, which only this crate can bring about.

use core::sync::atomic::AtomicU8;
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::sync::Barrier;

use fork::Fork;
use phi_keys::backend::Backend;
use phi_keys::{EphemeralKeyring, MemoryKeyStore, f1};

use super::message::Message;
use super::*;
use crate::{Context, Opener, Sealed};

const PLACE: Context<'static> = Context::new("P", "f").without_record();

async fn keys() -> Keys {
    Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate().unwrap()).build().await.unwrap()
}

async fn sealer(limits: Limits) -> ScopedSealer {
    scoped(Sealer::builder(keys().await).build(), limits, Randomness::System(Backend::ring())).await
}

async fn scoped(sealer: Sealer, limits: Limits, randomness: Randomness) -> ScopedSealer {
    let Shared { keys, suite, padding, threads, nonces, aad, .. } = Arc::into_inner(sealer.0).unwrap();
    let epochs = Handles::new();
    let shared = Shared { keys, suite, padding, threads, nonces, limits, randomness, aad, epochs };
    Sealer(Arc::new(shared)).for_scope(&Scope::group("g")).await.unwrap()
}

/// A sealer whose random bytes are the same for each that is made, as after a snapshot is restored twice.
async fn replaying(sealer: Sealer) -> ScopedSealer {
    scoped(sealer, LIMITS, Randomness::Replayed(AtomicU8::new(1))).await
}

/// How many values share each salt, in the order in which the salts came.
fn runs<T>(sealed: &[Sealed<T>]) -> Vec<usize> {
    sealed.chunk_by(|a, b| a.as_bytes()[17..29] == b.as_bytes()[17..29]).map(<[_]>::len).collect()
}

#[tokio::test]
async fn an_epoch_holds_so_many_messages_and_no_more() {
    let sealer = sealer(Limits { messages: 4, ..LIMITS }).await;
    let sealed: Vec<_> = (0..10).map(|_| sealer.seal("x", &PLACE).unwrap()).collect();
    assert_eq!(runs(&sealed), [4, 4, 2]);
}

#[tokio::test]
async fn an_epoch_holds_so_many_bytes_and_no_more() {
    let sealer = sealer(Limits { bytes: 10, ..LIMITS }).await;
    let sealed: Vec<_> = (0..6).map(|_| sealer.seal("four", &PLACE).unwrap()).collect();
    assert_eq!(runs(&sealed), [2, 2, 2]);
    assert_eq!(sealer.seal("eleven bytes", &PLACE), Err(SealError::TooLarge));
}

#[tokio::test]
async fn no_start_serves_undrawn_or_twice() {
    let sealer = sealer(LIMITS).await;
    let mut value = f1::framed(b"x", 0).unwrap();
    let mut message = Message::new(&sealer.0);
    assert_eq!(message.seal_framed(b"x", 0, &mut value), Err(SealError::NoRandomness), "not fixed");
    message.fix(&PLACE, 1).unwrap();
    assert_eq!(message.seal_framed(b"x", 0, &mut value), Err(SealError::NoRandomness), "not drawn");
    message.fix(&PLACE, 1).unwrap();
    message.draw().unwrap();
    message.seal_framed(b"x", 0, &mut value).unwrap();
    message.fix(&PLACE, 1).unwrap();
    message.draw().unwrap();
    message.fix(&PLACE.pair("a", "b").pair("a", "c"), 1).unwrap_err();
    let mut second = f1::framed(b"y", 0).unwrap();
    assert_eq!(message.seal_framed(b"y", 0, &mut second), Err(SealError::NoRandomness), "drawn for another");
    message.fix(&PLACE, 1).unwrap();
    message.draw().unwrap();
    message.seal_framed(b"y", 0, &mut second).unwrap();
    let mut second = f1::framed(b"y", 0).unwrap();
    assert_eq!(message.seal_framed(b"y", 0, &mut second), Err(SealError::NoRandomness), "sealed already");
}

#[tokio::test]
async fn a_batch_longer_than_an_epoch_is_sealed_in_parts() {
    let sealer = sealer(Limits { messages: 4, ..LIMITS }).await;
    sealer.seal("x", &PLACE).unwrap();
    let sealed = sealer.seal_many(&[const { ("x", PLACE) }; 9]);
    // The first part finds no room for four in the epoch that has begun, and takes one of its own.
    assert_eq!(runs(&sealed.unwrap()), [4, 4, 1]);
}

#[tokio::test]
async fn threads_together_do_not_pass_the_limit() {
    const THREADS: usize = 8;
    let sealer = sealer(Limits { messages: 16, ..LIMITS }).await;
    let barrier = Arc::new(Barrier::new(THREADS));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (sealer, barrier) = (sealer.clone(), Arc::clone(&barrier));
            std::thread::spawn(move || {
                barrier.wait();
                (0..100).map(|_| sealer.seal("x", &PLACE).unwrap()).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut sealed: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    sealed.sort_by(|a, b| a.as_bytes()[17..29].cmp(&b.as_bytes()[17..29]));
    let runs = runs(&sealed);
    assert_eq!(runs.iter().sum::<usize>(), THREADS * 100);
    assert!(runs.iter().all(|run| *run <= 16), "{runs:?}");
}

#[tokio::test]
async fn a_rolled_epoch_is_over_for_every_sealer_of_its_key() {
    let sealer = Sealer::builder(keys().await).build();
    let scope = Scope::group("g");
    let (one, other) = (sealer.for_scope(&scope).await.unwrap(), sealer.for_scope(&scope).await.unwrap());
    let mut sealed = vec![one.seal("x", &PLACE).unwrap(), other.seal("x", &PLACE).unwrap()];
    assert_eq!(runs(&sealed), [2]);
    one.roll();
    sealed.extend([other.seal("x", &PLACE).unwrap(), one.seal("x", &PLACE).unwrap()]);
    assert_eq!(runs(&sealed), [2, 2]);
}

fn salt_and_nonce(sealed: &[u8]) -> [u8; 24] {
    sealed[17..41].try_into().unwrap()
}

/// What a process does with its copy of a sealer after it was duplicated at this point: the values, one behind the other.
fn in_a_duplicate(work: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    match fork::fork().unwrap() {
        Fork::Child => {
            let written = writer.write_all(&work());
            std::process::exit(written.is_err().into())
        }
        Fork::Parent(child) => {
            drop(writer);
            let mut values = Vec::new();
            reader.read_to_end(&mut values).unwrap();
            fork::waitpid(child).unwrap();
            values
        }
    }
}

#[tokio::test]
async fn a_duplicated_process_whose_randomness_repeats_repeats_only_identical_messages_when_hedged() {
    let keys = keys().await;
    for padding in [None, Some(Padding::multiple_of(32))] {
        let builder = Sealer::builder(keys.clone());
        let sealer = match padding {
            Some(padding) => builder.padding(padding),
            None => builder,
        };
        let sealer = replaying(sealer.build().hedged()).await;
        // The salt is drawn before the process is duplicated, as in one that has been running.
        sealer.seal("before", &PLACE).unwrap();
        let length = sealer.seal("12345", &PLACE).unwrap().into_bytes().len();

        // The same message in the same place, other messages, and other places.
        let row = |id: u64| Context::new("P", "f").record_id(id);
        let all = |messages: [&str; 4], places: [Context<'_>; 4]| {
            let mut values = Vec::new();
            for (message, place) in messages.iter().zip(&places) {
                values.extend(sealer.seal(*message, place).unwrap().into_bytes());
            }
            let batch: Vec<_> = messages.into_iter().zip(places).collect();
            values.extend(sealer.seal_many(&batch).unwrap().into_iter().flat_map(Sealed::into_bytes));
            values
        };
        let (here, there) = (["12345", "12345", "aaaaa", "same."], ["12345", "12346", "aaaaa", "same."]);
        let child = in_a_duplicate(|| all(there, [row(1), row(1), row(2), row(4)]));
        let parent = all(here, [row(1), row(1), row(3), row(4)]);
        let same = [true, false, false, true].repeat(2);
        assert_eq!((child.len(), parent.len()), (8 * length, 8 * length));
        for (at, (one, other)) in child.chunks(length).zip(parent.chunks(length)).enumerate() {
            assert_eq!(one == other, same[at], "{at}");
            assert_eq!(salt_and_nonce(one) == salt_and_nonce(other), same[at], "{at}");
        }
    }
}

#[tokio::test]
async fn hedged_values_of_one_process_never_share_a_nonce() {
    let keys = keys().await;
    let sealer = Sealer::builder(keys.clone()).threads(NonZeroUsize::new(3).unwrap()).build().hedged();
    let sealer = sealer.for_scope(&Scope::group("g")).await.unwrap();
    // The same message in the same place, so that only the randomness can tell them apart.
    let mut sealed: Vec<_> = (0..100).map(|_| sealer.seal("x", &PLACE).unwrap()).collect();
    sealed.extend(sealer.seal_many(&[const { ("x", PLACE) }; 2000]).unwrap());
    let nonces: BTreeSet<_> = sealed.iter().map(|sealed| salt_and_nonce(sealed.as_bytes())).collect();
    assert_eq!(nonces.len(), 2100);
    let opener = Opener::builder(keys).build().for_scope(&Scope::group("g")).await.unwrap();
    for sealed in &sealed {
        assert_eq!(opener.open(sealed, &PLACE).unwrap().expose(), "x");
    }
}

/// What [`Sealer::hedged`] is for: the test above would notice.
#[tokio::test]
async fn without_hedging_replayed_randomness_repeats_nonces() {
    let sealer = replaying(Sealer::builder(keys().await).build()).await;
    sealer.seal("before", &PLACE).unwrap();
    let child = in_a_duplicate(|| sealer.seal("12346", &PLACE).unwrap().into_bytes());
    let parent = sealer.seal("12345", &PLACE).unwrap().into_bytes();
    assert_eq!(salt_and_nonce(&child), salt_and_nonce(&parent));
    assert_ne!(child, parent);
}

#[tokio::test]
async fn threads_seal_what_one_thread_would() {
    let keys = keys().await;
    let values: Vec<String> = (0..3000).map(|i| "v".repeat(i % 90)).collect();
    let items: Vec<_> =
        (0_u64..).zip(&values).map(|(id, value)| (value, Context::new("P", "f").record_id(id))).collect();
    for hedged in [false, true] {
        let mut sealed = Vec::new();
        for threads in [1, 2, 5] {
            let sealer = Sealer::builder(keys.clone()).threads(NonZeroUsize::new(threads).unwrap()).build();
            let sealer = replaying(if hedged { sealer.hedged() } else { sealer }).await;
            sealed.push(sealer.seal_many(&items).unwrap());
        }
        assert!(sealed.iter().all(|batch| *batch == sealed[0]), "hedged {hedged}");
    }
}

#[tokio::test]
async fn a_batch_shares_buffers_and_long_values_have_their_own() {
    let sealer = sealer(LIMITS).await;
    let values: Vec<Vec<u8>> = [64, 64, 5000, 64, 4 << 10, 10, 200_000, 0]
        .into_iter()
        .chain([1000; 200])
        .enumerate()
        .map(|(i, length)| vec![u8::try_from(i).unwrap(); length])
        .collect();
    let items: Vec<_> = values.iter().map(|value| (value, PLACE)).collect();
    let sealed = sealer.seal_many(&items).unwrap();
    let opener = Opener::builder(sealer.0.shared.keys.clone()).build().for_scope(&Scope::group("g")).await.unwrap();
    for (sealed, value) in sealed.iter().zip(&values) {
        assert_eq!(sealed.as_bytes().len(), value.len() + 57);
        assert_eq!(opener.open(sealed, &PLACE).unwrap().expose(), value);
        assert_eq!(sealed.clone().into_bytes(), sealed.as_bytes());
    }
    let counted = allocation_counter::measure(|| drop(sealer.seal_many(&items).unwrap()));
    // Three lists, six long or lonely values, and a buffer with its count for every 62 of the others.
    assert!(counted.count_total < 25, "{}", counted.count_total);
}

/// A failure of the cipher is not taken for a value that is too long, which would send its reader looking for one.
#[test]
fn what_the_cipher_says_is_passed_on() {
    use phi_keys::backend::NotApproved;

    let chosen = NotApproved::ChosenNonce;
    for (said, passed_on) in [
        (f1::SealError::TooLong, SealError::TooLarge),
        (f1::SealError::NotApproved(chosen), SealError::NotApproved(chosen)),
        (f1::SealError::Cipher, SealError::Cipher),
        (f1::SealError::NoNonce, SealError::Cipher),
    ] {
        assert_eq!(SealError::from(said), passed_on);
    }
    assert_eq!(SealError::NotApproved(chosen).to_string(), chosen.to_string(), "the mend is in the message");
}
