//! Why a key could not be had.

use core::fmt;
use std::error::Error as StdError;
use std::sync::Arc;

use phi_types::Timestamp;

use crate::anchor::AnchorError;
use crate::backend::NotApproved;
use crate::f1::SealError;
use crate::id::KeyId;
use crate::kms::{KmsError, WrappedError};
use crate::random::NoRandomness;
use crate::signer::SignError;
use crate::store::{KeyState, RowKind, StoreError};
use crate::tlv::TlvError;

/// Why a key could not be had. Nothing in it names a subject or a secret.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Error {
    /// The KMS.
    Kms(KmsError),
    /// The key store.
    Store(StoreError),
    /// No KMS was given that holds one of the KEKs under which the domain key is wrapped.
    NoKek,
    /// The subject was shredded: its keys are gone and it never gets another.
    Shredded,
    /// The subject is being shredded by a transaction of this process that has not ended.
    ShredUnderWay,
    /// No key has this kid.
    UnknownKey,
    /// The key of this kid belongs to another tenant, use or scope.
    WrongScope,
    /// The key exists, but its state does not allow this.
    State(KeyState),
    /// A row of the key store does not carry the MAC of the store root key: forged, or altered by hand.
    RowRejected(RowKind),
    /// A row of the key store is authentic, but the anchor knows another one that took its place: an old copy was put back.
    RowOutdated {
        /// What the row is.
        kind: RowKind,
        /// Whose row it is.
        kid: KeyId,
    },
    /// The wrapped key of a row does not open, or is not the key that the row names.
    KeyRejected(RowKind),
    /// The store's root key is not the pinned one.
    RootMismatch,
    /// A root key is pinned, but the store has none.
    RootMissing,
    /// The store has a root key, but its fingerprint is pinned nowhere.
    RootNotPinned,
    /// Domain key rows are missing from the store, or one was put back.
    Incomplete,
    /// Leases on the key may not have ended everywhere.
    TooEarly {
        /// When they have.
        until: Timestamp,
    },
    /// The staged key has no copy under some of the KEKs that the policy wants.
    CopiesMissing {
        /// Under how many.
        missing: u64,
    },
    /// Something still needs the key.
    Referenced {
        /// How many things do.
        found: u64,
    },
    /// What needs the key could not be counted.
    References(Arc<dyn StdError + Send + Sync>),
    /// The signer.
    Sign(SignError),
    /// Tombstones are missing from the store.
    Forgotten,
    /// The anchor.
    Anchor(AnchorError),
    /// A record of the anchor is not one of this store.
    AnchorRejected,
    /// The store is older than it must be.
    RolledBack {
        /// The generation of the store.
        found: u64,
        /// The generation that the builder was told to expect, or that the anchor noted.
        expected: u64,
    },
    /// Domain keys are still wrapped under the version of the KEK that is to be retired.
    KekInUse {
        /// How many.
        keys: u64,
    },
    /// Other writers got in between again and again.
    Contended,
    /// The builder was given something that cannot work.
    Config(&'static str),
    /// The operating system.
    Random(NoRandomness),
    /// The key manager is on a validated module, which does not do this.
    NotApproved(NotApproved),
    /// The cipher failed without a reason while a key was being wrapped.
    Cipher,
}

impl Error {
    /// Whether a KMS, the store or its anchor did not answer: nobody has decided that there is no key.
    pub(crate) const fn is_outage(&self) -> bool {
        match self {
            Self::Kms(error) => error.is_transient(),
            Self::Store(error) => matches!(error, StoreError::Unavailable(_)),
            Self::Anchor(error) => matches!(error, AnchorError::Unavailable(_)),
            _ => false,
        }
    }

    /// Whether the same request may succeed later without anybody mending anything.
    pub(crate) const fn may_pass(&self) -> bool {
        self.is_outage() || matches!(self, Self::Contended)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kms(_) => f.write_str("the key could not be unwrapped or wrapped by its KMS"),
            Self::Store(_) => f.write_str("the key store failed"),
            Self::NoKek => f.write_str("the key is wrapped under KEKs of which none was given: add the KMS or keyring that made this store"),
            Self::Shredded => f.write_str("the subject was shredded, so its data cannot be sealed or opened any more"),
            Self::ShredUnderWay => f.write_str("the subject is being shredded by a transaction that has not ended"),
            Self::UnknownKey => f.write_str("no key has this kid: is the value from another key store?"),
            Self::WrongScope => f.write_str("the key of this kid belongs to another tenant, key use or subject: ask with the one that it was made for, or look for who moved the value"),
            Self::State(state) => write!(f, "the key is {state} and cannot be used for this: {}", mend(*state)),
            Self::RowRejected(kind) => write!(
                f,
                "a {kind} is not authentic: it was forged or altered outside this crate; restore the key tables and look for who wrote it"
            ),
            Self::RowOutdated { kind, kid } => write!(
                f,
                "the {kind} of {kid} is not the one that the anchor knows: an old copy was put back; restore the newest one, or accept the key tables as they are for good with `dangerous_accept_rollback`"
            ),
            Self::KeyRejected(kind) => write!(
                f,
                "the wrapped key of a {kind} does not open to the key that the row names: restore the key tables, and look for who wrote it"
            ),
            Self::RootMismatch => f.write_str(
                "the root key of the key store is not the pinned one: this keyring or fingerprint belongs to another store, or the store was replaced",
            ),
            Self::RootMissing => f.write_str(
                "the key store is empty although a root key is pinned: restore the database, or start with a new keyring",
            ),
            Self::RootNotPinned => f.write_str(
                "the root key of the key store is pinned nowhere: give the builder the fingerprint that was noted when the store was made",
            ),
            Self::Incomplete => f.write_str(
                "domain key rows are missing from the key store, or an old one was put back: restore the key tables whole",
            ),
            Self::TooEarly { until } => {
                write!(f, "leases on the key may not have ended everywhere: try again at {until} or later")
            }
            Self::CopiesMissing { missing } => write!(
                f,
                "the staged key lacks copies under {missing} of the KEKs: call `complete` when every KMS answers, or take the KEK out of the set"
            ),
            Self::Referenced { found } => write!(
                f,
                "{found} sealed values, index tags or data keys still need the key: reseal or rewrap them, and reinstate the key if it is retired"
            ),
            Self::References(_) => f.write_str("what needs the key could not be counted, so it stays: mend that and try again"),
            Self::Sign(_) => f.write_str("nothing was certified: see to the signer and try again"),
            Self::Forgotten => f.write_str(
                "tombstones are missing from the key store, so shredded keys may be back: restore the key tables whole, or open the store with its anchor",
            ),
            Self::Anchor(_) => f.write_str("the anchor of the key store failed"),
            Self::AnchorRejected => f.write_str(
                "a record of the anchor is not authentic: the anchor belongs to another key store, or was altered",
            ),
            Self::RolledBack { found, expected } => write!(
                f,
                "the key store is at generation {found}, but {expected} was seen: an older copy was restored; put back the newest one, or accept this one for good with `dangerous_accept_rollback`"
            ),
            Self::KekInUse { keys } => {
                write!(f, "{keys} domain keys are still wrapped under this version of the KEK: rewrap those of every tenant first")
            }
            Self::Contended => f.write_str("other writers changed the key store again and again: try again"),
            Self::Config(mend) => f.write_str(mend),
            Self::Random(_) => f.write_str("no randomness for a new key: check the operating system's generator and try again"),
            Self::NotApproved(why) => why.fmt(f),
            Self::Cipher => f.write_str(
                "the cipher failed while a key was being wrapped, without a reason: check that the system gives random bytes, and try again",
            ),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Kms(error) => Some(error),
            Self::Store(error) => Some(error),
            Self::Random(error) => Some(error),
            Self::Anchor(error) => Some(error),
            Self::References(error) => Some(&**error),
            Self::Sign(error) => Some(error),
            _ => None,
        }
    }
}

impl From<KmsError> for Error {
    fn from(error: KmsError) -> Self {
        Self::Kms(error)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What to do about a key in a state that does not allow what was asked.
const fn mend(state: KeyState) -> &'static str {
    match state {
        KeyState::Pending => "activate it, once every process holds it",
        KeyState::Active => "rotate it first",
        KeyState::DecryptOnly => "seal with the active one",
        KeyState::Retired => "reinstate it, if something still needs it",
        KeyState::Destroyed => "nothing brings it back",
    }
}

impl From<NoRandomness> for Error {
    fn from(error: NoRandomness) -> Self {
        Self::Random(error)
    }
}

impl From<TlvError> for Error {
    fn from(_: TlvError) -> Self {
        Self::Config("a tenant name or a wrapped key is 4 GiB or longer")
    }
}

impl From<WrappedError> for Error {
    fn from(error: WrappedError) -> Self {
        match error {
            WrappedError::Format(found) | WrappedError::Binding(found) => {
                Self::Store(StoreError::Unknown { column: "wrapped", found: found.into() })
            }
            WrappedError::Malformed | WrappedError::TooLong => Self::KeyRejected(RowKind::Domain),
        }
    }
}

impl From<NotApproved> for Error {
    fn from(error: NotApproved) -> Self {
        Self::NotApproved(error)
    }
}

impl From<SealError> for Error {
    fn from(error: SealError) -> Self {
        match error {
            SealError::NotApproved(error) => Self::NotApproved(error),
            SealError::TooLong => Self::Config("a wrapped key is longer than a sealed value can be"),
            SealError::NoNonce => Self::Config("the nonce of a wrapped key was left to a backend that draws none"),
            SealError::Cipher => Self::Cipher,
        }
    }
}

/// The lease on a key has ended, or the key was shredded: ask [`Keys`](crate::Keys) for it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Expired;

impl fmt::Display for Expired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the lease on the key has ended: ask the key manager for it again")
    }
}

impl StdError for Expired {}
