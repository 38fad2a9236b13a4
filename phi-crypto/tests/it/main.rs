//! Integration tests of `phi-crypto`: one binary, one module for each guarantee.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod allocation;
#[cfg(all(unix, feature = "backup"))]
mod backups;
mod component;
mod context;
mod epochs;
mod fields;
mod files;
#[cfg(unix)]
mod fork;
#[cfg(all(unix, feature = "serde", feature = "sqlite"))]
mod golden;
mod index;
mod leaks;
mod leases;
mod many;
mod padded;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "derive")]
mod records;
mod refusals;
#[cfg(feature = "sqlite")]
mod reseal;
mod searches;
#[cfg(feature = "serde")]
mod serde_forms;
#[cfg(feature = "sqlite")]
mod sqlite;
mod support;
#[cfg(all(unix, feature = "tls"))]
mod tls;
mod vectors;
#[cfg(target_os = "linux")]
mod wiping;
mod wycheproof;
