//! A certificate of destruction that somebody else has written.

use core::time::Duration;

use phi_keys::{Certificate, EphemeralKeyring, Keys, MemoryKeyStore, PublicKey, Scope, Signer};
use phi_types::SubjectId;

use crate::input::Input;

struct World {
    text: String,
    signer: PublicKey,
}

fn world() -> World {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let kek = EphemeralKeyring::generate().expect("randomness");
        let keys = Keys::builder(MemoryKeyStore::new()).kek(kek).build().await.expect("an empty store");
        let subject = SubjectId::new("fuzz").expect("a short name");
        keys.data_key(&Scope::subject(&subject)).await.expect("a data key");
        let shredded = keys.shred(&subject).await.expect("a subject");
        let signer = keys.signer("fuzz").await.expect("an audit key");
        let certificate =
            keys.certify(&shredded, Duration::from_secs(86_400), &signer).await.expect("a signer in memory");
        World { text: certificate.text().to_owned(), signer: signer.public_key() }
    })
}

/// Text as a certificate: only what was signed is one, to the byte.
pub(crate) fn certificate(input: &[u8]) {
    thread_local!(static WORLD: World = world());
    WORLD.with(|world| {
        check(world, input);

        let mut input = Input::new(input);
        let mut bytes = world.text.clone().into_bytes();
        let at = usize::from(u16::from_be_bytes(input.array())) % bytes.len();
        let removed = usize::from(input.byte()) % 80;
        // A few bytes in the place of others: also whole lines that come twice, are missing or are moved.
        let end = at.saturating_add(removed).min(bytes.len());
        let copied = usize::from(u16::from_be_bytes(input.array())) % bytes.len();
        let length = usize::from(input.byte()) % 80;
        let copy = bytes[copied..copied.saturating_add(length).min(bytes.len())].to_vec();
        bytes.splice(at..end, copy.into_iter().chain(input.rest().iter().copied()));
        check(world, &bytes);
    });
}

fn check(world: &World, bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    if let Ok(certificate) = Certificate::verify(text, &world.signer) {
        assert_eq!((text, certificate.text()), (world.text.as_str(), world.text.as_str()));
    }
}
