//! Answers that are not what was asked for. They say what to do, and nothing about whom or why inside.

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};

use crate::failure::Failure;
use crate::pages;
use crate::records::ChartError;

#[derive(Debug)]
pub(crate) enum Problem {
    /// Nobody is signed in.
    SignIn,
    /// The second factor is missing.
    SecondFactor,
    /// The role does not include this.
    Forbidden,
    NotFound,
    /// The patient was shredded.
    Gone,
    /// A stored value is not what was stored.
    Altered,
    /// Something failed; the log says what.
    Failed,
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        tracing::error!(error = %failure, "a request failed");
        Self::Failed
    }
}

impl From<ChartError> for Problem {
    fn from(error: ChartError) -> Self {
        match error {
            ChartError::Unknown => Self::NotFound,
            ChartError::Shredded => Self::Gone,
            ChartError::Altered(column) => {
                tracing::error!(column, "a sealed value was altered or moved");
                Self::Altered
            }
            ChartError::Failed(failure) => failure.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, title, text) = match self {
            Self::SignIn => return Redirect::to("/login").into_response(),
            Self::SecondFactor => return Redirect::to("/login/code").into_response(),
            Self::Forbidden => (StatusCode::FORBIDDEN, "Not allowed", "Your role does not include this page."),
            Self::NotFound => (StatusCode::NOT_FOUND, "Not found", "There is nothing at this address."),
            Self::Gone => (
                StatusCode::GONE,
                "Record destroyed",
                "The key of this record was destroyed. Its contents cannot be read any more.",
            ),
            Self::Altered => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Record altered",
                "A stored value of this record was changed outside the clinic, so the record is not shown. The event was logged.",
            ),
            Self::Failed => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Not available",
                "The clinic cannot answer safely at the moment. Try again later.",
            ),
        };
        (status, Html(pages::problem(title, text, None).into_string())).into_response()
    }
}
