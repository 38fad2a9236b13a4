//! What this crate guarantees, shown from outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs
)]

mod adapters;
#[cfg(feature = "test-util")]
mod attacks;
#[cfg(feature = "test-util")]
mod broken;
mod cache;
mod certificate;
mod component;
mod faults;
mod forward;
mod hierarchy;
mod injection;
mod kek_set;
mod kms;
mod layers;
mod lifecycle;
mod many;
mod properties;
mod races;
mod sealed;
#[cfg(feature = "test-util")]
mod settling;
mod staged;
mod store_faults;
mod support;
mod vectors;
mod words;

#[cfg(all(feature = "local", feature = "sqlite", unix))]
mod anchor;
#[cfg(feature = "aws")]
mod aws;
#[cfg(all(feature = "azure", feature = "test-util"))]
mod azure;
#[cfg(any(feature = "aws", all(any(feature = "azure", feature = "gcp", feature = "vault"), feature = "test-util")))]
mod child;
#[cfg(feature = "test-util")]
mod conformance;
#[cfg(all(feature = "local", feature = "sqlite", unix))]
mod crash;
#[cfg(all(feature = "gcp", feature = "test-util"))]
mod gcp;
#[cfg(all(feature = "local", unix))]
mod keyring;
#[cfg(feature = "test-util")]
mod live;
#[cfg(any(
    feature = "aws",
    feature = "tracing",
    all(any(feature = "azure", feature = "gcp", feature = "vault"), feature = "test-util")
))]
mod logged;
#[cfg(feature = "pkcs11")]
mod pkcs11;
mod polled;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(all(feature = "local", unix))]
mod rewrap;
#[cfg(feature = "sqlite")]
mod rows;
#[cfg(feature = "sqlite")]
mod shred;
#[cfg(all(any(feature = "azure", feature = "gcp", feature = "vault"), feature = "test-util"))]
mod simulated;
#[cfg(all(feature = "local", feature = "sqlite", unix))]
mod stopped;
#[cfg(all(feature = "vault", feature = "test-util"))]
mod vault;
#[cfg(any(feature = "aws", all(any(feature = "azure", feature = "gcp"), feature = "test-util")))]
mod wire;
