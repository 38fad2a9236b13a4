//! What every [`Kms`](crate::Kms), [`KeyStore`](crate::KeyStore) and [`StoreAnchor`](crate::StoreAnchor) must do, as functions
//! that implementors run in their own tests.
//!
//! ```
//! use phi_keys::{EphemeralKeyring, MemoryKeyStore, conformance};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! conformance::kms(&EphemeralKeyring::generate()?).await?;
//! conformance::key_store(&MemoryKeyStore::new()).await?;
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
mod pair;
mod parts;
mod revocations;
mod rotation;
mod shredding;
mod signer;
mod store;
mod world;

use core::fmt;
use std::error::Error;

pub use admin::{kms_admin, kms_admin_violations};
pub use anchor::store_anchor;
pub use cached::kms_cache;
pub use faults::{Act, FaultyKms, KmsFault, StoreFault, kms_faults, store_faults, store_story};
pub use forgeries::{Attack, attacks, forgeries};
pub use hierarchy::{hierarchy, kek_rotation};
pub use kms::{kms, kms_violations};
pub use pair::kms_pair;
pub use revocations::{Disturbance, revocations};
pub use rotation::rotation;
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
