//! Which backends the unit tests run on.

use phi_keys::backend::Backend;

/// Every backend of this build: what one computes all must.
pub(crate) fn all() -> Vec<Backend> {
    vec![
        Backend::ring(),
        #[cfg(feature = "fips")]
        Backend::fips().unwrap(),
    ]
}
