//! HTTP Strict Transport Security (RFC 6797).

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;

use http::header::STRICT_TRANSPORT_SECURITY;
use http::{HeaderValue, Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

const SHORTEST: u64 = 300;
const LONGEST: u64 = 2 * 365 * 86_400;
/// What the lists that browsers ship ask for.
const PRELOADED: u64 = 365 * 86_400;

/// Tells browsers to use nothing but HTTPS for this host: a tower layer that puts `Strict-Transport-Security` on every
/// answer, in place of one that is there.
///
/// It belongs on what is served through TLS; browsers ignore it elsewhere, and RFC 6797 wants it left out there.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use http::{Request, Response};
/// use phi_crypto::tls::Hsts;
/// use tower::{ServiceBuilder, ServiceExt as _, service_fn};
///
/// let year = Duration::from_secs(365 * 86_400);
/// let service = ServiceBuilder::new()
///     .layer(Hsts::new(year)?.include_subdomains())
///     .service(service_fn(|_: Request<()>| async { Ok::<_, std::convert::Infallible>(Response::new(())) }));
/// let answer = service.oneshot(Request::new(())).await?;
/// assert_eq!(answer.headers()["strict-transport-security"], "max-age=31536000; includeSubDomains");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hsts {
    seconds: u64,
    subdomains: bool,
    preload: bool,
}

/// The header would be refused or ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HstsError {
    /// Not 5 minutes to 2 years.
    MaxAge,
    /// Less than a year, or without subdomains.
    Preload,
}

impl fmt::Display for HstsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MaxAge => {
                "browsers are told to use HTTPS for 5 minutes to 2 years; begin short, and raise it to a year"
            }
            Self::Preload => "browsers' lists take a host only for a year and more, with its subdomains",
        })
    }
}

impl core::error::Error for HstsError {}

impl Hsts {
    /// HTTPS for so long, in whole seconds, counted anew with every answer.
    ///
    /// # Errors
    /// [`HstsError::MaxAge`] outside 5 minutes to 2 years.
    pub const fn new(max_age: Duration) -> Result<Self, HstsError> {
        match max_age.as_secs() {
            seconds @ SHORTEST..=LONGEST => Ok(Self { seconds, subdomains: false, preload: false }),
            _ => Err(HstsError::MaxAge),
        }
    }

    /// Lets browsers forget the host: `max-age=0`. The way back, when a host has to be reached without TLS again.
    #[must_use]
    pub const fn forget() -> Self {
        Self { seconds: 0, subdomains: false, preload: false }
    }

    /// Every subdomain too, also those that are served by somebody else.
    #[must_use]
    pub const fn include_subdomains(mut self) -> Self {
        self.subdomains = true;
        self
    }

    /// Agrees to the lists that browsers ship. It takes months to get off them again.
    ///
    /// # Errors
    /// [`HstsError::Preload`] unless for a year and more with subdomains.
    pub const fn preload(mut self) -> Result<Self, HstsError> {
        if self.seconds < PRELOADED || !self.subdomains {
            return Err(HstsError::Preload);
        }
        self.preload = true;
        Ok(self)
    }

    /// The value of the header.
    #[must_use]
    pub fn header_value(&self) -> HeaderValue {
        let subdomains = if self.subdomains { "; includeSubDomains" } else { "" };
        let preload = if self.preload { "; preload" } else { "" };
        let text = format!("max-age={}{subdomains}{preload}", self.seconds);
        // Digits, letters, `=`, `;` and spaces are what a header may hold.
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("max-age=0"))
    }
}

impl<S> Layer<S> for Hsts {
    type Service = HstsService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        HstsService { inner, value: self.header_value() }
    }
}

/// Made by [`Hsts`], which says what it does.
#[derive(Debug, Clone)]
pub struct HstsService<S> {
    inner: S,
    value: HeaderValue,
}

impl<S, B, R> Service<Request<B>> for HstsService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = HstsFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        HstsFuture { future: self.inner.call(request), value: self.value.clone() }
    }
}

pin_project! {
    /// The future of [`HstsService`].
    #[derive(Debug)]
    pub struct HstsFuture<F> {
        #[pin]
        future: F,
        value: HeaderValue,
    }
}

impl<F, R, E> Future for HstsFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.future.poll(cx))?;
        response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, this.value.clone());
        Poll::Ready(Ok(response))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: Duration = Duration::from_secs(PRELOADED);

    #[test]
    fn the_header_is_that_of_rfc_6797_within_its_bounds() {
        let text = |hsts: Hsts| hsts.header_value().to_str().unwrap().to_owned();
        assert_eq!(text(Hsts::new(YEAR).unwrap()), "max-age=31536000");
        let all = Hsts::new(2 * YEAR).unwrap().include_subdomains().preload().unwrap();
        assert_eq!(text(all), "max-age=63072000; includeSubDomains; preload");
        assert_eq!(text(Hsts::forget()), "max-age=0");
        for (seconds, taken) in [(0, false), (299, false), (300, true), (LONGEST, true), (LONGEST + 1, false)] {
            assert_eq!(Hsts::new(Duration::from_secs(seconds)).is_ok(), taken, "{seconds}");
        }
        assert_eq!(Hsts::new(YEAR).unwrap().preload(), Err(HstsError::Preload));
        assert_eq!(Hsts::new(YEAR / 2).unwrap().include_subdomains().preload(), Err(HstsError::Preload));
    }
}
