//! Logins, and what a token may do to itself.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::answer::{self, bad_request, errors, permission_denied};
use super::batch::{integer, text};
use super::route::Route;
use super::tokens::{Grant, LOGIN_MAX_TTL, LOGIN_TTL, Token, Tokens};
use crate::env::Env;
use crate::reply::Reply;

/// The two logins, which need no token.
pub(super) fn login(
    route: &Route<'_>,
    body: &Map<String, Value>,
    tokens: &mut Tokens,
    namespace: &str,
    env: &Env,
) -> Option<Reply> {
    let (path, display_name, meta) = match route {
        Route::AppRoleLogin => {
            if text(body, "role_id") != tokens.role_id || text(body, "secret_id") != tokens.secret_id {
                return Some(bad_request("invalid role or secret ID"));
            }
            ("auth/approle/login", "approle", json!({ "role_name": "phi" }))
        }
        Route::KubernetesLogin => {
            if text(body, "jwt").is_empty() {
                return Some(bad_request("missing jwt"));
            }
            if text(body, "role") != tokens.kubernetes_role {
                return Some(bad_request(&format!("invalid role name \"{}\"", text(body, "role"))));
            }
            if text(body, "jwt") != tokens.kubernetes_jwt {
                return Some(errors(StatusCode::FORBIDDEN, &["permission denied"]));
            }
            ("auth/kubernetes/login", "kubernetes-phi", json!({ "role": "phi", "service_account_name": "phi" }))
        }
        _ => return None,
    };
    let grant = Grant {
        path,
        display_name,
        policies: vec!["default".to_owned(), "phi-keys".to_owned()],
        meta,
        namespace,
        ttl: LOGIN_TTL,
        max_ttl: LOGIN_MAX_TTL,
        renewable: true,
        num_uses: 0,
    };
    let token = tokens.issue(grant, env);
    Some(answer::auth(env, &token.granted(env.unix_seconds()), &[]))
}

/// The endpoints below `auth/token/`.
pub(super) fn answer(
    route: &Route<'_>,
    body: &Map<String, Value>,
    tokens: &mut Tokens,
    token: &Token,
    env: &Env,
) -> Option<Reply> {
    let now = env.unix_seconds();
    Some(match route {
        Route::LookupSelf => answer::data(env, token.shown(now), &[]),
        Route::RenewSelf => match tokens.renew(&token.id, seconds(body, "increment"), env) {
            None => bad_request("lease is not renewable"),
            Some((renewed, false)) => answer::auth(env, &renewed.granted(now), &[]),
            Some((renewed, true)) => {
                let warning = format!(
                    "TTL exceeded the effective max_ttl of \"{}s\"; TTL value is capped accordingly",
                    renewed.max_ttl
                );
                answer::auth(env, &renewed.granted(now), &[warning])
            }
        },
        Route::RevokeSelf => {
            tokens.revoke(&token.id);
            Reply::empty(StatusCode::NO_CONTENT)
        }
        Route::CreateToken if !token.policies.iter().any(|name| name == "root") => permission_denied(),
        Route::CreateToken => {
            let mut policies: Vec<String> = body
                .get("policies")
                .and_then(Value::as_array)
                .map(|names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
                .unwrap_or_else(|| vec!["root".to_owned()]);
            if !policies.iter().any(|name| name == "root" || name == "default") {
                policies.push("default".to_owned());
            }
            let created = tokens.issue(
                Grant {
                    path: "auth/token/create",
                    display_name: "token",
                    policies,
                    meta: body.get("meta").cloned().unwrap_or(Value::Null),
                    namespace: &token.namespace,
                    ttl: seconds(body, "ttl"),
                    max_ttl: seconds(body, "explicit_max_ttl"),
                    renewable: body.get("renewable").and_then(Value::as_bool).unwrap_or(true),
                    num_uses: u64::try_from(seconds(body, "num_uses")).unwrap_or_default(),
                },
                env,
            );
            answer::auth(env, &created.granted(now), &[])
        }
        _ => return None,
    })
}

/// A number of seconds, plain or as Vault writes durations: `30`, `"30"`, `"30s"`, `"10m"`, `"1h"`.
fn seconds(body: &Map<String, Value>, name: &str) -> i64 {
    let written = text(body, name);
    for (unit, factor) in [("s", 1), ("m", 60), ("h", 3_600)] {
        if let Some(number) = written.strip_suffix(unit).and_then(|number| number.parse::<i64>().ok()) {
            return number.saturating_mul(factor);
        }
    }
    integer(body, name).unwrap_or_default()
}
