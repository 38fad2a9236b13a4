//! The clinic as its users run it: a program with arguments, a data folder and an exit code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod bad_bundles;
mod bad_places;
mod support;
mod tour;
