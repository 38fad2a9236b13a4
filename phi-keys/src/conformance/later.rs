use core::future::Future;
use std::sync::Arc;

use super::world::{KEY, LEASE, World, patient, refused, subject};
use super::{Must, Violation};
use crate::error::Error;
use crate::kms::{EphemeralKeyring, Kms};
use crate::store::{KeyStore, StoreError};

/// What a later version of this crate may leave in a store, see [`key_store_later`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Later {
    /// Every data key row has this number for its state.
    State(u8),
    /// The store says that it has the version after the one that this crate writes.
    Version,
}

/// Checks that a store that is empty names what only a later version of this crate knows, and takes it for nothing else: a state
/// that does not exist yet, which keeps nobody from shredding the subject, and a store of the next version.
///
/// `write` does to what the store stands on what it is told, as the later version would.
///
/// # Errors
/// [`Violation`] naming the first rule that is broken.
pub async fn key_store_later<F>(
    store: Arc<dyn KeyStore>,
    write: impl Fn(Later) -> F + Send + Sync,
) -> Result<(), Violation>
where
    F: Future<Output = ()> + Send,
{
    const STATE: u8 = 99;
    let kek: Arc<dyn Kms> = Arc::new(EphemeralKeyring::generate().must("the machine has randomness")?);
    let fresh = || core::future::ready(Arc::clone(&store));
    let mut world = World::new(&fresh, &[kek]).await;
    let (keys, scope) = (world.process().await?, patient("a")?);
    let kid = keys.data_key(&scope).await.must(KEY)?.kid();
    write(Later::State(STATE)).await;
    world.clock.advance(LEASE);
    for keys in [&keys, &world.process().await?] {
        for refusal in [keys.data_key(&scope).await, keys.data_key_by_id(kid, &scope).await] {
            let unknown = |error: &Error| matches!(error, Error::Store(StoreError::Unknown { column: "state", found }) if *found == u64::from(STATE));
            refused(refusal, unknown, "a state that no version knows is named as such")?;
        }
    }
    let _ = keys.shred(&subject("a")?).await.must("what cannot be read keeps nobody from shredding a subject")?;
    let gone = keys.data_key(&scope).await;
    refused(
        gone,
        |error| matches!(error, Error::Shredded),
        "what cannot be read keeps nobody from shredding a subject",
    )?;
    write(Later::Version).await;
    let newer = world.builder().build().await;
    let is_newer =
        |error: &Error| matches!(error, Error::Store(StoreError::Newer { found, supported }) if found > supported);
    refused(newer, is_newer, "a store of a later version is not opened")
}
