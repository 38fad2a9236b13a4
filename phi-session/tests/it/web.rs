//! The layer and the extractors, under axum.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use phi_session::{
    Aal, Login, MemorySessionStore, Method, Policy, Session, SessionError, SessionHandle, SessionStore, Sessions,
    SqliteSessionStore, StepUp, Token,
};
use phi_types::ManualClock;
use tokio::sync::{Mutex, mpsc};
use tower::ServiceExt as _;

use crate::service::Flaky;
use crate::support::{Log, START, in_memory, in_sqlite, osei, over};

type Frames = mpsc::UnboundedReceiver<&'static str>;

/// A body that sends what a test puts into its channel.
struct Channel(Frames);

impl http_body::Body for Channel {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(cx)
            .map(|text| text.map(|text| Ok(http_body::Frame::data(Bytes::from_static(text.as_bytes())))))
    }
}

#[derive(Clone, Default)]
struct App {
    stream: Arc<Mutex<Option<Frames>>>,
}

async fn password(handle: SessionHandle) -> Result<&'static str, SessionError> {
    handle.login(Login::new(osei(), Aal::One, Method::Password)).await?;
    Ok("and the code?")
}

async fn totp(handle: SessionHandle) -> Result<&'static str, SessionError> {
    handle.step_up(Aal::Two, Method::Totp).await?;
    Ok("welcome")
}

async fn chart(who: Session) -> Result<String, StepUp> {
    who.require(Aal::Two)?;
    Ok(who.user().to_string())
}

async fn logout(handle: SessionHandle) -> Result<&'static str, SessionError> {
    handle.logout().await?;
    Ok("bye")
}

async fn front(who: Option<Session>) -> &'static str {
    if who.is_some() { "inside" } else { "outside" }
}

async fn stream(_: Session, State(app): State<App>) -> Response {
    Body::new(Channel(app.stream.lock().await.take().unwrap())).into_response()
}

async fn alive(handle: SessionHandle) -> Result<&'static str, SessionError> {
    handle.touch().await?;
    Ok("noted")
}

fn app(sessions: &Sessions) -> (Router, mpsc::UnboundedSender<&'static str>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let app = App { stream: Arc::new(Mutex::new(Some(receiver))) };
    let layer = sessions.layer().interactive(|_, uri| uri.path().starts_with("/htmx/"));
    let router = Router::new()
        .route("/password", post(password))
        .route("/totp", post(totp))
        .route("/logout", post(logout))
        .route("/alive", post(alive))
        .route("/chart", get(chart))
        .route("/stream", get(stream))
        .route("/whoami", get(|who: Session| async move { who.public_id().to_string() }))
        .route("/htmx/row", get(|_: Session| async {}))
        .fallback(get(front))
        .layer(layer)
        .with_state(app);
    (router, sender)
}

/// A browser on the site's own pages.
struct Browser {
    router: Router,
    cookie: Option<String>,
}

impl Browser {
    fn new(router: &Router) -> Self {
        Self { router: router.clone(), cookie: None }
    }

    async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Request::builder().method(method).uri(path).header("host", "clinic.example");
        if !headers.iter().any(|(name, _)| *name == "sec-fetch-site" || *name == "origin") {
            request = request.header("sec-fetch-site", "same-origin");
        }
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", format!("theme=dark; __Host-sid={cookie}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        if let Some(set) = response.headers().get("set-cookie") {
            let value = set.to_str().unwrap().strip_prefix("__Host-sid=").unwrap().split(';').next().unwrap();
            self.cookie = (!value.is_empty()).then(|| value.to_owned());
        }
        response
    }

    async fn get(&mut self, path: &str) -> (StatusCode, String) {
        let response = self.send("GET", path, &[]).await;
        (response.status(), text(response).await)
    }

    async fn sign_in(router: &Router) -> Self {
        let mut browser = Self::new(router);
        assert_eq!(browser.send("POST", "/password", &[]).await.status(), StatusCode::OK);
        assert_eq!(browser.send("POST", "/totp", &[]).await.status(), StatusCode::OK);
        browser
    }
}

async fn text(response: Response) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

fn absent(headers: &HeaderMap, names: &[&str]) {
    for name in names {
        assert!(!headers.contains_key(*name), "{name}: {headers:?}");
    }
}

async fn password_then_code_then_chart_then_logout(sessions: &Sessions) {
    let (router, _) = app(sessions);
    let mut browser = Browser::new(&router);
    assert_eq!(browser.get("/chart").await, (StatusCode::UNAUTHORIZED, "no live session: sign in".into()));

    let response = browser.send("POST", "/password", &[]).await;
    let cookie = response.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict"), "{cookie}");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let first = browser.cookie.clone();
    let (status, said) = browser.get("/chart").await;
    assert_eq!((status, said.as_str()), (StatusCode::FORBIDDEN, "this needs an authentication at AAL2"));

    let id = browser.get("/whoami").await.1;
    browser.send("POST", "/totp", &[]).await;
    let second = browser.cookie.clone();
    assert_ne!(first, second, "a further factor replaces the token");
    assert_eq!(browser.get("/whoami").await.1, id, "and keeps the session");
    browser.cookie = first;
    assert_eq!(browser.get("/chart").await.0, StatusCode::UNAUTHORIZED, "the old token is dead");
    browser.cookie.clone_from(&second);

    let response = browser.send("GET", "/chart", &[]).await;
    assert_eq!(
        (response.status(), &response.headers()["cache-control"]),
        (StatusCode::OK, &"no-store".parse().unwrap())
    );
    absent(response.headers(), &["set-cookie", "clear-site-data"]);
    assert_eq!(text(response).await, "human:dr.osei@clinic.example");

    let response = browser.send("POST", "/logout", &[]).await;
    let headers = response.headers();
    assert_eq!(headers["clear-site-data"], r#""cache", "cookies", "storage""#);
    assert_eq!(headers["set-cookie"], "__Host-sid=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    assert_eq!(headers["cache-control"], "no-store");
    browser.cookie = second;
    assert_eq!(browser.get("/chart").await.0, StatusCode::UNAUTHORIZED, "a logout is final");
    assert_eq!(browser.get("/").await, (StatusCode::OK, "outside".into()), "public pages stay reachable");
}

#[tokio::test]
async fn a_day_in_memory() {
    password_then_code_then_chart_then_logout(&in_memory(Policy::default()).0).await;
}

#[tokio::test]
async fn a_day_in_sqlite() {
    let (sessions, _log, _clock, _pool, _folder) = in_sqlite(Policy::default()).await;
    password_then_code_then_chart_then_logout(&sessions).await;
}

#[tokio::test]
async fn asvs_7_6_2_anonymous_request_creates_nothing() {
    let (sessions, log, _) = in_memory(Policy::default());
    let (router, _) = app(&sessions);
    let response = Browser::new(&router).send("GET", "/", &[]).await;
    absent(response.headers(), &["set-cookie", "cache-control", "clear-site-data"]);
    assert_eq!(text(response).await, "outside");
    assert!(sessions.list_all().await.unwrap().is_empty() && log.all().is_empty());
}

#[tokio::test]
async fn asvs_7_2_1_client_state_never_trusted() {
    let (sessions, _, _) = in_memory(Policy::default());
    let (router, _) = app(&sessions);
    let good = Browser::sign_in(&router).await.cookie.unwrap();
    let unknown = Token::generate().unwrap().expose().to_owned();
    for cookie in [
        "x".to_owned(),
        "A".repeat(43),
        unknown.clone(),
        format!("{good}A"),
        format!("\"{good}\""),
        format!("{good}; __Host-sid={unknown}"),
        format!("{unknown}; __Host-sid={good}"),
    ] {
        let mut browser = Browser { router: router.clone(), cookie: Some(cookie.clone()) };
        assert_eq!(browser.get("/chart").await.0, StatusCode::UNAUTHORIZED, "{cookie}");
        assert_eq!(browser.send("POST", "/password", &[]).await.status(), StatusCode::OK);
        assert_ne!(browser.cookie, Some(cookie), "no client chooses its token");
    }
}

#[tokio::test]
async fn signing_in_again_ends_the_session_that_was_presented() {
    let (sessions, log, _) = in_memory(Policy::default());
    let (router, _) = app(&sessions);
    let mut browser = Browser::sign_in(&router).await;
    let old = browser.cookie.clone();
    browser.send("POST", "/password", &[]).await;
    let mut thief = Browser { router, cookie: old };
    assert_eq!(thief.get("/whoami").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(sessions.list_all().await.unwrap().len(), 1);
    assert!(log.kinds().contains(&"session.replaced".to_owned()));
}

#[tokio::test]
async fn a_logout_is_final_even_where_the_clock_is_behind() {
    let (behind, _, clock, pool, _folder) = in_sqlite(Policy::default()).await;
    let ahead = ManualClock::at_unix_seconds(START + 90);
    let (ahead, _) = over(SqliteSessionStore::open(pool).await.unwrap(), Policy::default(), ahead);
    let mut browser = Browser::sign_in(&app(&ahead).0).await;
    let cookie = browser.cookie.clone();
    browser.router = app(&behind).0;
    assert_eq!(browser.get("/chart").await.0, StatusCode::UNAUTHORIZED, "a row from the future");
    assert_eq!(browser.send("POST", "/logout", &[]).await.status(), StatusCode::OK);
    browser.cookie = cookie;
    clock.advance(Duration::from_secs(90));
    assert_eq!(browser.get("/chart").await.0, StatusCode::UNAUTHORIZED, "it does not come back with the time");
}

#[tokio::test]
async fn requests_of_other_sites_do_not_reach_the_handler() {
    let (sessions, log, _) = in_memory(Policy::default());
    let (router, _) = app(&sessions);
    for foreign in
        [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site"), ("origin", "https://evil.example")]
    {
        let response = Browser::new(&router).send("POST", "/password", &[foreign]).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "before login: {foreign:?}");
        absent(response.headers(), &["set-cookie"]);
    }
    assert!(log.all().is_empty(), "nobody was signed in");
    let mut browser = Browser::sign_in(&router).await;
    let response = browser.send("POST", "/logout", &[("sec-fetch-site", "cross-site")]).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(browser.get("/chart").await.0, StatusCode::OK, "nobody was signed out");
    let own = browser.send("POST", "/alive", &[("origin", "https://clinic.example")]).await;
    assert_eq!(own.status(), StatusCode::OK);
    let bare = Request::post("/alive").header("cookie", format!("__Host-sid={}", browser.cookie.unwrap()));
    let bare = router.oneshot(bare.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(bare.status(), StatusCode::FORBIDDEN, "a cookie with neither header");
}

#[tokio::test]
async fn a_named_origin_may_send_and_the_host_may_not() {
    let (sessions, _, _) = in_memory(Policy::default());
    for wrong in ["clinic.example", "https://clinic.example/", "https://Clinic.example", "ftp://x", "https://"] {
        assert!(sessions.layer().allow_origin(wrong).is_err(), "{wrong}");
    }
    let layer = sessions.layer().allow_origin("https://app.clinic.example").unwrap();
    let router = Router::new().route("/password", post(password)).layer(layer);
    for (origin, expected) in [("https://app.clinic.example", 200), ("https://clinic.example", 403)] {
        let status = Browser::new(&router).send("POST", "/password", &[("origin", origin)]).await.status();
        assert_eq!(status, expected, "{origin}");
    }
}

#[tokio::test]
async fn a_store_that_is_down_answers_503_and_runs_no_handler() {
    let (store, clock) = (Flaky::default(), ManualClock::at_unix_seconds(START));
    let (sessions, _) = over(store.clone(), Policy::default(), clock);
    let (router, _) = app(&sessions);
    let mut browser = Browser::sign_in(&router).await;
    store.down.store(true, Ordering::SeqCst);
    for path in ["/chart", "/"] {
        let response = browser.send("GET", path, &[]).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "never anonymous");
        assert_eq!(text(response).await, "");
    }
    assert_eq!(Browser::new(&router).get("/").await.0, StatusCode::OK, "who presents nothing needs no store");
    store.down.store(false, Ordering::SeqCst);
    assert_eq!(browser.get("/chart").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_recorder_that_is_down_signs_nobody_in() {
    let (sessions, log, clock) = in_memory(Policy::default());
    let (router, _) = app(&sessions);
    let mut inside = Browser::sign_in(&router).await;
    log.refuse(true);
    let response = Browser::new(&router).send("POST", "/password", &[]).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    absent(response.headers(), &["set-cookie"]);
    clock.advance(Duration::from_secs(900));
    assert_eq!(inside.get("/").await.0, StatusCode::SERVICE_UNAVAILABLE, "the expiry has to be recorded first");
}

const NAVIGATE: (&str, &str) = ("sec-fetch-mode", "navigate");

#[tokio::test]
async fn passive_requests_never_extend() {
    let (sessions, _, clock) = in_memory(Policy::default());
    let (router, _) = app(&sessions);
    let mut browser = Browser::sign_in(&router).await;
    let last = || async { sessions.list_all().await.unwrap()[0].last_activity };
    let socket = [("upgrade", "websocket"), ("connection", "upgrade")];
    for (method, path, headers, extends) in [
        ("GET", "/chart", &[][..], true),
        ("GET", "/chart", &[("sec-fetch-dest", "document")], true),
        ("GET", "/chart", &[("sec-fetch-dest", "empty")], false),
        ("GET", "/chart", &[("x-session-passive", "1")], false),
        ("GET", "/chart", &[("accept", "text/html, Text/Event-Stream")], false),
        ("GET", "/chart", &socket, false),
        ("GET", "/htmx/row", &[("sec-fetch-dest", "empty")], true),
        ("GET", "/htmx/row", &[("sec-fetch-dest", "empty"), ("x-session-passive", "1")], false),
        ("POST", "/alive", &[("sec-fetch-dest", "empty")], true),
        ("GET", "/chart", &[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "no-cors")], false),
        ("GET", "/htmx/row", &[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "cors")], false),
        ("GET", "/chart", &[("sec-fetch-site", "same-site"), ("sec-fetch-dest", "iframe"), NAVIGATE], false),
        ("GET", "/chart", &[("sec-fetch-site", "same-site"), ("sec-fetch-dest", "document"), NAVIGATE], true),
    ] {
        clock.advance(Duration::from_secs(20));
        let before = last().await;
        assert_eq!(browser.send(method, path, headers).await.status(), StatusCode::OK, "{headers:?}");
        assert_eq!(last().await > before, extends, "{path} {headers:?}");
    }
    clock.advance(Duration::from_secs(880));
    for _ in 0..20 {
        clock.advance(Duration::from_secs(1));
        browser.send("GET", "/chart", &[("x-session-passive", "1")]).await;
    }
    assert_eq!(browser.get("/chart").await.0, StatusCode::UNAUTHORIZED, "a poller keeps nobody signed in");
}

#[tokio::test]
async fn a_stream_ends_at_the_deadline_and_no_frame_leaves_after_it() {
    let (sessions, log, clock) = in_memory(Policy::default());
    let (router, frames) = app(&sessions);
    let mut browser = Browser::sign_in(&router).await;
    let mut body = browser.send("GET", "/stream", &[("accept", "text/event-stream")]).await.into_body();
    frames.send("one").unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
    clock.advance(Duration::from_secs(900) - Duration::from_micros(1));
    frames.send("two").unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "two", "one microsecond before");
    clock.advance(Duration::from_micros(1));
    frames.send("PHI").unwrap();
    let error = body.frame().await.unwrap().unwrap_err();
    assert!(format!("{error:?}").contains("SessionEnded"), "{error:?}");
    assert!(body.frame().await.is_none(), "and nothing follows");
    assert!(frames.send("PHI").is_err(), "the producer is gone");
    assert_eq!(log.kinds().last().unwrap(), "session.expired_idle");
}

#[tokio::test]
async fn activity_elsewhere_prolongs_a_stream_and_a_revocation_ends_it() {
    let (sessions, _log, clock, _pool, _folder) = in_sqlite(Policy::default()).await;
    let (router, frames) = app(&sessions);
    let mut browser = Browser::sign_in(&router).await;
    let mut body = browser.send("GET", "/stream", &[]).await.into_body();
    for _ in 0..4 {
        clock.advance(Duration::from_secs(600));
        assert_eq!(browser.get("/chart").await.0, StatusCode::OK);
        frames.send("tick").unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "tick");
    }
    sessions.revoke_user(&osei(), &osei()).await.unwrap();
    clock.advance(Duration::from_secs(1));
    frames.send("PHI").unwrap();
    assert!(body.frame().await.unwrap().is_err(), "a second after the revocation");
}

#[tokio::test]
async fn an_answer_that_took_too_long_does_not_leave() {
    let (sessions, _, clock) = in_memory(Policy::default());
    let slow = clock.clone();
    let poll = get(async move |_: Session| {
        slow.advance(Duration::from_secs(900));
        "PHI"
    });
    let router = Router::new().route("/password", post(password)).route("/poll", poll).layer(sessions.layer());
    let mut browser = Browser::new(&router);
    browser.send("POST", "/password", &[]).await;
    let response = browser.send("GET", "/poll", &[("x-session-passive", "1")]).await;
    assert!(response.into_body().collect().await.is_err());
}

#[tokio::test]
async fn a_websocket_loop_rechecks() {
    let (sessions, _, clock) = in_memory(Policy::default());
    let issued = sessions.login(Login::new(osei(), Aal::One, Method::Password), None).await.unwrap();
    assert!(sessions.recheck(&issued.session).await.is_ok());
    clock.advance(Duration::from_secs(900));
    assert!(matches!(sessions.recheck(&issued.session).await, Err(SessionError::Denied(_))));
}

#[tokio::test]
async fn without_the_layer_nothing_runs() {
    let router = Router::new().route("/chart", get(chart)).route("/password", post(password)).fallback(get(front));
    for (method, path) in [("GET", "/chart"), ("POST", "/password"), ("GET", "/")] {
        let status = Browser::new(&router).send(method, path, &[]).await.status();
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
    }
}

#[tokio::test]
async fn a_second_login_in_one_request_leaves_one_session() {
    let (sessions, _, _) = in_memory(Policy::default());
    let twice = post(async |handle: SessionHandle| -> Result<(), SessionError> {
        handle.login(Login::new(osei(), Aal::One, Method::Password)).await?;
        handle.step_up(Aal::Two, Method::Totp).await?;
        handle.login(Login::new(osei(), Aal::Two, Method::WebAuthn)).await?;
        Ok(())
    });
    let router = Router::new().route("/twice", twice).route("/chart", get(chart)).layer(sessions.layer());
    let mut browser = Browser::new(&router);
    let response = browser.send("POST", "/twice", &[]).await;
    assert_eq!(response.headers().get_all("set-cookie").iter().count(), 1);
    assert_eq!(sessions.list_all().await.unwrap().len(), 1);
    assert_eq!(browser.get("/chart").await.0, StatusCode::OK);
}

#[test]
fn the_futures_are_send_and_the_store_is_shared() {
    fn is_send<T: Send>(_: T) {}
    let store: Arc<dyn SessionStore> = Arc::new(MemorySessionStore::new());
    let sessions = Sessions::builder(store).token_key(crate::support::key()).recorder(Log::default()).build();
    is_send(sessions.login(Login::new(osei(), Aal::One, Method::Password), None));
    is_send(sessions.sweep());
}
