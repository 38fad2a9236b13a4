#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod budget;
mod component;
mod conformance;
mod golden;
mod leaks;
mod machine;
mod service;
mod support;
mod tamper;
mod vectors;
mod web;
