//! Tells the audit layer of every value that a request opens, so that a page that forgets to say whose record it shows
//! is withheld instead of sent.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use phi_audit::{AuditGuard, OpenSignal};
use phi_crypto::Opened;

tokio::task_local! {
    static SIGNAL: OpenSignal;
}

/// Around every page, inside the audit layer.
pub(super) async fn watch(guard: AuditGuard, request: Request, next: Next) -> Response {
    SIGNAL.scope(guard.signal(), next.run(request)).await
}

/// The observer of the opener of patients' records. Outside requests, as in an import, there is nobody to tell.
pub(crate) fn opened(_: &Opened<'_>) {
    let _outside = SIGNAL.try_with(OpenSignal::opened);
}
