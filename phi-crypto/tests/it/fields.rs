//! What is sealed opens in its place, in every form.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};

use phi_crypto::{Context, Opened, Opener, Sealed, Sealer, Suite};
use phi_keys::Scope;
use phi_keys::f1::OVERHEAD;
use phi_types::Phi;
use proptest::prelude::*;

use crate::support::{Clinic, nonce_of, number, salt_of, scope, subject};

const NAME: Context<'static> = Context::new("Patient", "name").without_record();

#[tokio::test]
async fn text_and_bytes_come_back_as_they_were() {
    let clinic = Clinic::new().await;
    let (sealer, opener) = (clinic.sealer("ada").await, clinic.opener("ada").await);

    let text: Sealed<String> = sealer.seal("Zoë 林", &NAME).unwrap();
    let name: Phi<String> = opener.open(&text, &NAME).unwrap();
    assert_eq!(name.expose(), "Zoë 林");

    let bytes: Sealed<Vec<u8>> = sealer.seal(&[0_u8, 255], &NAME).unwrap();
    assert_eq!(opener.open(&bytes, &NAME).unwrap().expose(), &[0, 255]);

    let again: Sealed<String> = sealer.seal(&name, &NAME).unwrap();
    assert_eq!(opener.open(&again, &NAME).unwrap(), name);

    let empty = sealer.seal("", &NAME).unwrap();
    assert_eq!(empty.as_bytes().len(), OVERHEAD);
    assert_eq!(opener.open(&empty, &NAME).unwrap().expose(), "");
}

#[tokio::test]
async fn sealed_values_are_equal_when_their_bytes_are() {
    let sealer = Clinic::new().await.sealer("ada").await;
    let (one, other) = (sealer.seal("Zoë", &NAME).unwrap(), sealer.seal("Zoë", &NAME).unwrap());
    assert_eq!(one, Sealed::from_bytes(one.as_bytes().to_vec()).unwrap());
    assert_ne!(one, other);
    assert_eq!(one.as_ref(), one.as_bytes());
    let hash = |sealed: &Sealed<String>| BuildHasherDefault::<DefaultHasher>::default().hash_one(sealed);
    assert_eq!(hash(&one), hash(&one.clone()));
    assert_ne!(hash(&one), hash(&other));
}

#[tokio::test]
async fn a_field_is_57_bytes_longer_than_its_plaintext() {
    let clinic = Clinic::new().await;
    let sealer = clinic.sealer("ada").await;
    for length in [0, 1, 16, 64, 4096] {
        assert_eq!(sealer.seal(&vec![7; length], &NAME).unwrap().as_bytes().len(), length + 57);
    }
}

#[tokio::test]
async fn both_suites_open_whatever_is_configured() {
    let clinic = Clinic::new().await;
    let opener = clinic.opener.clone();
    for (suite, byte) in [(Suite::Aes256Gcm, 1), (Suite::ChaCha20Poly1305, 2)] {
        let sealer = Sealer::builder(clinic.keys.clone()).suite(suite).build();
        let sealed = sealer.for_scope(&scope("ada")).await.unwrap().seal("Ada", &NAME).unwrap();
        assert_eq!(sealed.as_bytes()[0], byte);
        let opener = opener.for_scope(&scope("ada")).await.unwrap();
        assert_eq!(opener.open(&sealed, &NAME).unwrap().expose(), "Ada");
    }
}

#[tokio::test]
async fn the_into_forms_append_and_agree_with_the_others() {
    let clinic = Clinic::new().await;
    let (sealer, opener) = (clinic.sealer("ada").await, clinic.opener("ada").await);
    let mut stored = b"before".to_vec();
    sealer.seal_into(b"Ada", &NAME, &mut stored).unwrap();
    let sealed = Sealed::<String>::from_bytes(stored[6..].to_vec()).unwrap();
    assert_eq!(opener.open(&sealed, &NAME).unwrap().expose(), "Ada");

    let mut plain = b"before".to_vec();
    assert_eq!(opener.open_into(sealed.as_bytes(), &NAME, &mut plain).unwrap().expose(), b"Ada");
    assert_eq!(plain, b"beforeAda");
}

#[tokio::test]
async fn a_group_has_a_key_of_its_own_and_may_name_any_subject() {
    let clinic = Clinic::new().await;
    let ward = Scope::group("ward-7");
    let sealer = clinic.sealer.for_scope(&ward).await.unwrap();
    let opener = clinic.opener.for_scope(&ward).await.unwrap();
    let (ada, grace) = (subject("ada"), subject("grace"));
    let sealed = sealer.seal("note", &NAME.subject(&ada)).unwrap();
    assert_eq!(opener.open(&sealed, &NAME.subject(&ada)).unwrap().expose(), "note");
    assert!(opener.open(&sealed, &NAME.subject(&grace)).is_err());
    assert_ne!(sealer.kid(), clinic.sealer("ada").await.kid());
}

#[tokio::test]
async fn a_batch_counts_from_one_random_start() {
    let clinic = Clinic::new().await;
    let (sealer, opener) = (clinic.sealer("ada").await, clinic.opener("ada").await);
    let ids: Vec<String> = (0..300).map(|i| format!("row-{i}")).collect();
    let items: Vec<_> = ids.iter().map(|id| (id.as_str(), NAME.record_id(id))).collect();

    let batches = [sealer.seal_many(&items).unwrap(), sealer.seal_many(&items).unwrap()];
    for batch in &batches {
        let start = number(nonce_of(batch[0].as_bytes()));
        for (i, (sealed, (value, context))) in batch.iter().zip(&items).enumerate() {
            let expected = start.wrapping_add(u128::try_from(i).unwrap()) % (1 << 96);
            assert_eq!(number(nonce_of(sealed.as_bytes())), expected);
            assert_eq!(opener.open(sealed, context).unwrap().expose(), value);
        }
    }
    let nonces: BTreeSet<_> = batches.iter().flatten().map(|sealed| nonce_of(sealed.as_bytes())).collect();
    assert_eq!(nonces.len(), 600, "two batches start at random");
    assert!(sealer.seal_many::<&str>(&[]).unwrap().is_empty());
}

#[tokio::test]
async fn a_batch_is_sealed_whole_or_not_at_all() {
    let clinic = Clinic::new().await;
    let sealer = clinic.sealer("ada").await;
    let items = [("Ada", NAME), ("Ada", NAME.row_version(1).row_version(2))];
    assert!(sealer.seal_many(&items).is_err());
}

#[tokio::test]
async fn clones_and_threads_never_share_a_nonce() {
    const THREADS: usize = 8;
    const EACH: usize = 500;
    let clinic = Clinic::new().await;
    let sealer = clinic.sealer("ada").await;
    let barrier = Arc::new(Barrier::new(THREADS));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (sealer, barrier) = (sealer.clone(), Arc::clone(&barrier));
            std::thread::spawn(move || {
                barrier.wait();
                let seal = |_| sealer.seal("the same", &NAME).unwrap().into_bytes();
                (0..EACH).map(seal).collect::<Vec<_>>()
            })
        })
        .collect();
    let sealed: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let salts: BTreeSet<_> = sealed.iter().map(|bytes| salt_of(bytes)).collect();
    let nonces: BTreeSet<_> = sealed.iter().map(|bytes| nonce_of(bytes)).collect();
    assert_eq!((salts.len(), nonces.len()), (1, THREADS * EACH));
}

#[tokio::test]
async fn an_observer_that_panics_leaves_no_plaintext_behind() {
    let clinic = Clinic::new().await;
    let opener = Opener::builder(clinic.keys.clone()).observer(|_: &Opened<'_>| panic!("not recorded")).build();
    let sealed = clinic.sealer("ada").await.seal("Ada Lovelace", &NAME).unwrap();
    let opener = opener.for_scope(&scope("ada")).await.unwrap();
    let mut out = Vec::new();
    let open = AssertUnwindSafe(|| opener.open_into(sealed.as_bytes(), &NAME, &mut out).map(drop));
    assert!(catch_unwind(open).is_err());
    assert!(out.len() >= "Ada Lovelace".len() && out.iter().all(|byte| *byte == 0));

    let mut buffer = sealed.into_bytes();
    let open = AssertUnwindSafe(|| opener.open_in_place(&mut buffer, &NAME).map(drop));
    assert!(catch_unwind(open).is_err());
    assert!(buffer.len() == "Ada Lovelace".len() && buffer.iter().all(|byte| *byte == 0));
}

#[tokio::test]
async fn whoever_watches_is_told_of_each_opening_and_each_refusal() {
    #[derive(Default)]
    struct Counts {
        opened: AtomicU64,
        refused: AtomicU64,
    }
    struct Watch(Arc<Counts>);
    impl phi_crypto::OpenObserver for Watch {
        fn opened(&self, what: &Opened<'_>) {
            assert_eq!((what.record_type(), what.field()), ("Patient", "name"));
            assert_eq!(what.subject().map(|subject| subject.expose()), Some("ada"));
            self.0.opened.fetch_add(1, Ordering::SeqCst);
        }
        fn refused(&self, _: &Opened<'_>) {
            self.0.refused.fetch_add(1, Ordering::SeqCst);
        }
    }

    let clinic = Clinic::new().await;
    let counts = Arc::new(Counts::default());
    let opener = Opener::builder(clinic.keys.clone()).observer(Watch(Arc::clone(&counts))).build();
    let sealed = clinic.sealer("ada").await.seal("Ada", &NAME).unwrap();
    let opener = opener.for_scope(&scope("ada")).await.unwrap();
    opener.open(&sealed, &NAME).unwrap();
    opener.open(&sealed, &NAME).unwrap();
    opener.open(&sealed, &NAME.row_version(2)).unwrap_err();
    // What the cipher has not seen tells nothing of the value.
    opener.open_into(b"Ada Lovelace", &NAME, &mut Vec::new()).unwrap_err();
    opener.open(&sealed, &NAME.tenant("other")).unwrap_err();
    clinic.clock.advance(crate::support::LEASE);
    opener.open(&sealed, &NAME).unwrap_err();
    assert_eq!((counts.opened.load(Ordering::SeqCst), counts.refused.load(Ordering::SeqCst)), (2, 1));
}

#[tokio::test]
async fn an_opener_holds_every_key_of_its_scope_or_those_that_are_named() {
    let clinic = Clinic::new().await;
    let mut early = clinic.opener("ada").await;
    let sealed = clinic.sealer("ada").await.seal("Ada", &NAME).unwrap();
    assert!(early.open(&sealed, &NAME).is_err(), "the key did not exist when the opener was obtained");
    early.prefetch([sealed.kid()]).await.unwrap();
    early.open(&sealed, &NAME).unwrap();

    let named = clinic.opener.for_kids(&scope("ada"), [sealed.kid(), sealed.kid()]).await.unwrap();
    named.open(&sealed, &NAME).unwrap();
}

fn context<'a>(
    names: (&'static str, &'static str),
    id: Option<&'a str>,
    version: Option<u64>,
    pairs: &'a std::collections::BTreeMap<String, String>,
) -> Context<'a> {
    let mut context = Context::new(names.0, names.1).without_record();
    if let Some(id) = id {
        context = context.record_id(id);
    }
    if let Some(version) = version {
        context = context.row_version(version);
    }
    pairs.iter().fold(context, |context, (key, value)| context.pair(key, value))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn anything_sealed_opens_in_its_place_and_in_no_other(
        plaintext: Vec<u8>,
        ids in (proptest::option::of(".{0,40}"), proptest::option::of(".{0,40}")),
        versions: (Option<u64>, Option<u64>),
        pairs in (
            proptest::collection::btree_map(".{0,6}", ".{0,300}", 0..4),
            proptest::collection::btree_map(".{0,6}", ".{0,300}", 0..4),
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (sealer, opener) = runtime.block_on(async {
            let clinic = Clinic::new().await;
            (clinic.sealer("ada").await, clinic.opener("ada").await)
        });
        let mut sealed = Vec::new();
        let here = context(("Patient", "name"), ids.0.as_deref(), versions.0, &pairs.0);
        let there = context(("Patient", "name"), ids.1.as_deref(), versions.1, &pairs.1);
        sealer.seal_into(&plaintext, &here, &mut sealed).unwrap();
        let opened = |context: &Context<'_>| {
            opener.open_into(&sealed, context, &mut Vec::new()).map(|opened| opened.expose().to_vec()).ok()
        };
        prop_assert_eq!(opened(&here), Some(plaintext.clone()));
        prop_assert_eq!(opened(&there), (here == there).then_some(plaintext));
    }
}
