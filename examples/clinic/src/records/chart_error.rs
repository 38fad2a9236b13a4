//! Why a chart cannot be shown.

use phi_crypto::OpenError;

use crate::failure::Failure;

#[derive(Debug)]
pub(crate) enum ChartError {
    /// There is no such patient.
    Unknown,
    /// The patient's key was destroyed.
    Shredded,
    /// A stored value was altered or moved; the name of its column.
    Altered(&'static str),
    /// Anything else.
    Failed(Failure),
}

impl From<Failure> for ChartError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl ChartError {
    /// For `map_err`: what opening a value of this column said.
    pub(super) fn opening(column: &'static str) -> impl Fn(OpenError) -> Self {
        move |error| match error {
            OpenError::Refused | OpenError::NotSealed(_) | OpenError::UnknownKey { .. } => Self::Altered(column),
            other => Self::Failed(Failure::While { doing: "opening a value", source: other.into() }),
        }
    }
}
