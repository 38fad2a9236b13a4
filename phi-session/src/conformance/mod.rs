//! What every [`SessionStore`] has to pass, ours and yours.
//!
//! ```
//! use std::sync::Arc;
//! use phi_session::{MemorySessionStore, SessionStore, conformance};
//!
//! # fn main() {
//! # tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap().block_on(async {
//! conformance::run(|| async { Arc::new(MemorySessionStore::new()) as Arc<dyn SessionStore> }).await;
//! # });
//! # }
//! ```

#![expect(clippy::panic, reason = "a conformance suite reports by panicking")]

mod races;
mod rules;

use core::future::Future;
use core::time::Duration;
use std::sync::Arc;

use phi_types::{Actor, Timestamp};

use crate::{
    Aal, AuthEvent, EndReason, Method, PublicId, Row, SessionStore, Stamp, StoreError, Stored, TokenHash, Tombstone,
};

/// Runs every check on a fresh store each, on the caller's tokio runtime, which needs several threads for the races to
/// be races.
///
/// # Panics
/// With the name of the rule that the store breaks.
pub async fn run<F, S>(make: F)
where
    F: Fn() -> S + Sync,
    S: Future<Output = Arc<dyn SessionStore>> + Send,
{
    rules::a_session_is_loaded_as_it_was_created(&*make().await).await;
    rules::create_only_inserts(&*make().await).await;
    rules::touch_only_moves_forward(&*make().await).await;
    rules::deadlines_are_exclusive(&*make().await).await;
    rules::an_end_is_final(&*make().await).await;
    rules::an_end_reaches_whom_it_names(&*make().await).await;
    rules::a_rotation_replaces_the_token(&*make().await).await;
    rules::the_limit_evicts_the_oldest(&*make().await).await;
    rules::a_list_is_in_order_and_live(&*make().await).await;
    rules::a_sweep_reports_each_end_until_confirmed(&*make().await).await;
    rules::a_sweep_takes_no_more_than_asked(&*make().await).await;
    races::no_interleaving_resurrects(make().await).await;
    races::two_rotations_have_one_winner(make().await).await;
    races::an_end_is_returned_once(make().await).await;
    races::parallel_logins_respect_the_limit(make().await).await;
    races::touches_commute(make().await).await;
}

const START: i64 = 1_767_225_600;

/// `seconds` after the suite's beginning.
fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(START).saturating_add(Duration::from_secs(seconds))
}

/// A session of `user` number `n`, begun at second `created`, idle after 900 seconds, over after 3,600.
fn row(n: u8, user: &str, created: u64) -> Arc<Row> {
    let Ok(user) = Actor::human(user) else { panic!("the suite names users well") };
    Arc::new(Row {
        public_id: PublicId::from_bytes([n; 16]),
        token_hash: hash(n, 1),
        user,
        tenant: Some(String::new()),
        role: (n.is_multiple_of(2)).then(|| "nurse".to_owned()),
        created: at(created),
        absolute_deadline: at(created + 3_600),
        auth: vec![AuthEvent::new(Aal::Two, Method::Totp, at(created))],
        grant: None,
        version: 1,
        mac: [n; 32],
    })
}

/// The token hash of session `n` in version `version`.
fn hash(n: u8, version: u8) -> TokenHash {
    let mut bytes = [n; 32];
    let [first, ..] = &mut bytes;
    *first = version;
    TokenHash::from_bytes(bytes)
}

/// The row after a rotation.
fn rotated(row: &Row, hash: TokenHash) -> Arc<Row> {
    Arc::new(Row {
        token_hash: hash,
        version: row.version + 1,
        role: Some("physician".to_owned()),
        mac: [0xaa; 32],
        ..row.clone()
    })
}

fn stamp(last: u64) -> Stamp {
    Stamp { last_activity: at(last), idle_deadline: at(last + 900), mac: [7; 32] }
}

fn tombstone(reason: EndReason, seconds: u64) -> Tombstone {
    Tombstone::new(reason, at(seconds))
}

/// What the suite was promised, or the rule that was broken.
fn ok<T>(rule: &str, result: Result<T, StoreError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{rule}: the store failed: {error} ({error:?})"),
    }
}

async fn create(store: &dyn SessionStore, row: &Arc<Row>) -> Vec<Stored> {
    let stamp = Stamp { last_activity: row.created, ..stamp(0) };
    let stamp = Stamp { idle_deadline: row.created.saturating_add(Duration::from_secs(900)), ..stamp };
    let evicted = Tombstone::new(EndReason::Evicted, row.created);
    ok("create", store.create(Arc::clone(row), stamp, row.created, None, evicted).await)
}

async fn load(store: &dyn SessionStore, hash: TokenHash) -> Option<Stored> {
    let loaded = ok("load", store.load(hash).await);
    if let Some(now) = store.load_now(&hash) {
        assert_eq!(now, loaded, "load_now says what load says");
    }
    loaded
}

async fn reason(store: &dyn SessionStore, hash: TokenHash) -> Option<EndReason> {
    load(store, hash).await?.ended.map(|tombstone| tombstone.reason)
}
