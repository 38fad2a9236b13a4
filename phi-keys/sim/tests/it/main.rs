//! Every rule of the simulated contracts, on the wire; the vendors' SDKs drive them again in `sdk`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod azure;
mod binary;
mod client;
#[path = "../../../tests/it/component.rs"]
mod component;
mod control;
mod gcp;
mod sdk;
mod vault;
mod vault_auth;
