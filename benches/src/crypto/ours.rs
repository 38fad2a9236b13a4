//! phi-crypto as an application uses it: a context is built for every value, and what comes out can be stored as it is.

use phi_crypto::{BlindIndex, Context, Opener, ScopedOpener, ScopedSealer, Sealed, Sealer, Transform};
use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore, Scope};
use phi_types::SubjectId;
use std::time::Duration;

use crate::Result;
use crate::measure::Contender;

pub(crate) const NAME: &str = "phi-crypto";
pub(crate) const MANY: &str = "phi-crypto seal_many";
pub(crate) const PAGES_NAME: &str = "phi-crypto seal_many of 1,000";
pub(crate) const NOTES: &str =
    "binds tenant, type, field, record, patient; commits to its key by the kid, streams; random nonce";

pub(crate) const PATIENT: &str = "22d6efc6-9f1c-4b0e-8a55-0c6f2a7d1e90";

/// Values that one `seal_many` takes: a page of rows.
const PAGE: u32 = 100;
/// Many pages: the system's allocator then maps and returns the memory of what was sealed each time, which can take as long
/// as sealing.
const PAGES: u32 = 1000;

/// One patient's sealer and opener, and the index of one field.
pub(crate) struct Ours {
    sealer: ScopedSealer,
    opener: ScopedOpener,
    index: BlindIndex,
}

impl Ours {
    pub(crate) fn new() -> Result<Self> {
        tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
            let kek = EphemeralKeyring::generate()?;
            // The longest lease: renewing it is asynchronous and no part of what is measured here.
            let keys = Keys::builder(MemoryKeyStore::new()).kek(kek).tenant("clinic").lease(Duration::from_secs(3600));
            let keys = keys.build().await?;
            let scope = Scope::from(SubjectId::new(PATIENT)?);
            let sealer = Sealer::builder(keys.clone()).build().for_scope(&scope).await?;
            let opener = Opener::builder(keys.clone()).build().for_scope(&scope).await?;
            let index = BlindIndex::exact("Patient", "ssn", "by_ssn", Transform::Digits).open(&keys).await?;
            Ok(Self { sealer, opener, index })
        })
    }

    pub(crate) const fn handles(&self) -> (&ScopedSealer, &ScopedOpener) {
        (&self.sealer, &self.opener)
    }

    /// Bytes that a stored value has beyond its plaintext.
    pub(crate) fn overhead(&self) -> f64 {
        self.sealed(64).as_bytes().len() as f64 - 64.0
    }

    /// What is the same for the same plaintext under the same key and nonce, and for no others.
    pub(crate) fn cipher_bytes(&self, length: usize) -> Vec<u8> {
        self.sealed(length).into_bytes()
    }

    pub(crate) fn seal(&self, length: usize) -> Contender<'_> {
        let plaintext = vec![7; length];
        Contender::new(NAME, crate::version(NAME), NOTES, move || {
            self.sealer.seal(&plaintext, &context(7431)).expect("a live lease").into_bytes()
        })
    }

    pub(crate) fn seal_many(&self, length: usize) -> Contender<'_> {
        let notes = "as phi-crypto, 100 values of one patient in one call, one random start; contexts are made in it";
        self.batch(length, MANY, PAGE, notes)
    }

    pub(crate) fn seal_pages(&self, length: usize) -> Contender<'_> {
        self.batch(length, PAGES_NAME, PAGES, "as seal_many, with the mapping of memory by the system's allocator")
    }

    fn batch(&self, length: usize, name: &'static str, values: u32, notes: &'static str) -> Contender<'_> {
        let plaintext = vec![7; length];
        let contender = Contender::new(name, crate::version(NAME), notes, move || {
            let items: Vec<_> = (0..values).map(|id| (&plaintext, context(id))).collect();
            self.sealer.seal_many(&items).expect("a live lease")
        });
        contender.items(values)
    }

    pub(crate) fn open(&self, length: usize) -> Contender<'_> {
        let sealed = self.sealed(length);
        Contender::new(NAME, crate::version(NAME), NOTES, move || {
            self.opener.open(&sealed, &context(7431)).expect("what was sealed opens")
        })
    }

    pub(crate) fn tag(&self, value: &'static str) -> Contender<'_> {
        let notes = "keyed for tenant, type, field and index; digits transform";
        Contender::new(NAME, crate::version(NAME), notes, move || {
            self.index.tag(std::hint::black_box(value)).expect("a live lease")
        })
    }

    fn sealed(&self, length: usize) -> Sealed<Vec<u8>> {
        self.sealer.seal(&vec![7; length], &context(7431)).expect("a live lease")
    }
}

fn context(record: u32) -> Context<'static> {
    Context::new("Patient", "name").record_id(u64::from(record))
}

/// The bytes that are bound at that place, for peers that bind some.
pub(crate) fn aad() -> Result<Vec<u8>> {
    let patient = SubjectId::new(PATIENT)?;
    Ok(context(7431).tenant("clinic").subject(&patient).to_aad()?)
}
