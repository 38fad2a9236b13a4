//! `sys/health`, `sys/seal-status` and `sys/init`: answered without a token, sealed or not.

use http::{Method, StatusCode};
use serde_json::json;

use super::answer::errors;
use super::route::Route;
use crate::call::Call;
use crate::env::Env;
use crate::reply::Reply;

/// The version the answers name; clients that gate features by version need one.
const VERSION: &str = "1.20.0";

#[derive(Debug)]
pub(super) struct Health {
    pub(super) initialized: bool,
    pub(super) sealed: bool,
    pub(super) standby: bool,
}

impl Default for Health {
    fn default() -> Self {
        Self { initialized: true, sealed: false, standby: false }
    }
}

pub(super) fn answer(route: &Route<'_>, call: &Call, health: &Health, env: &Env) -> Option<Reply> {
    match route {
        Route::Health => Some(report(call, health, env)),
        Route::SealStatus => Some(Reply::ok(json!({
            "type": "shamir", "initialized": health.initialized, "sealed": health.sealed,
            "t": 3, "n": 5, "progress": 0, "nonce": "", "version": VERSION,
            "migration": false, "recovery_seal": false, "storage_type": "inmem",
        }))),
        Route::Initialized => Some(Reply::ok(json!({ "initialized": health.initialized }))),
        _ => None,
    }
}

fn report(call: &Call, health: &Health, env: &Env) -> Reply {
    if call.method != Method::GET && call.method != Method::HEAD {
        return errors(StatusCode::METHOD_NOT_ALLOWED, &[]);
    }
    let flag = |name: &str| call.query.get(name).is_some_and(|value| value != "false");
    let code = |name: &str, default: u16| {
        call.query
            .get(name)
            .and_then(|value| value.parse().ok())
            .filter(|code| (100..=599).contains(code))
            .unwrap_or(default)
    };
    let status = if !health.initialized {
        code("uninitcode", 501)
    } else if health.sealed {
        code("sealedcode", 503)
    } else if health.standby && !flag("standbyok") {
        code("standbycode", 429)
    } else {
        code("activecode", 200)
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if call.method == Method::HEAD {
        return Reply::empty(status);
    }
    Reply::new(
        status,
        json!({
            "initialized": health.initialized,
            "sealed": health.sealed,
            "standby": health.standby,
            "performance_standby": false,
            "replication_performance_mode": "disabled",
            "replication_dr_mode": "disabled",
            "server_time_utc": env.unix_seconds(),
            "version": VERSION,
            "cluster_name": "kms-sim",
            "cluster_id": "00000000-0000-4000-8000-000000000000",
        }),
    )
}
