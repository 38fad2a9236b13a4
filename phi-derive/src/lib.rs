//! The derive macro of `phi_crypto::Record`, re-exported there under feature `derive`; use it from there.
//!
//! # Features
//! None.
//!
//! # How it fails
//! At compile time, at the attribute that is wrong, saying what to write instead.
//!
//! # Security
//! The macro reads a declaration and writes calls to `phi-crypto`; it sees no key and no value.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod attributes;
mod expand;
mod generate;
mod record;

use proc_macro::TokenStream;

/// Derives `phi_crypto::Record`: see there.
#[proc_macro_derive(Record, attributes(phi))]
pub fn derive_record(input: TokenStream) -> TokenStream {
    expand::record(input.into()).into()
}
