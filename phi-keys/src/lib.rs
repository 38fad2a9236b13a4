//! Keys for envelope encryption: where they live, how they are wrapped, leased, rotated and destroyed.

#[cfg(feature = "test-util")]
pub mod conformance;
pub mod derive;
mod error;
pub mod f1;
mod id;
mod keys;
mod kms;
#[cfg(feature = "local")]
mod local;
mod random;
mod scope;
mod signer;
mod store;
pub mod tlv;

pub use error::{Error, Expired};
pub use id::{Fingerprint, FullId, KeyId};
#[cfg(feature = "sqlite")]
pub use keys::PendingShred;
pub use keys::{DataKey, DomainKey, Keys, KeysBuilder, Rewrapped, Shredded};
pub use kms::{
    Binding, Carrier, EphemeralKeyring, KekState, KekStatus, Kms, KmsError, KmsFuture, RootPin, WrapContext, Wrapped,
    WrappedError,
};
#[cfg(feature = "local")]
pub use local::{KeyringError, LocalKeyring, Unlock};
pub use random::NoRandomness;
pub use scope::{KeyUse, Scope};
pub use signer::{Ed25519Signer, SignError, Signer, Signing};
#[cfg(feature = "sqlite")]
pub use store::SqliteKeyStore;
pub use store::{
    Change, Committed, KeyRow, KeyState, KeyStore, MemoryKeyStore, RowKind, Slot, StoreError, StoreFuture,
};
