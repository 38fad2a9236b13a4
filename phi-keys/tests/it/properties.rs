//! What holds for every input.

use phi_keys::{Binding, Wrapped, f1};
use proptest::prelude::*;

proptest! {
    #[test]
    fn what_is_read_as_wrapped_is_written_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(wrapped) = Wrapped::from_bytes(&bytes) {
            prop_assert_eq!(wrapped.to_bytes(), bytes);
        }
    }

    #[test]
    fn every_carrier_survives_its_bytes(id in ".{0,40}", named in (".{0,9}", ".{0,9}"), native: bool, blob: Vec<u8>) {
        let binding = if native { Binding::Native } else { Binding::Derivation };
        let (version, algorithm) = named;
        let wrapped = Wrapped::new(id, version, binding, blob).unwrap().with_algorithm(algorithm).unwrap();
        prop_assert_eq!(Wrapped::from_bytes(&wrapped.to_bytes()).unwrap(), wrapped);
    }

    #[test]
    fn a_text_stands_for_one_value_and_a_value_for_one_text(text in "phi1\\.[A-Za-z0-9_-]{0,90}") {
        if let Ok(bytes) = f1::from_text(&text) {
            prop_assert_eq!(f1::to_text(&bytes), text);
        }
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes: Vec<u8>) {
        if let Ok(parts) = f1::parse(&bytes) {
            prop_assert_eq!(parts.plaintext_len() + f1::OVERHEAD, bytes.len());
        }
    }
}

#[cfg(feature = "sqlite")]
mod stores {
    use phi_keys::{Change, FullId, KeyRow, KeyState, KeyStore, KeyUse, MemoryKeyStore, RowKind, Slot, SqliteKeyStore};
    use phi_types::Timestamp;
    use proptest::prelude::*;

    /// Few places and few ids, so that collisions are common.
    fn row() -> impl Strategy<Value = KeyRow> {
        (0..4_usize, 0..2_u8, 0..3_u8, 0..3_u32, any::<bool>(), 0..3_u8).prop_map(
            |(kind, tenant, scope, version, fresh, mac)| {
                let kind = RowKind::ALL[kind];
                let scope = (scope > 0).then_some([scope; 32]);
                let slot = Slot::new(format!("tenant {tenant}"), KeyUse::Data, scope);
                let id = if fresh { [u8::try_from(version).unwrap() * 16 + tenant * 4 + mac; 32] } else { [7; 32] };
                let id = kind.has_key().then_some(FullId::from_bytes(id));
                KeyRow::new(
                    kind,
                    slot,
                    version,
                    id,
                    None,
                    KeyState::Active,
                    Timestamp::UNIX_EPOCH,
                    vec![mac; 9],
                    [mac; 32],
                )
            },
        )
    }

    fn change() -> impl Strategy<Value = Change> {
        let inserts = proptest::collection::vec(row(), 0..3);
        // What is replaced has the place of what replaces it, and perhaps its MAC.
        let replaced = proptest::option::of((row(), 0..3_u8));
        (inserts, replaced, proptest::option::of(row())).prop_map(|(inserts, replaced, tombstone)| {
            let mut change = inserts.into_iter().fold(Change::new(), Change::insert);
            if let Some((next, mac)) = replaced.filter(|(next, _)| !next.kind.has_key()) {
                let mut current = next.clone();
                current.mac = [mac; 32];
                change = change.replace(current, next);
            }
            if let Some(mut tombstone) = tombstone {
                // Two of three name every key that there can be.
                let names = if tombstone.version == 2 { 8 } else { 48 };
                tombstone.wrapped = (0..names).flat_map(|id| [id; 32]).collect();
                (tombstone.kind, tombstone.version, tombstone.full_id) = (RowKind::Tombstone, 0, None);
                change = change.shred(tombstone);
            }
            change
        })
    }

    async fn compare(changes: Vec<Change>) {
        crate::component::used("sqlite");
        let memory = MemoryKeyStore::new();
        let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
        let sqlite = SqliteKeyStore::new(pool);
        sqlite.prepare().await.unwrap();
        for change in &changes {
            assert_eq!(memory.commit(change).await.unwrap(), sqlite.commit(change).await.unwrap(), "{change:?}");
            for tenant in 0..2 {
                for scope in [None, Some([1; 32]), Some([2; 32])] {
                    let slot = Slot::new(format!("tenant {tenant}"), KeyUse::Data, scope);
                    assert_eq!(memory.slot(&slot).await.unwrap(), sqlite.slot(&slot).await.unwrap(), "{change:?}");
                }
            }
            for id in 0..48 {
                let kid = FullId::from_bytes([id; 32]).kid();
                assert_eq!(memory.by_kid(kid).await.unwrap(), sqlite.by_kid(kid).await.unwrap(), "{change:?}");
            }
        }
        assert_eq!(memory.domain_rows().await.unwrap().len(), sqlite.domain_rows().await.unwrap().len());
    }

    #[tokio::test]
    async fn the_stores_agree_on_a_tombstone_and_a_key_in_one_change() {
        let slot = Slot::new("tenant 0", KeyUse::Data, Some([1; 32]));
        let row = |kind, version, id: Option<u8>| {
            let id = id.map(|id| FullId::from_bytes([id; 32]));
            KeyRow::new(
                kind,
                slot.clone(),
                version,
                id,
                None,
                KeyState::Active,
                Timestamp::UNIX_EPOCH,
                vec![9],
                [9; 32],
            )
        };
        let (tombstone, key) = (row(RowKind::Tombstone, 0, None), row(RowKind::Data, 1, Some(1)));
        compare(vec![Change::new().insert(tombstone.clone()).insert(key.clone())]).await;
        compare(vec![Change::new().insert(key).insert(tombstone)]).await;
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_stores_agree_on_every_change(changes in proptest::collection::vec(change(), 1..12)) {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(compare(changes));
        }
    }
}
