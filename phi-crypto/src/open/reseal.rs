//! When a value should be sealed again.

/// Why a value that opens should be sealed again. Nothing is wrong with it until its key is retired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reseal {
    /// Its scope has a newer key.
    NewerKey,
    /// It is of another suite than [`OpenerBuilder::reseal_to`](super::OpenerBuilder::reseal_to) names: another cipher, or
    /// without padding.
    OtherSuite,
}
