//! The few policies a token can have.

use super::route::Route;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Capability {
    /// The endpoint's own effect on what exists.
    Use,
    /// Encrypting with a key that does not exist yet, which would create it.
    Create,
}

/// Whether one named policy allows the call.
pub(super) fn allows(policy: &str, route: &Route<'_>, capability: Capability) -> bool {
    match policy {
        "root" => true,
        // Everything in the Transit mount.
        "phi-admin" => route.key().is_some() || matches!(route, Route::ListKeys | Route::ConfigKeys),
        // What an adapter needs: no key administration, no creation by the way.
        "phi-keys" => {
            capability == Capability::Use
                && matches!(
                    route,
                    Route::Encrypt(_) | Route::Decrypt(_) | Route::Rewrap(_) | Route::Datakey(..) | Route::ReadKey(_)
                )
        }
        // A producer that must not decrypt.
        "phi-wrap-only" => {
            capability == Capability::Use
                && matches!(route, Route::Encrypt(_) | Route::ReadKey(_) | Route::Datakey("wrapped", _))
        }
        _ => false,
    }
}
