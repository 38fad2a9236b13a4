//! What this crate guarantees of every [`Kms`](crate::Kms), [`KeyStore`](crate::KeyStore), [`StoreAnchor`](crate::StoreAnchor),
//! [`Signer`](crate::Signer) and [`RevocationChannel`](crate::RevocationChannel), as functions that implementors run in their own
//! tests. The implementations of this crate run them too.
//!
//! | function | what it is given | what it shows |
//! |---|---|---|
//! | [`key_store`], [`key_store_shared`] | a store; two ways to one store | rows are kept, and written by insert-if-absent and compare-and-swap alone |
//! | [`key_store_later`] | a store, and what writes to it from outside | what only a later version knows is named as such |
//! | [`hierarchy`] | stores and a KEK | one root key, found again and pinned; tenants, uses and subjects apart; missing rows missed |
//! | [`rotation`] | stores and a KEK | domain and data keys rotated, by several at once; staged keys; two windows before a key is gone |
//! | [`kek_rotation`] | a store and a KEK with its administration | domain keys follow their KEK to its next version |
//! | [`shredding`] | stores and a KEK | tombstone there, wrapped bytes gone, caches emptied, no way back, repeatable, certified |
//! | [`forgeries`], [`attacks`] | stores and two KEKs | whoever can write the key tables gets no key, and what the store root key adds to that |
//! | [`store_faults`], [`store_story`] | stores | no write that fails, or is a process's last one, loses a key or brings one back |
//! | [`kms_faults`] | stores and a KEK | no call that fails or answers wrongly loses a key or has a wrong one used |
//! | [`kms`], [`kms_violations`] | a KEK | it wraps, binds, refuses, rewraps and says what it can do |
//! | [`kms_admin`], [`kms_admin_violations`] | a KEK of no other use | versions, switching off and on, scheduled destruction |
//! | [`kms_pair`] | two KEKs | each refuses the other's, one bridges the other's outage, and none its refusal |
//! | [`kms_cache`] | a KEK | of this crate's cache above a KEK that works: one call for a thousand tasks; refusals, outages, their grace and the poller |
//! | [`store_anchor`], [`store_anchor_shared`] | an anchor; two ways to one anchor | records are kept in order, those of several at once as well |
//! | [`rollback`] | stores, anchors and a KEK | beside an anchor neither an older store nor an older row passes for the newest |
//! | [`signer`] | a signer | signatures verify for their message alone, also when several are made at once |
//! | [`revocations`] | both ends of a channel | notices arrive as they were, and lost ones are said |
//!
//! What no function here shows, since it stands on no store and no KMS of the caller's, this crate's own tests show: the layers
//! in front of a KMS (retries, timeouts, limits, circuit breakers, `WrapOnly`), hedging, the bounds of the caches, renewal ahead
//! of a lease's end, the reaper, and a process that is really killed.
//!
//! Nothing here needs a runtime of its own or a timer. Several tasks at once are futures that are polled together. Functions that
//! take stores take a closure that makes an empty one each time, and keep nothing of a KEK: one in use elsewhere may be given,
//! except to [`kms_admin`] and [`kek_rotation`], which change it.
//!
//! ```
//! use std::sync::Arc;
//! use phi_keys::{EphemeralKeyring, MemoryKeyStore, conformance};
//! use phi_types::SystemClock;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A store …
//! let kek = |name| EphemeralKeyring::named(name, SystemClock::new()).map(Arc::new);
//! conformance::key_store(&MemoryKeyStore::new()).await?;
//! conformance::hierarchy(|| async { MemoryKeyStore::new() }, kek("kek")?).await?;
//! conformance::shredding(|| async { MemoryKeyStore::new() }, kek("kek")?).await?;
//! conformance::forgeries(|| async { MemoryKeyStore::new() }, [kek("east")?, kek("west")?]).await?;
//!
//! // … and a KMS.
//! conformance::kms(&*kek("kek")?).await?;
//! conformance::kms_pair(kek("east")?, kek("west")?).await?;
//! conformance::kms_cache(kek("kek")?).await?;
//! # Ok(())
//! # }
//! ```

mod admin;
mod anchor;
mod cached;
mod faults;
mod forgeries;
mod hierarchy;
mod kms;
mod later;
mod pair;
mod parts;
mod revocations;
mod rotation;
mod settling;
mod shredding;
mod signer;
mod store;
mod world;

use core::fmt;
use std::error::Error;

pub use admin::{kms_admin, kms_admin_violations};
pub use anchor::{store_anchor, store_anchor_shared};
pub use cached::kms_cache;
pub use faults::{Act, FaultyKms, KmsFault, StoreFault, kms_faults, store_faults, store_story};
pub use forgeries::{Attack, attacks, forgeries, rollback};
pub use hierarchy::{hierarchy, kek_rotation};
pub use kms::{kms, kms_violations};
pub use later::{Later, key_store_later};
pub use pair::kms_pair;
pub use revocations::{Disturbance, revocations};
pub use rotation::rotation;
pub use settling::Settling;
pub use shredding::shredding;
pub use signer::signer;
pub use store::{key_store, key_store_shared};

/// An implementation broke its contract.
#[derive(Debug)]
pub struct Violation {
    rule: &'static str,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Violation {
    /// What the implementation must do and did not.
    #[must_use]
    pub const fn rule(&self) -> &'static str {
        self.rule
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the implementation breaks its contract: {}", self.rule)
    }
}

impl Error for Violation {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

/// The rule holds, or is violated.
fn rule(holds: bool, rule: &'static str) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { rule, source: None }) }
}

/// Wraps a failure that the contract does not allow.
fn failed<E: Error + Send + Sync + 'static>(rule: &'static str) -> impl FnOnce(E) -> Violation {
    move |error| Violation { rule, source: Some(Box::new(error)) }
}

/// What the contract promises to be there.
trait Must<T> {
    /// The value, or a violation of this rule.
    fn must(self, rule: &'static str) -> Result<T, Violation>;
}

impl<T, E: Error + Send + Sync + 'static> Must<T> for Result<T, E> {
    fn must(self, rule: &'static str) -> Result<T, Violation> {
        self.map_err(failed(rule))
    }
}

impl<T> Must<T> for Option<T> {
    fn must(self, rule: &'static str) -> Result<T, Violation> {
        self.ok_or(Violation { rule, source: None })
    }
}

/// What happened, in words.
#[derive(Debug)]
struct Told(String);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Told {}
