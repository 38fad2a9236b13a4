//! The challenge, and the token endpoint it names.

use std::collections::BTreeMap;

use http::StatusCode;
use http::header::WWW_AUTHENTICATE;
use serde_json::{Value, json};

use crate::call::Call;
use crate::env::Env;
use crate::reply::Reply;

/// An hour, as the identity service usually gives.
const TTL: i64 = 3_600;

#[derive(Debug)]
pub(super) struct Tokens {
    tenant: String,
    client_id: String,
    client_secret: String,
    /// What a workload's platform gives it, and this tenant trusts.
    assertion: String,
    resource: &'static str,
    /// Unix seconds of expiry, by token.
    issued: BTreeMap<String, i64>,
}

impl Tokens {
    pub(super) fn seeded(env: &Env, hsm: bool) -> (Self, Value) {
        let mut tokens = Self {
            tenant: env.uuid(),
            client_id: env.uuid(),
            client_secret: env.id::<20>(),
            assertion: format!("eyJhbGciOiJSUzI1NiJ9.{}.{}", env.id::<24>(), env.id::<32>()),
            resource: if hsm { "https://managedhsm.azure.net" } else { "https://vault.azure.net" },
            issued: BTreeMap::new(),
        };
        let ready = tokens.issue(env);
        let facts = json!({
            "tenant": tokens.tenant,
            "client_id": tokens.client_id,
            "client_secret": tokens.client_secret,
            "assertion": tokens.assertion,
            "resource": tokens.resource,
            "scope": format!("{}/.default", tokens.resource),
            "token": ready,
        });
        (tokens, facts)
    }

    fn issue(&mut self, env: &Env) -> String {
        let token = format!("eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.{}.{}", env.id::<24>(), env.id::<32>());
        self.issued.insert(token.clone(), env.unix_seconds() + TTL);
        token
    }

    /// The client-credentials grant, by a secret or by an assertion (RFC 7523).
    pub(super) fn grant(&mut self, tenant: &str, form: &BTreeMap<String, String>, env: &Env) -> Reply {
        let is = |name: &str, value: &str| form.get(name).is_some_and(|sent| sent == value);
        let refusal = |status, error: &str, description: &str| {
            Reply::new(status, json!({ "error": error, "error_description": description }))
        };
        if tenant != self.tenant {
            return refusal(StatusCode::BAD_REQUEST, "invalid_request", "AADSTS90002: Tenant not found.");
        }
        if !is("grant_type", "client_credentials") {
            return refusal(
                StatusCode::BAD_REQUEST,
                "unsupported_grant_type",
                "AADSTS70003: The grant type is not supported.",
            );
        }
        let by_assertion = is("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        let known = if by_assertion {
            is("client_assertion", &self.assertion)
        } else {
            is("client_secret", &self.client_secret)
        };
        if !is("client_id", &self.client_id) || !known {
            return refusal(
                StatusCode::UNAUTHORIZED,
                "invalid_client",
                "AADSTS7000215: Invalid client secret provided.",
            );
        }
        let scoped = form
            .get("scope")
            .is_some_and(|scope| scope.split(' ').any(|scope| scope.strip_suffix("/.default") == Some(self.resource)));
        if !scoped {
            return refusal(
                StatusCode::BAD_REQUEST,
                "invalid_scope",
                "AADSTS70011: The provided value for scope is not valid.",
            );
        }
        let token = self.issue(env);
        Reply::ok(json!({ "token_type": "Bearer", "expires_in": TTL, "ext_expires_in": TTL, "access_token": token }))
    }

    /// # Errors
    /// The challenge, if the request carries no living token.
    pub(super) fn check(&self, call: &Call, base: &str, env: &Env) -> Result<(), Reply> {
        let Some(token) = call.bearer() else { return Err(self.challenge(base, false)) };
        match self.issued.get(token) {
            Some(expires) if *expires > env.unix_seconds() => Ok(()),
            _ => Err(self.challenge(base, true)),
        }
    }

    pub(super) fn challenge(&self, base: &str, had_token: bool) -> Reply {
        let mut header = format!("Bearer authorization=\"{base}/{}\", resource=\"{}\"", self.tenant, self.resource);
        let message = if had_token {
            header.push_str(", error=\"invalid_token\", error_description=\"The token is expired.\"");
            "Error validating token: IDX10223: Lifetime validation failed. The token is expired."
        } else {
            "AKV10000: Request is missing a Bearer or PoP token."
        };
        Reply::new(StatusCode::UNAUTHORIZED, json!({ "error": { "code": "Unauthorized", "message": message } }))
            .header(WWW_AUTHENTICATE, &header)
    }
}

pub(super) fn metadata(base: &str, tenant: &str) -> Reply {
    let authority = format!("{base}/{tenant}");
    Reply::ok(json!({
        "issuer": format!("{authority}/v2.0"),
        "authorization_endpoint": format!("{authority}/oauth2/v2.0/authorize"),
        "token_endpoint": format!("{authority}/oauth2/v2.0/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
    }))
}
