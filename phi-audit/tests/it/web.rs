//! The layer and the guard in an axum router.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::get;
use http::{StatusCode, header};
use http_body_util::BodyExt;
use phi_audit::{AuditGuard, AuditLayer, AuditLog, Query, Refusal};
use phi_types::{Activity, Actor, Outcome, Purpose, RecordError, Recorder, Recording, SubjectId, SystemClock};
use tower::ServiceExt;

use crate::support::Clinic;

const CHART: &str = "the chart of Ada";

fn patient() -> SubjectId {
    SubjectId::new("patient-7").unwrap()
}

/// A recorder that can be switched off.
#[derive(Debug, Clone)]
struct Switch {
    inner: Arc<dyn Recorder>,
    off: Arc<AtomicBool>,
}

impl Recorder for Switch {
    fn record(&self, activity: Activity) -> Recording<'_> {
        Box::pin(async move {
            // Not ready at the first poll, as a real one.
            tokio::task::yield_now().await;
            if self.off.load(Ordering::SeqCst) {
                return Err(RecordError::new("disk full"));
            }
            self.inner.record(activity).await
        })
    }
}

struct App {
    _clinic: Clinic,
    log: AuditLog,
    off: Arc<AtomicBool>,
    layer: AuditLayer,
    router: Router,
}

async fn sign_in(mut request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with("/nameless") {
        request.extensions_mut().insert(Actor::human("dr.osei").unwrap());
    }
    next.run(request).await
}

async fn app() -> App {
    let clinic = Clinic::new().await;
    let log = clinic.open().await;
    let off = Arc::new(AtomicBool::new(false));
    let layer = AuditLayer::new(Switch { inner: log.recorder(), off: Arc::clone(&off) }, SystemClock::new())
        .identify(|extensions| Some((extensions.get::<Actor>()?.clone(), Some("s-1".to_owned()))));
    let read = async |touched: AuditGuard| {
        touched.opened();
        touched.read(&patient(), Purpose::Treatment);
        CHART
    };
    let router = Router::new()
        .route("/chart", get(read))
        .route("/nameless", get(read))
        .route(
            "/untouched",
            get(async |touched: AuditGuard| {
                touched.signal().opened();
                CHART
            }),
        )
        .route(
            "/refused",
            get(async |touched: AuditGuard| {
                touched.refused(&patient(), Purpose::Treatment);
                StatusCode::FORBIDDEN
            }),
        )
        .route("/nothing", get(async || "no patient here"))
        .route("/stream", get(stream))
        .route("/now", get(now))
        .route("/nameless/now", get(now))
        .route(
            "/careless",
            get(async |touched: AuditGuard| {
                let _ = touched.read_now(&patient(), Purpose::Treatment).await;
                CHART
            }),
        )
        .route(
            "/impatient",
            get(async |touched: AuditGuard| {
                let patient = patient();
                let mut reading = std::pin::pin!(touched.read_now(&patient, Purpose::Treatment));
                let pending = std::future::poll_fn(|context| Poll::Ready(reading.as_mut().poll(context).is_pending()));
                assert!(pending.await);
                CHART
            }),
        )
        .route(
            "/panic",
            get(async |touched: AuditGuard| -> StatusCode {
                touched.read(&patient(), Purpose::Treatment);
                panic!("a bug of the handler");
            }),
        )
        .layer(layer.clone())
        .layer(axum::middleware::from_fn(sign_in));
    App { _clinic: clinic, log, off, layer, router }
}

/// Touches a further patient for each frame.
async fn stream(touched: AuditGuard) -> Body {
    let mut frame = 0_u64;
    let frames = std::iter::from_fn(move || {
        frame += 1;
        (frame <= 3).then(|| {
            touched.read(&SubjectId::new(format!("streamed-{frame}")).unwrap(), Purpose::Treatment);
            Bytes::from(format!("patient {frame}\n"))
        })
    });
    Body::new(Frames(frames.into_iter()))
}

struct Frames<I>(I);

impl<I: Iterator<Item = Bytes> + Unpin> http_body::Body for Frames<I> {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.next().map(|bytes| Ok(http_body::Frame::data(bytes))))
    }
}

async fn now(touched: AuditGuard) -> Result<&'static str, StatusCode> {
    touched.read_now(&patient(), Purpose::BreakGlass).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(CHART)
}

impl App {
    async fn get(&self, path: &str) -> Response {
        self.router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap()
    }

    async fn events(&self, kind: &str) -> Vec<phi_audit::Found> {
        self.log.query(&Query::new().kind(kind)).await.unwrap().events
    }
}

async fn body(response: Response) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn a_touch_is_recorded_with_actor_and_session() {
    let app = app().await;
    let response = app.get("/chart").await;
    assert_eq!(response.status(), StatusCode::OK);
    // Durable before the body is even asked for.
    let events = app.events("record.read").await;
    assert_eq!(body(response).await, CHART);
    let [found] = &events[..] else { panic!("{events:?}") };
    assert_eq!(found.event.actor.as_ref().unwrap().to_string(), "human:dr.osei");
    assert_eq!((found.event.session.as_deref(), found.event.purpose), (Some("s-1"), Some(Purpose::Treatment)));
    let page = app.log.query(&Query::new().subject(&patient())).await.unwrap();
    assert_eq!(page.events, events);
}

#[tokio::test]
async fn without_durability_nothing_leaves() {
    let app = app().await;
    app.off.store(true, Ordering::SeqCst);
    for path in ["/chart", "/refused"] {
        let response = app.get(path).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        assert!(matches!(**response.extensions().get::<Arc<Refusal>>().unwrap(), Refusal::NotRecorded(_)));
        assert_eq!(body(response).await, "");
    }
    assert_eq!(app.get("/now").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body(app.get("/nothing").await).await, "no patient here");
}

#[tokio::test]
async fn opening_without_touching_is_refused_and_recorded() {
    let app = app().await;
    let response = app.get("/untouched").await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(body(response).await, "");
    let events = app.events("audit.untouched").await;
    assert_eq!((events.len(), events[0].event.outcome), (1, Outcome::Refused));
}

#[tokio::test]
async fn nobody_in_particular_may_not_read() {
    let app = app().await;
    let response = app.get("/nameless").await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(body(response).await, "");
    assert_eq!(app.events("record.read").await.len(), 1, "that it was tried is recorded");
}

#[tokio::test]
async fn a_refusal_is_recorded() {
    let app = app().await;
    assert_eq!(app.get("/refused").await.status(), StatusCode::FORBIDDEN);
    assert_eq!(app.events("record.refused").await.len(), 1);
}

#[tokio::test]
async fn streamed_frames_wait_for_their_touches() {
    let app = app().await;
    let mut body = app.get("/stream").await.into_body();
    for frame in 1..=3 {
        let bytes = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(bytes, format!("patient {frame}\n"));
        assert_eq!(app.events("record.read").await.len(), frame, "durable before the frame was handed out");
    }
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_stream_ends_where_recording_fails() {
    let app = app().await;
    let mut body = app.get("/stream").await.into_body();
    body.frame().await.unwrap().unwrap();
    app.off.store(true, Ordering::SeqCst);
    let error = body.frame().await.unwrap().unwrap_err();
    assert!(format!("{error:?}").contains("NotRecorded"), "{error:?}");
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn read_now_is_durable_when_it_returns() {
    let app = app().await;
    assert_eq!(body(app.get("/now").await).await, CHART);
    let events = app.events("record.read").await;
    assert_eq!(events[0].event.purpose, Some(Purpose::BreakGlass));
    assert_eq!(events[0].event.actor.as_ref().unwrap().to_string(), "human:dr.osei");
}

#[tokio::test]
async fn nobody_in_particular_may_not_read_now_either() {
    let app = app().await;
    assert_eq!(app.get("/nameless/now").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(app.events("record.read").await.len(), 1, "that it was tried is recorded");
}

#[tokio::test]
async fn a_handler_that_ignores_a_failed_read_now_sends_nothing() {
    let app = app().await;
    app.off.store(true, Ordering::SeqCst);
    for path in ["/careless", "/impatient"] {
        let response = app.get(path).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(body(response).await, "");
    }
    app.off.store(false, Ordering::SeqCst);
    assert_eq!(body(app.get("/careless").await).await, CHART);
    assert_eq!(app.events("record.read").await.len(), 1, "once, when it succeeds");
    assert_eq!(body(app.get("/impatient").await).await, CHART);
    assert_eq!(app.events("record.read").await.len(), 2, "given up, and recorded before the response left");
}

#[tokio::test]
async fn touches_of_a_request_that_died_are_not_forgotten() {
    let app = app().await;
    let router = app.router.clone();
    let request = Request::get("/panic").body(Body::empty()).unwrap();
    tokio::spawn(router.clone().oneshot(request)).await.unwrap_err();
    assert_eq!(app.events("record.read").await.len(), 0);
    app.get("/nothing").await;
    let events = app.events("record.read").await;
    assert_eq!(events[0].event.actor.as_ref().unwrap().to_string(), "human:dr.osei");
    // And when no further request comes, when the server stops.
    tokio::spawn(router.oneshot(Request::get("/panic").body(Body::empty()).unwrap())).await.unwrap_err();
    app.off.store(true, Ordering::SeqCst);
    app.layer.flush().await.unwrap_err();
    app.off.store(false, Ordering::SeqCst);
    app.layer.flush().await.unwrap();
    assert_eq!(app.events("record.read").await.len(), 2);
}

#[tokio::test]
async fn a_route_without_the_layer_says_so() {
    let router: Router = Router::new().route("/", get(async |_: AuditGuard| CHART));
    let response = router.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(body(response).await.contains("audit.layer()"));
}
