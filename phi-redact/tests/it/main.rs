//! Integration tests of `phi-redact`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[cfg(feature = "tracing")]
mod corners;
mod corpus;
mod engine;
#[cfg(feature = "tracing")]
mod formats;
#[cfg(feature = "tracing")]
mod policy;
#[cfg(feature = "tracing")]
mod process;
#[cfg(feature = "tracing")]
mod support;
mod writer;
