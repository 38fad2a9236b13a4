//! phi-crypto: what columns give back, and the contexts that values are bound to.

use phi_crypto::{Context, Opener, ScopedOpener, ScopedSealer, Sealed, Sealer};
use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore, Scope};
use tokio::runtime::Builder;

use crate::input::Input;

struct World {
    sealer: ScopedSealer,
    opener: ScopedOpener,
}

fn world() -> World {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let kek = EphemeralKeyring::generate().expect("randomness");
        let keys = Keys::builder(MemoryKeyStore::new()).kek(kek).build().await.expect("an empty store");
        let scope = Scope::group("fuzz");
        let sealer = Sealer::builder(keys.clone()).build().for_scope(&scope).await.expect("a key");
        let opener = Opener::builder(keys).build().for_scope(&scope).await.expect("a key");
        World { sealer, opener }
    })
}

/// A column that somebody else wrote: it is refused, whether it comes as bytes, as text, or as one of our own values with
/// one byte changed, cut or in another place.
pub(crate) fn open(input: &[u8]) {
    let World { sealer, opener } = world_for_this_lease();
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

/// Handles die with their lease: a fuzzer that runs for longer makes new ones.
fn world_for_this_lease() -> World {
    use std::cell::RefCell;

    thread_local!(static WORLD: RefCell<Option<World>> = const { RefCell::new(None) });
    WORLD.with_borrow_mut(|held| {
        let live = held.take().filter(|world| world.sealer.is_live()).unwrap_or_else(world);
        let handles = World { sealer: live.sealer.clone(), opener: live.opener.clone() };
        *held = Some(live);
        handles
    })
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
