//! The envelope of every Vault answer.

use http::StatusCode;
use serde_json::{Value, json};

use crate::env::Env;
use crate::reply::Reply;

/// `{"errors":[…]}`.
pub(super) fn errors(status: StatusCode, messages: &[&str]) -> Reply {
    Reply::new(status, json!({ "errors": messages }))
}

pub(super) fn bad_request(message: &str) -> Reply {
    errors(StatusCode::BAD_REQUEST, &[message])
}

pub(super) fn permission_denied() -> Reply {
    errors(StatusCode::FORBIDDEN, &["1 error occurred:\n\t* permission denied\n\n"])
}

/// The envelope around `data`, with warnings if there are any.
pub(super) fn data(env: &Env, data: Value, warnings: &[String]) -> Reply {
    envelope(env, data, &Value::Null, warnings)
}

/// The envelope around `auth`, as logins and renewals answer.
pub(super) fn auth(env: &Env, auth: &Value, warnings: &[String]) -> Reply {
    envelope(env, Value::Null, auth, warnings)
}

fn envelope(env: &Env, data: Value, auth: &Value, warnings: &[String]) -> Reply {
    let mount_type = if auth.is_null() { "transit" } else { "" };
    Reply::ok(json!({
        "request_id": env.uuid(),
        "lease_id": "",
        "renewable": false,
        "lease_duration": 0,
        "data": data,
        "wrap_info": null,
        "warnings": if warnings.is_empty() { Value::Null } else { json!(warnings) },
        "auth": auth,
        "mount_type": mount_type,
    }))
}
