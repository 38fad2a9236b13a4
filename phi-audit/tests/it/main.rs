//! Integration tests of the audit log.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

mod cli;
mod component;
mod conformance;
mod crash;
mod ecdsa;
mod flips;
mod formats;
mod group;
mod log;
mod opening;
mod snapshot;
mod tamper;
mod token;
mod web;
