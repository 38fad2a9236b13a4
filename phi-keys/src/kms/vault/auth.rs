//! How to sign in.

use core::fmt;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use zeroize::Zeroizing;

use super::call::Call;
use super::error::VaultError;
use super::name;

/// Where Kubernetes mounts the token of a pod's service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// How to sign in to Vault. Its `Debug` shows no secrets.
///
/// ```
/// use phi_keys::vault::VaultAuth;
///
/// let auth = VaultAuth::app_role("b6a1…", "5f2c…".to_owned().into()).at_mount("clinic-approle");
/// assert_eq!(format!("{auth:?}"), "VaultAuth(approle at clinic-approle)");
/// ```
#[derive(Clone)]
pub struct VaultAuth {
    method: Method,
    mount: String,
}

#[derive(Clone)]
enum Method {
    Token(SecretString),
    /// The token that a caller's client came with.
    AsGiven,
    AppRole {
        role_id: String,
        secret_id: SecretString,
    },
    Kubernetes {
        role: String,
        jwt: PathBuf,
    },
}

impl VaultAuth {
    /// A token that somebody else obtained. It is renewed while it can be; a later one is given to
    /// [`VaultKms::set_token`](super::VaultKms::set_token).
    #[must_use]
    pub fn token(token: SecretString) -> Self {
        Self { method: Method::Token(token), mount: String::new() }
    }

    /// The AppRole login, at the mount `approle`.
    #[must_use]
    pub fn app_role(role_id: impl Into<String>, secret_id: SecretString) -> Self {
        Self { method: Method::AppRole { role_id: role_id.into(), secret_id }, mount: "approle".to_owned() }
    }

    /// The Kubernetes login with the service account of this pod, at the mount `kubernetes`. The service account's token is
    /// read again for each login.
    #[must_use]
    pub fn kubernetes(role: impl Into<String>) -> Self {
        Self {
            method: Method::Kubernetes { role: role.into(), jwt: SERVICE_ACCOUNT.into() },
            mount: "kubernetes".to_owned(),
        }
    }

    /// Another file of the service account's token, such as a projected one. Changes the Kubernetes login only.
    #[must_use]
    pub fn with_token_file(mut self, path: impl Into<PathBuf>) -> Self {
        if let Method::Kubernetes { jwt, .. } = &mut self.method {
            *jwt = path.into();
        }
        self
    }

    /// Another mount of the login method. A token has none.
    #[must_use]
    pub fn at_mount(mut self, mount: impl Into<String>) -> Self {
        self.mount = mount.into();
        self
    }

    pub(super) const fn as_given() -> Self {
        Self { method: Method::AsGiven, mount: String::new() }
    }

    pub(super) fn check(&self) -> Result<(), VaultError> {
        match &self.method {
            Method::AsGiven => Ok(()),
            Method::Token(token) if name::is_token(token.expose_secret()) => Ok(()),
            Method::Token(_) => {
                Err(VaultError::Config("a Vault token is printable ASCII without spaces: is it trimmed?"))
            }
            Method::AppRole { .. } | Method::Kubernetes { .. } if name::is_path(&self.mount) => Ok(()),
            _ => Err(VaultError::Config("the mount of the Vault login is not a path such as `approle`")),
        }
    }

    /// Whether a lost token can be replaced.
    pub(super) const fn can_sign_in(&self) -> bool {
        matches!(self.method, Method::AppRole { .. } | Method::Kubernetes { .. })
    }

    /// The token to begin with, if it needs no login.
    pub(super) fn first_token(&self) -> Option<&str> {
        match &self.method {
            Method::Token(token) => Some(token.expose_secret()),
            _ => None,
        }
    }

    /// The request that signs in.
    pub(super) fn login(&self) -> Result<Call, VaultError> {
        let path = format!("auth/{}/login", self.mount);
        match &self.method {
            Method::Token(_) | Method::AsGiven => Err(VaultError::TokenExpired),
            Method::AppRole { role_id, secret_id } => {
                Call::post(path, &json!({ "role_id": role_id, "secret_id": secret_id.expose_secret() }))
            }
            Method::Kubernetes { role, jwt } => {
                let jwt = Zeroizing::new(std::fs::read_to_string(jwt).map_err(|_| VaultError::Credentials)?);
                Call::post(path, &json!({ "role": role, "jwt": jwt.trim() }))
            }
        }
    }
}

impl fmt::Debug for VaultAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.method {
            Method::Token(_) => f.write_str("VaultAuth(token)"),
            Method::AsGiven => f.write_str("VaultAuth(token of the client)"),
            Method::AppRole { .. } => write!(f, "VaultAuth(approle at {})", self.mount),
            Method::Kubernetes { .. } => write!(f, "VaultAuth(kubernetes at {})", self.mount),
        }
    }
}
