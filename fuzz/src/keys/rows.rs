//! A key store whose writer is the attacker: one row is changed in one column, copied or left out.

use std::cell::OnceCell;
use std::sync::Arc;

use phi_keys::derive::Label;
use phi_keys::{
    Change, EphemeralKeyring, Fingerprint, FullId, KeyId, KeyRow, KeyState, KeyStore, KeyUse, Keys, MemoryKeyStore,
};
use phi_keys::{RowKind, Scope, Slot};
use phi_types::Timestamp;
use tokio::runtime::{Builder, Runtime};

use crate::input::Input;

/// A small honest store, made once for each thread.
struct World {
    runtime: Runtime,
    kek: Arc<EphemeralKeyring>,
    fingerprint: Fingerprint,
    rows: Vec<KeyRow>,
    kid: KeyId,
    secret: [u8; 32],
}

const TENANT: &str = "clinic";

fn scope() -> Scope {
    Scope::group("fuzz")
}

fn world() -> World {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let kek = Arc::new(EphemeralKeyring::generate().expect("randomness"));
    let store = Arc::new(MemoryKeyStore::new());
    let (fingerprint, rows, kid, secret) = runtime.block_on(async {
        let keys = Keys::builder(store.clone()).kek(kek.clone()).tenant(TENANT).build().await.expect("an empty store");
        let key = keys.data_key(&scope()).await.expect("a data key");
        let data = store.by_kid(key.kid()).await.expect("memory").expect("the row of the key");
        let mut rows = store.slot(&Slot::root()).await.expect("memory");
        let others = store.domain_rows().await.expect("memory").into_iter().filter(|row| row.slot != Slot::root());
        rows.extend(others);
        rows.push(data);
        let secret = *key.derive(Label::FIELD, b"").expect("a live key");
        (keys.fingerprint(), rows, key.kid(), secret)
    });
    World { runtime, kek, fingerprint, rows, kid, secret }
}

/// Whatever a store's writer does to one row, no other key is ever handed out in place of the one that sealed.
pub(crate) fn tampered_row(input: &[u8]) {
    thread_local!(static WORLD: OnceCell<World> = const { OnceCell::new() });
    WORLD.with(|world_cell| {
        let world = world_cell.get_or_init(world);
        let mut input = Input::new(input);
        let mut rows = world.rows.clone();
        let at = usize::from(input.byte()) % rows.len();
        let column = input.byte();
        tamper(&mut rows, at, column, input);
        world.runtime.block_on(open(world, &rows));
    });
}

async fn open(world: &World, rows: &[KeyRow]) {
    let store = MemoryKeyStore::new();
    let change = rows.iter().cloned().fold(Change::new(), Change::insert);
    store.commit(&change).await.expect("memory");
    let keys = Keys::builder(store).kek(world.kek.clone()).tenant(TENANT).fingerprint(world.fingerprint);
    let Ok(keys) = keys.build().await else { return };
    if let Ok(key) = keys.data_key_by_id(world.kid, &scope()).await {
        assert_eq!(*key.derive(Label::FIELD, b"").expect("a live key"), world.secret);
    }
}

fn tamper(rows: &mut [KeyRow], at: usize, column: u8, mut input: Input<'_>) {
    let row = &mut rows[at];
    let pick = |byte: u8, count: usize| usize::from(byte) % count;
    match column % 12 {
        0 => row.kind = RowKind::ALL[pick(input.byte(), RowKind::ALL.len())],
        1 => row.slot.tenant = String::from_utf8_lossy(input.rest()).into_owned(),
        2 => row.slot.key_use = KeyUse::ALL[pick(input.byte(), KeyUse::ALL.len())],
        3 => row.slot.scope = Some(input.array()),
        4 => row.version = u32::from_be_bytes(input.array()),
        5 => row.full_id = Some(FullId::from_bytes(input.array())),
        6 => row.parent = Some(FullId::from_bytes(input.array())),
        7 => row.state = KeyState::ALL[pick(input.byte(), KeyState::ALL.len())],
        8 => row.created = Timestamp::from_unix_micros(i64::from_be_bytes(input.array())),
        9 => row.wrapped = input.rest().to_vec(),
        10 => {
            // A change anywhere inside the wrapped key, which replacing it as a whole would hardly ever reach.
            let place = pick(input.byte(), row.wrapped.len().max(1));
            if let Some(byte) = row.wrapped.get_mut(place) {
                *byte ^= input.byte().max(1);
            }
        }
        _ => {
            let place = pick(input.byte(), row.mac.len());
            row.mac[place] ^= input.byte().max(1);
        }
    }
}
