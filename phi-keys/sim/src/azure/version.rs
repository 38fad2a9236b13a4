//! The `api-version` every request carries.

use super::error::Failure;
use super::route::Route;
use crate::call::Call;

/// The versions of the keys API, oldest first.
const KNOWN: [&str; 9] = ["7.0", "7.1", "7.2", "7.3", "7.4", "7.5", "7.6", "2025-06-01-preview", "2025-07-01"];

pub(super) fn check(call: &Call, route: Route<'_>) -> Result<(), Failure> {
    let Some(asked) = call.query.get("api-version") else {
        return Err(Failure::bad("The api-version query parameter is required."));
    };
    let Some(rank) = KNOWN.iter().position(|known| known == asked) else {
        return Err(Failure::bad(&format!(
            "The specified version ({asked}) is not recognized. Consider using the latest supported version (2025-07-01)."
        )));
    };
    let since = match route {
        Route::Rotate(_) => "7.3",
        Route::Random => "7.2",
        _ => "7.0",
    };
    if KNOWN.iter().position(|known| *known == since).is_some_and(|first| rank < first) {
        return Err(Failure::bad(&format!("This operation needs api-version {since} or later.")));
    }
    Ok(())
}
