//! Tokens: their time to live, renewal and policies.

use std::collections::BTreeMap;

use phi_types::Timestamp;
use serde_json::{Value, json};

use super::policy::{self, Capability};
use super::route::Route;
use crate::env::Env;

/// Ten minutes: what a login of this server gives.
pub(super) const LOGIN_TTL: i64 = 600;
/// An hour: beyond it no renewal reaches.
pub(super) const LOGIN_MAX_TTL: i64 = 3_600;

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) id: String,
    pub(super) accessor: String,
    pub(super) path: &'static str,
    pub(super) display_name: String,
    pub(super) policies: Vec<String>,
    pub(super) meta: Value,
    pub(super) namespace: String,
    /// Unix seconds.
    pub(super) issued: i64,
    /// Seconds of the first lease; 0 for a token that never expires.
    pub(super) ttl: i64,
    /// Seconds from issue beyond which it cannot be renewed; 0 for none.
    pub(super) max_ttl: i64,
    /// Unix seconds; `None` for a token that never expires.
    pub(super) expires: Option<i64>,
    pub(super) renewable: bool,
    /// Uses left; 0 for any number.
    pub(super) num_uses: u64,
}

impl Token {
    pub(super) fn may(&self, route: &Route<'_>, capability: Capability) -> bool {
        self.policies.iter().any(|name| policy::allows(name, route, capability))
    }

    fn left(&self, now: i64) -> i64 {
        self.expires.map_or(0, |at| (at - now).max(0))
    }

    /// As `lookup-self` shows it.
    pub(super) fn shown(&self, now: i64) -> Value {
        json!({
            "accessor": self.accessor,
            "creation_time": self.issued,
            "creation_ttl": self.ttl,
            "display_name": self.display_name,
            "entity_id": "",
            "expire_time": self.expires.map(|at| Timestamp::from_unix_seconds(at).to_string()),
            "explicit_max_ttl": 0,
            "id": self.id,
            "issue_time": Timestamp::from_unix_seconds(self.issued).to_string(),
            "meta": self.meta,
            "num_uses": self.num_uses,
            "orphan": true,
            "path": self.path,
            "policies": self.policies,
            "renewable": self.renewable,
            "ttl": self.left(now),
            "type": "service",
        })
    }

    /// As the `auth` block of a login or renewal shows it.
    pub(super) fn granted(&self, now: i64) -> Value {
        json!({
            "client_token": self.id,
            "accessor": self.accessor,
            "policies": self.policies,
            "token_policies": self.policies,
            "identity_policies": [],
            "metadata": self.meta,
            "orphan": true,
            "entity_id": "",
            "lease_duration": self.left(now),
            "renewable": self.renewable,
            "token_type": "service",
            "num_uses": self.num_uses,
            "mfa_requirement": null,
        })
    }
}

/// What a new token is to be.
#[derive(Debug)]
pub(super) struct Grant<'a> {
    pub(super) path: &'static str,
    pub(super) display_name: &'a str,
    pub(super) policies: Vec<String>,
    pub(super) meta: Value,
    pub(super) namespace: &'a str,
    pub(super) ttl: i64,
    pub(super) max_ttl: i64,
    pub(super) renewable: bool,
    pub(super) num_uses: u64,
}

#[derive(Debug)]
pub(super) struct Tokens {
    by_id: BTreeMap<String, Token>,
    pub(super) role_id: String,
    pub(super) secret_id: String,
    pub(super) kubernetes_role: &'static str,
    pub(super) kubernetes_jwt: String,
}

impl Tokens {
    /// The root token, a wrap-only token, and the credentials of both logins, which are also the facts.
    pub(super) fn seeded(env: &Env) -> (Self, Value) {
        let mut tokens = Self {
            by_id: BTreeMap::new(),
            role_id: env.uuid(),
            secret_id: env.uuid(),
            kubernetes_role: "phi",
            kubernetes_jwt: format!("eyJhbGciOiJSUzI1NiJ9.{}.{}", env.id::<24>(), env.id::<32>()),
        };
        let forever = |display_name, policies: &[&str]| Grant {
            path: "auth/token/root",
            display_name,
            policies: policies.iter().map(|&name| name.to_owned()).collect(),
            meta: Value::Null,
            namespace: "",
            ttl: 0,
            max_ttl: 0,
            renewable: false,
            num_uses: 0,
        };
        let root = tokens.issue(forever("root", &["root"]), env).id;
        let user = tokens.issue(forever("token-phi-keys", &["default", "phi-keys"]), env).id;
        let wrap_only = tokens.issue(forever("token-wrap-only", &["default", "phi-wrap-only"]), env).id;
        let facts = json!({
            "root_token": root,
            "token": user,
            "wrap_only_token": wrap_only,
            "role_id": tokens.role_id,
            "secret_id": tokens.secret_id,
            "kubernetes_role": tokens.kubernetes_role,
            "kubernetes_jwt": tokens.kubernetes_jwt,
        });
        (tokens, facts)
    }

    pub(super) fn issue(&mut self, grant: Grant<'_>, env: &Env) -> Token {
        let now = env.unix_seconds();
        let token = Token {
            id: format!("hvs.{}", env.id::<24>()),
            accessor: env.id::<12>(),
            path: grant.path,
            display_name: grant.display_name.to_owned(),
            policies: grant.policies,
            meta: grant.meta,
            namespace: grant.namespace.to_owned(),
            issued: now,
            ttl: grant.ttl,
            max_ttl: grant.max_ttl,
            expires: (grant.ttl > 0).then(|| now.saturating_add(grant.ttl)),
            renewable: grant.renewable,
            num_uses: grant.num_uses,
        };
        self.by_id.insert(token.id.clone(), token.clone());
        token
    }

    /// The living token a request carries, good in its namespace or below it; spends one of its uses.
    pub(super) fn accept(&mut self, id: Option<&str>, namespace: &str, env: &Env) -> Option<Token> {
        let id = id?;
        let now = env.unix_seconds();
        let token = self.by_id.get_mut(id)?;
        if token.expires.is_some_and(|at| at <= now) {
            self.by_id.remove(id);
            return None;
        }
        if !token.namespace.is_empty() && token.namespace != namespace {
            return None;
        }
        let accepted = token.clone();
        if token.num_uses == 1 {
            self.by_id.remove(id);
        } else if token.num_uses > 1 {
            token.num_uses -= 1;
        }
        Some(accepted)
    }

    /// Extends a token by `increment` seconds (0: by its own time to live), never beyond its maximum. Gives the token
    /// and whether it was cut short; `None` if it cannot be renewed.
    pub(super) fn renew(&mut self, id: &str, increment: i64, env: &Env) -> Option<(Token, bool)> {
        let now = env.unix_seconds();
        let token = self.by_id.get_mut(id).filter(|token| token.renewable)?;
        let wanted = now.saturating_add(if increment > 0 { increment } else { token.ttl });
        let last = if token.max_ttl > 0 { token.issued.saturating_add(token.max_ttl) } else { i64::MAX };
        token.expires = Some(wanted.min(last));
        Some((token.clone(), wanted > last))
    }

    pub(super) fn revoke(&mut self, id: &str) {
        self.by_id.remove(id);
    }
}
