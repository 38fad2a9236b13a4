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
    tell();
}

fn tell() {
    let _outside = SIGNAL.try_with(OpenSignal::opened);
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use phi_audit::AuditLayer;
    use phi_types::{Actor, NoRecorder, Purpose, SubjectId, SystemClock};
    use tower::ServiceExt;

    use super::*;

    async fn status(path: &str) -> StatusCode {
        let open = async || tell();
        let touch = async |touched: AuditGuard| {
            tell();
            touched.read(&SubjectId::new("p").unwrap(), Purpose::Treatment);
        };
        let layer = AuditLayer::new(NoRecorder, SystemClock::new())
            .identify(|_| Some((Actor::human("dr.osei").unwrap(), None)));
        let pages = Router::new().route("/forgot", get(open)).route("/told", get(touch));
        let request = Request::get(path).body(Body::empty()).unwrap();
        pages.layer(from_fn(watch)).layer(layer).oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn a_page_that_opens_and_does_not_say_whose_record_is_withheld() {
        assert_eq!(status("/forgot").await, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(status("/told").await, StatusCode::OK);
    }
}
