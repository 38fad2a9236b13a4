//! Who asks, and whether they may.

use axum::extract::FromRequestParts;
use axum::http::Extensions;
use axum::http::request::Parts;
use phi_session::{Aal, Session, SessionHandle};
use phi_types::{Action, Activity, Actor, Outcome};

use super::problem::Problem;
use crate::app::App;
use crate::auth::Role;
use crate::pages::Who;

/// Somebody who proved both factors.
pub(crate) struct SignedIn {
    pub(crate) session: Session,
    pub(crate) who: Who,
}

/// A clinician.
pub(crate) struct Clinician(pub(crate) SignedIn);

/// A security officer.
pub(crate) struct Officer(pub(crate) SignedIn);

impl FromRequestParts<App> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let session = <Session as FromRequestParts<App>>::from_request_parts(parts, app).await;
        let session = session.map_err(|_| Problem::SignIn)?;
        session.require(Aal::Two).map_err(|_| Problem::SecondFactor)?;
        let role = session.role().and_then(Role::from_text).ok_or(Problem::Forbidden)?;
        let who = Who { login: session.user().id().to_owned(), role };
        Ok(Self { session, who })
    }
}

impl FromRequestParts<App> for Clinician {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        in_role(Role::Clinician, parts, app).await.map(Self)
    }
}

impl FromRequestParts<App> for Officer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        in_role(Role::SecurityOfficer, parts, app).await.map(Self)
    }
}

/// For the audit layer: who acts in this request, and in which session.
pub(super) fn identify(extensions: &Extensions) -> Option<(Actor, Option<String>)> {
    let session = extensions.get::<SessionHandle>()?.session().ok()?;
    Some((session.user().clone(), Some(session.public_id().to_string())))
}

/// A refusal is recorded before it is answered.
async fn in_role(role: Role, parts: &mut Parts, app: &App) -> Result<SignedIn, Problem> {
    let signed_in = SignedIn::from_request_parts(parts, app).await?;
    if signed_in.who.role == role {
        return Ok(signed_in);
    }
    let refused = Activity::new("access.refused", Action::Execute, Outcome::Refused, app.clock.now())
        .by(signed_in.session.user().clone())
        .in_session(signed_in.session.public_id().to_string())
        .with("needs", role.as_str());
    app.record(refused).await?;
    Err(Problem::Forbidden)
}
