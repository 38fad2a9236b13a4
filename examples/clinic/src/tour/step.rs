//! How a step of the tour says what it found.

use core::fmt::Display;

use crate::failure::Failure;

/// What was measured, or why the safeguard does not hold.
pub(crate) type Measured = Result<String, Miss>;

/// Why a line of the report failed.
#[derive(Debug)]
pub(crate) struct Miss(pub(crate) String);

impl From<Failure> for Miss {
    fn from(failure: Failure) -> Self {
        Self(failure.to_string())
    }
}

/// Goes on if `holds`, or fails the line.
pub(crate) fn expect(holds: bool, otherwise: impl Display) -> Result<(), Miss> {
    if holds { Ok(()) } else { Err(Miss(otherwise.to_string())) }
}
