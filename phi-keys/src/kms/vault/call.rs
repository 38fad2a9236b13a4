//! One request to Vault and its answer, over the client of `vaultrs`.
//!
//! The functions of `vaultrs` drop the headers of a refusal, with them `Retry-After`, and know no batches; its client and
//! middleware are used directly instead.

use core::fmt;
use core::time::Duration;

use http::header::{DATE, RETRY_AFTER};
use rustify::Endpoint;
use rustify::client::Client as _;
use rustify::clients::reqwest::Client as HttpClient;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use rustify::errors::ClientError;
use serde::{Deserialize, Serialize};
use vaultrs::api::EndpointMiddleware;
use zeroize::Zeroizing;

use super::error::{VaultError, classify};
use crate::kms::retry_after;

/// A request.
pub(super) struct Call {
    method: RequestMethod,
    path: String,
    body: Option<Zeroizing<Vec<u8>>>,
}

impl Call {
    pub(super) const fn get(path: String) -> Self {
        Self { method: RequestMethod::GET, path, body: None }
    }

    /// With a body, which is wiped here after use; the copy that the HTTP client makes is not.
    pub(super) fn post(path: String, body: &impl Serialize) -> Result<Self, VaultError> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(1024));
        serde_json::to_writer(&mut *bytes, body).map_err(|_| VaultError::Config("the request cannot be written"))?;
        Ok(Self { method: RequestMethod::POST, path, body: Some(bytes) })
    }

    /// Sends it and waits for the whole answer, whatever its status.
    pub(super) async fn send(
        &self,
        http: &HttpClient,
        middle: &EndpointMiddleware,
        timeout: Duration,
    ) -> Result<Answer, VaultError> {
        let call = Request(self);
        let request =
            call.with_middleware(middle).request(http.base()).map_err(|_| VaultError::Config("no valid address"))?;
        let response = tokio::time::timeout(timeout, http.send(request))
            .await
            .map_err(|_| VaultError::Timeout)?
            .map_err(|_| VaultError::Unreachable)?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let retry_after = retry_after::wait(header(RETRY_AFTER), header(DATE));
        let status = response.status().as_u16();
        Ok(Answer { status, retry_after, body: Zeroizing::new(response.into_body()) })
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("method", &self.method).field("path", &self.path).finish_non_exhaustive()
    }
}

/// Lends a call to the middleware.
struct Request<'a>(&'a Call);

impl Endpoint for Request<'_> {
    type Response = ();
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.0.path.clone()
    }

    fn method(&self) -> RequestMethod {
        self.0.method.clone()
    }

    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        Ok(self.0.body.as_ref().map(|body| body.to_vec()))
    }
}

/// An answer. Its body may hold a key and is wiped.
pub(super) struct Answer {
    pub(super) status: u16,
    retry_after: Option<Duration>,
    body: Zeroizing<Vec<u8>>,
}

impl Answer {
    /// The answer, if it is a success.
    pub(super) fn succeeded(self) -> Result<Self, VaultError> {
        if (200..=299).contains(&self.status) { Ok(self) } else { Err(self.refusal()) }
    }

    /// Whether the token is not accepted, or its policy does not allow this.
    pub(super) const fn is_denied(&self) -> bool {
        matches!(self.status, 401 | 403)
    }

    /// What the answer means, given that it is none.
    pub(super) fn refusal(&self) -> VaultError {
        classify(self.status, self.retry_after, &self.body)
    }

    /// The part of the answer that `T` describes.
    pub(super) fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, VaultError> {
        serde_json::from_slice(&self.body).map_err(|_| VaultError::Malformed)
    }
}
