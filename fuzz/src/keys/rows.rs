//! A key store whose writer is the attacker: one row is changed in one column, exchanged with another, put in the place of
//! another, given the wrapped key of another, or left out. An old copy of a row is not put back: that takes an anchor to see,
//! and is tested in `phi-keys/tests/it/anchor.rs`.

use std::cell::OnceCell;
use std::num::NonZeroU32;
use std::sync::Arc;

use phi_keys::derive::Label;
use phi_keys::{
    Change, Committed, DataKey, EphemeralKeyring, Fingerprint, FullId, KeyId, KeyRow, KeyState, KeyStore, KeyUse, Keys,
    MemoryKeyStore,
};
use phi_keys::{RowKind, Scope, Slot};
use phi_types::{SubjectId, Timestamp};
use tokio::runtime::{Builder, Runtime};

use crate::input::Input;

/// A small honest store, made once for each thread: two groups with keys, of which the one has a rotated one as well, and a
/// subject that was shredded. So each of the fields that not every row has stands in one.
struct World {
    runtime: Runtime,
    kek: Arc<EphemeralKeyring>,
    fingerprint: Fingerprint,
    rows: Vec<KeyRow>,
    /// The keys of the one group, the rotated one first.
    keys: [(KeyId, [u8; 32]); 2],
    /// The key of the other group.
    other: KeyId,
}

const TENANT: &str = "clinic";

fn scope() -> Scope {
    Scope::group("fuzz")
}

fn shredded() -> SubjectId {
    SubjectId::new("shredded").expect("a subject")
}

fn secret(key: &DataKey) -> [u8; 32] {
    *key.derive(Label::FIELD, b"").expect("a live key")
}

fn world() -> World {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let kek = Arc::new(EphemeralKeyring::generate().expect("randomness"));
    let store = Arc::new(MemoryKeyStore::new());
    let (fingerprint, rows, keys, other) = runtime.block_on(async {
        let keys = Keys::builder(store.clone()).kek(kek.clone()).tenant(TENANT).build().await.expect("an empty store");
        let known = |key: DataKey| (key.kid(), secret(&key));
        let first = known(keys.data_key(&scope()).await.expect("a data key"));
        let other = keys.data_key(&Scope::group("other")).await.expect("a data key").kid();
        keys.data_key(&Scope::subject(&shredded())).await.expect("a data key");
        let _ = keys.shred(&shredded()).await.expect("a shred");
        let _ = keys.rotate_data_key(&scope()).await.expect("a rotation");
        let second = known(keys.data_key(&scope()).await.expect("a data key"));
        assert_ne!(first, second);

        let mut rows = store.slot(&Slot::root()).await.expect("memory");
        let others = store.domain_rows().await.expect("memory").into_iter().filter(|row| row.slot != Slot::root());
        rows.extend(others);
        rows.extend(store.data_rows(TENANT, None, NonZeroU32::MAX).await.expect("memory"));
        rows.extend(store.tombstones().await.expect("memory"));
        (keys.fingerprint(), rows, [first, second], other)
    });
    assert_eq!(rows.len(), 7, "as the seeds count them");
    let has = |field: fn(&KeyRow) -> bool| rows.iter().any(field);
    assert!(has(|row| row.since.is_some()) && has(|row| row.position.is_some()) && has(|row| row.revision > 0));
    assert!(
        rows.iter().filter(|row| row.kind == RowKind::Data).count() == 3 && has(|row| row.kind == RowKind::Tombstone)
    );
    World { runtime, kek, fingerprint, rows, keys, other }
}

/// Whatever a store's writer does to one row, no other key is ever handed out in place of the one that sealed, no key to a
/// scope that it does not belong to, and none to a subject that was shredded.
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
    let mut taken = Vec::new();
    for row in rows {
        // What has the place or the kid of another row no database takes.
        if store.commit(&Change::new().insert(row.clone())).await.expect("memory") == Committed::Done {
            taken.push(row);
        }
    }
    // A new key is made for a scope that seems to have none.
    let data = world.rows.iter().filter(|row| row.kind == RowKind::Data);
    let all_there = data.into_iter().all(|row| taken.iter().any(|taken| taken.same_place(row)));
    let keys = Keys::builder(store).kek(world.kek.clone()).tenant(TENANT).fingerprint(world.fingerprint);
    let Ok(keys) = keys.build().await else { return };
    for (kid, expected) in &world.keys {
        if let Ok(key) = keys.data_key_by_id(*kid, &scope()).await {
            assert_eq!(secret(&key), *expected);
        }
    }
    assert!(keys.data_key_by_id(world.other, &scope()).await.is_err(), "the key of another group");
    if let Ok(key) = keys.data_key(&scope()).await {
        let known = world.keys.iter().find(|(kid, _)| *kid == key.kid());
        assert!(known.is_some_and(|(_, expected)| secret(&key) == *expected) || known.is_none() && !all_there);
    }
    assert!(keys.data_key(&Scope::subject(&shredded())).await.is_err(), "a key for who was shredded");
}

fn tamper(rows: &mut Vec<KeyRow>, at: usize, column: u8, mut input: Input<'_>) {
    let pick = |byte: u8, count: usize| usize::from(byte) % count;
    let count = rows.len();
    let row = &mut rows[at];
    match column % 20 {
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
        11 => {
            let place = pick(input.byte(), row.mac.len());
            row.mac[place] ^= input.byte().max(1);
        }
        12 => {
            let since = Timestamp::from_unix_micros(i64::from_be_bytes(input.array()));
            row.since = row.since.is_none().then_some(since);
        }
        13 => {
            let position = u64::from_be_bytes(input.array());
            row.position = row.position.is_none().then_some(position);
        }
        14 => row.revision ^= u64::from_be_bytes(input.array()).max(1),
        15 => {
            // All of these fields at once, as the column holds them.
            let mut bare = row.clone();
            (bare.since, bare.position, bare.revision) = (None, None, 0);
            if let Ok(changed) = bare.with_more(input.rest()) {
                *row = changed;
            }
        }
        16 => {
            rows.remove(at);
        }
        17 => {
            let of = pick(input.byte(), count);
            rows[at].wrapped = rows[of].wrapped.clone();
        }
        18 => {
            // In the place of another row, which is gone.
            let to = pick(input.byte(), count);
            let mut moved = row.clone();
            moved.slot.clone_from(&rows[to].slot);
            moved.version = rows[to].version;
            rows[to] = moved;
            if at != to {
                rows.remove(at);
            }
        }
        _ => {
            let to = pick(input.byte(), count);
            let (one, other) = ((row.slot.clone(), row.version), (rows[to].slot.clone(), rows[to].version));
            (rows[to].slot, rows[to].version) = one;
            (rows[at].slot, rows[at].version) = other;
        }
    }
}
