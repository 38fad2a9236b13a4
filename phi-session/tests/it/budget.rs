//! What the layer costs a request, in allocations.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use http::{Request, Response};
use http_body_util::Empty;
use phi_session::{Aal, Login, Method, Policy, SessionHandle, SessionLayer};
use tower::{Layer as _, Service};

use crate::support::{in_memory, osei};

type Answer = Response<Empty<&'static [u8]>>;

fn handler(request: Request<()>) -> Ready<Result<Answer, Infallible>> {
    let authenticated = request.extensions().get::<SessionHandle>().is_some_and(|handle| handle.session().is_ok());
    let mut response = Response::new(Empty::new());
    if !authenticated {
        *response.status_mut() = http::StatusCode::UNAUTHORIZED;
    }
    ready(Ok(response))
}

#[test]
fn an_authenticated_request_allocates_at_most_eight_times() {
    let (sessions, _, _) = in_memory(Policy::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let issued = runtime.block_on(sessions.login(Login::new(osei(), Aal::One, Method::Password), None)).unwrap();
    let cookie = format!("theme=dark; __Host-sid={}", issued.token.expose());
    let mut service = SessionLayer::new(sessions).layer(tower::service_fn(handler));
    for warm in [true, false] {
        let request =
            Request::get("/chart").header("cookie", &cookie).header("accept", "text/html,*/*;q=0.8").body(()).unwrap();
        let counted = allocation_counter::measure(|| {
            let mut future = pin!(service.call(request));
            let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            let Poll::Ready(Ok(response)) = polled else { panic!("a session in memory is found at once") };
            assert_eq!(response.status(), 200);
        });
        assert!(warm || counted.count_total <= 8, "{} allocations", counted.count_total);
        println!("{} allocations", counted.count_total);
    }
}
