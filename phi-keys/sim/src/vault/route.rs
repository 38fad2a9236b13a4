//! Which endpoint a request means.

use http::Method;

use super::MOUNT;
use crate::call::Call;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route<'a> {
    Health,
    SealStatus,
    Initialized,
    LookupSelf,
    RenewSelf,
    RevokeSelf,
    CreateToken,
    AppRoleLogin,
    KubernetesLogin,
    ListKeys,
    ReadKey(&'a str),
    CreateKey(&'a str),
    DeleteKey(&'a str),
    ConfigKey(&'a str),
    RotateKey(&'a str),
    TrimKey(&'a str),
    ConfigKeys,
    Encrypt(&'a str),
    Decrypt(&'a str),
    Rewrap(&'a str),
    /// What to return (`plaintext` or `wrapped`), and the key.
    Datakey(&'a str, &'a str),
    Unknown,
}

impl<'a> Route<'a> {
    pub(super) fn of(call: &'a Call) -> Self {
        let path = call.path();
        let Some((&"v1", path)) = path.split_first() else { return Self::Unknown };
        // Vault takes PUT wherever it takes POST.
        let write = call.method == Method::POST || call.method == Method::PUT;
        let read = call.method == Method::GET;
        let list = call.method.as_str() == "LIST" || (read && call.query.get("list").is_some_and(|v| v == "true"));
        let by_segment = |index: usize| call.segments.get(index).map_or("", String::as_str);
        match path {
            ["sys", "health"] => Self::Health,
            ["sys", "seal-status"] if read => Self::SealStatus,
            ["sys", "init"] if read => Self::Initialized,
            ["auth", "token", "lookup-self"] if read => Self::LookupSelf,
            ["auth", "token", "renew-self"] if write => Self::RenewSelf,
            ["auth", "token", "revoke-self"] if write => Self::RevokeSelf,
            ["auth", "token", "create"] if write => Self::CreateToken,
            ["auth", "approle", "login"] if write => Self::AppRoleLogin,
            ["auth", "kubernetes", "login"] if write => Self::KubernetesLogin,
            [mount, "keys"] if *mount == MOUNT && list => Self::ListKeys,
            [mount, "config", "keys"] if *mount == MOUNT => Self::ConfigKeys,
            [mount, "keys", _] if *mount == MOUNT && read => Self::ReadKey(by_segment(3)),
            [mount, "keys", _] if *mount == MOUNT && write => Self::CreateKey(by_segment(3)),
            [mount, "keys", _] if *mount == MOUNT && call.method == Method::DELETE => Self::DeleteKey(by_segment(3)),
            [mount, "keys", _, "config"] if *mount == MOUNT && write => Self::ConfigKey(by_segment(3)),
            [mount, "keys", _, "rotate"] if *mount == MOUNT && write => Self::RotateKey(by_segment(3)),
            [mount, "keys", _, "trim"] if *mount == MOUNT && write => Self::TrimKey(by_segment(3)),
            [mount, "encrypt", _] if *mount == MOUNT && write => Self::Encrypt(by_segment(3)),
            [mount, "decrypt", _] if *mount == MOUNT && write => Self::Decrypt(by_segment(3)),
            [mount, "rewrap", _] if *mount == MOUNT && write => Self::Rewrap(by_segment(3)),
            [mount, "datakey", _, _] if *mount == MOUNT && write => Self::Datakey(by_segment(3), by_segment(4)),
            _ => Self::Unknown,
        }
    }

    /// The name for counters and faults.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::SealStatus => "seal_status",
            Self::Initialized => "init",
            Self::LookupSelf => "lookup_self",
            Self::RenewSelf => "renew_self",
            Self::RevokeSelf => "revoke_self",
            Self::CreateToken => "create_token",
            Self::AppRoleLogin => "approle_login",
            Self::KubernetesLogin => "kubernetes_login",
            Self::ListKeys => "list_keys",
            Self::ReadKey(_) => "read_key",
            Self::CreateKey(_) => "create_key",
            Self::DeleteKey(_) => "delete_key",
            Self::ConfigKey(_) => "config_key",
            Self::RotateKey(_) => "rotate_key",
            Self::TrimKey(_) => "trim_key",
            Self::ConfigKeys => "config_keys",
            Self::Encrypt(_) => "encrypt",
            Self::Decrypt(_) => "decrypt",
            Self::Rewrap(_) => "rewrap",
            Self::Datakey(..) => "datakey",
            Self::Unknown => "unknown",
        }
    }

    pub(super) const fn key(&self) -> Option<&'a str> {
        match self {
            Self::ReadKey(key)
            | Self::CreateKey(key)
            | Self::DeleteKey(key)
            | Self::ConfigKey(key)
            | Self::RotateKey(key)
            | Self::TrimKey(key)
            | Self::Encrypt(key)
            | Self::Decrypt(key)
            | Self::Rewrap(key)
            | Self::Datakey(_, key) => Some(key),
            _ => None,
        }
    }
}
