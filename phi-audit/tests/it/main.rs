//! Integration tests of the audit log.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![cfg(feature = "sqlite")]

mod support;

#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "test-util")]
mod conformance;
mod crash;
mod formats;
mod group;
mod log;
mod opening;
mod tamper;
#[cfg(feature = "axum")]
mod web;
