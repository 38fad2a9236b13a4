//! Revocation: keys leave the memory of this process at once, and of the others as soon as they are told.

use core::convert::Infallible;
use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use phi_types::{Action, Activity, Outcome, Timestamp};

use super::Keys;
use super::maintain::Forgotten;
use crate::error::Error;
use crate::id::KeyId;
use crate::kms::Sleeper;
use crate::scope::Scope;
use crate::store::{Slot, StoreFuture};

/// How long to wait before a channel that failed is asked again.
const REST: Duration = Duration::from_secs(1);

/// What leaves memory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Revocation {
    /// The data keys of a scope.
    Scope(Scope),
    /// One key: a data key, or a domain key with the data keys below it.
    Key(KeyId),
    /// Every data key and every domain key.
    All,
}

/// What one process tells the others, see [`RevocationChannel`]. It names no subject: a scope is named by its pseudonym, as
/// in key rows.
///
/// A notice can only make keys leave memory, from where they come back if store and KMS allow it. So a forged one costs time
/// and reveals nothing, and what a reader does not understand makes it forget everything.
///
/// ```
/// use phi_keys::RevocationNotice;
///
/// let notice = RevocationNotice::from_text("phi-revoke-1 all");
/// assert_eq!(notice, RevocationNotice::from_text("of a later version"));
/// assert_eq!(notice.to_text(), "phi-revoke-1 all");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RevocationNotice(Target);

#[derive(Clone, PartialEq, Eq)]
enum Target {
    Scope([u8; 32]),
    Key(KeyId),
    All,
}

/// Carries revocations between the processes that share a key store. Each key manager has a channel of its own; it may
/// receive its own notices. Once somebody listens, each notice arrives at least once, in the order in which they were published,
/// or [`next`](Self::next) says that some may be missing. Implementations run `conformance::revocations` (feature `test-util`).
pub trait RevocationChannel: fmt::Debug + Send + Sync + 'static {
    /// Tells everybody who listens.
    ///
    /// # Errors
    /// [`StoreError`](crate::StoreError) when they may not have been told.
    fn publish<'a>(&'a self, notice: &'a RevocationNotice) -> StoreFuture<'a, ()>;

    /// Waits for the next notice.
    ///
    /// # Errors
    /// [`StoreError`](crate::StoreError) whenever notices may have been missed, such as after a lost connection. The notice that
    /// revokes everything says the same.
    fn next(&self) -> StoreFuture<'_, RevocationNotice>;
}

impl<C: RevocationChannel + ?Sized> RevocationChannel for Arc<C> {
    fn publish<'a>(&'a self, notice: &'a RevocationNotice) -> StoreFuture<'a, ()> {
        (**self).publish(notice)
    }

    fn next(&self) -> StoreFuture<'_, RevocationNotice> {
        (**self).next()
    }
}

/// Keys were revoked from memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a revocation belongs into the audit log"]
#[non_exhaustive]
pub struct Revoked {
    /// What was in the memory of this process.
    pub forgotten: Forgotten,
    /// Whether other processes were told.
    pub announced: bool,
}

impl Revoked {
    /// The entry for the audit log.
    #[must_use]
    pub fn activity(&self, at: Timestamp) -> Activity {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Activity::new("key.revoke", Action::Delete, Outcome::Success, at)
            .with("domain_keys", count(self.forgotten.domain_keys))
            .with("data_keys", count(self.forgotten.data_keys))
            .with("announced", self.announced)
    }
}

impl Keys {
    /// Makes keys leave memory: they are gone, and every lease has ended, before this first waits for anything. Then the
    /// other processes are told, if the builder was given a [`RevocationChannel`].
    ///
    /// This takes nothing away for good: the next request reads the store, and asks the KMS where a domain key is gone too.
    /// Use it after the cause was made known there: a KEK disabled, a permission taken away, a row changed.
    ///
    /// ```
    /// use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore, Revocation, Scope};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).build().await?;
    /// let key = keys.data_key(&Scope::group("letters")).await?;
    /// let revoked = keys.revoke(&Revocation::All).await?;
    /// assert!(!key.is_live() && revoked.forgotten.data_keys == 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Store`] when the others may not have been told. Here the keys are gone nevertheless, there they are when
    /// their leases end.
    pub async fn revoke(&self, what: &Revocation) -> Result<Revoked, Error> {
        let target = match what {
            Revocation::Scope(scope) => Target::Scope(self.pseudonym(scope)?),
            Revocation::Key(kid) => Target::Key(*kid),
            Revocation::All => Target::All,
        };
        let forgotten = self.apply(&target);
        let announced = self.announce(RevocationNotice(target)).await?;
        Ok(Revoked { forgotten, announced })
    }

    /// Does what other processes revoke, for as long as the caller drives this future. After a lost connection everything is
    /// forgotten, since a notice may have been missed.
    ///
    /// # Errors
    /// [`Error::Config`] when the builder was given no [`RevocationChannel`].
    pub async fn follow_revocations(&self, sleeper: impl Sleeper) -> Result<Infallible, Error> {
        const MEND: Error = Error::Config("there is no revocation channel: give the builder one with `revocations`");
        let channel = self.0.channel.as_ref().ok_or(MEND)?;
        loop {
            match channel.next().await {
                Ok(RevocationNotice(target)) => {
                    let _ = self.apply(&target);
                }
                Err(_) => {
                    let _ = self.apply(&Target::All);
                    sleeper.sleep(REST).await;
                }
            }
        }
    }

    /// Tells the others that a scope was shredded. Who cannot be told finds out when its lease ends.
    pub(super) async fn announce_shred(&self, slot: &Slot) {
        if let Some(pseudonym) = slot.scope {
            let _ = self.announce(RevocationNotice(Target::Scope(pseudonym))).await;
        }
    }

    async fn announce(&self, notice: RevocationNotice) -> Result<bool, Error> {
        match &self.0.channel {
            Some(channel) => channel.publish(&notice).await.map(|()| true).map_err(Error::Store),
            None => Ok(false),
        }
    }

    fn apply(&self, target: &Target) -> Forgotten {
        let data = |data_keys| Forgotten { domain_keys: 0, data_keys };
        match target {
            Target::Scope(pseudonym) => data(self.0.data.cache.revoke(|entry| entry.origin.pseudonym == *pseudonym)),
            Target::Key(kid) => {
                let below = self.forget_domains(|held| held.cell.full_id.kid() == *kid);
                let own = self.0.data.cache.revoke(|entry| entry.cell.full_id.kid() == *kid);
                Forgotten { data_keys: below.data_keys + own, ..below }
            }
            Target::All => {
                self.0.domains.refused.clear();
                let below = self.forget_domains(|_| true);
                // Those whose parent had left memory before them.
                let rest = self.0.data.cache.revoke(|_| true);
                Forgotten { data_keys: below.data_keys + rest, ..below }
            }
        }
    }
}

impl RevocationNotice {
    const PREFIX: &str = "phi-revoke-1 ";
    /// The notice that revokes everything.
    #[cfg(feature = "postgres")]
    pub(super) const ALL: Self = Self(Target::All);

    /// The notice as one line of ASCII: `phi-revoke-1 ` and `all`, `kid ` with 32, or `scope ` with 64 lower-case hexadecimal
    /// digits.
    #[must_use]
    pub fn to_text(&self) -> String {
        let prefix = Self::PREFIX;
        match &self.0 {
            Target::All => format!("{prefix}all"),
            Target::Key(kid) => format!("{prefix}kid {kid}"),
            Target::Scope(pseudonym) => {
                pseudonym.iter().fold(format!("{prefix}scope "), |text, byte| text + &format!("{byte:02x}"))
            }
        }
    }

    /// The reverse of [`to_text`](Self::to_text). Any other text revokes everything.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let target = text.strip_prefix(Self::PREFIX).and_then(|text| text.split_once(' '));
        Self(match target {
            Some(("kid", digits)) => unhex(digits).map_or(Target::All, |kid| Target::Key(KeyId::from_bytes(kid))),
            Some(("scope", digits)) => unhex(digits).map_or(Target::All, Target::Scope),
            _ => Target::All,
        })
    }
}

/// Exactly `N` bytes in lower-case hexadecimal digits.
fn unhex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? * 16 + digit(*low)?;
    }
    Some(bytes)
}

impl fmt::Debug for RevocationNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A pseudonym links a subject's rows.
        f.write_str(match self.0 {
            Target::Scope(_) => "RevocationNotice(scope)",
            Target::Key(_) => "RevocationNotice(key)",
            Target::All => "RevocationNotice(all)",
        })
    }
}
