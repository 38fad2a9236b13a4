//! Which operation a request means.

use http::Method;

use crate::call::Call;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Encrypt,
    Decrypt,
    WrapKey,
    UnwrapKey,
}

impl What {
    /// As `key_ops` and messages spell it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
            Self::WrapKey => "wrapKey",
            Self::UnwrapKey => "unwrapKey",
        }
    }

    fn named(word: &str) -> Option<Self> {
        [Self::Encrypt, Self::Decrypt, Self::WrapKey, Self::UnwrapKey]
            .into_iter()
            .find(|what| what.as_str().eq_ignore_ascii_case(word))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// The tenant's token endpoint.
    Token(&'a str),
    /// The tenant's OpenID configuration, which some credential libraries read first.
    Metadata(&'a str),
    List,
    Get {
        name: &'a str,
        version: Option<&'a str>,
    },
    Versions(&'a str),
    Update {
        name: &'a str,
        version: Option<&'a str>,
    },
    Create(&'a str),
    Rotate(&'a str),
    Delete(&'a str),
    GetDeleted(&'a str),
    Recover(&'a str),
    Purge(&'a str),
    Operate {
        name: &'a str,
        version: Option<&'a str>,
        what: What,
    },
    Random,
    Unknown,
}

impl<'a> Route<'a> {
    pub(super) fn of(call: &'a Call) -> Self {
        let path = call.path();
        let at = |index: usize| call.segments.get(index).map_or("", String::as_str);
        let (get, post) = (call.method == Method::GET, call.method == Method::POST);
        let (patch, delete) = (call.method == Method::PATCH, call.method == Method::DELETE);
        match path.as_slice() {
            [_, "oauth2", "v2.0", "token"] if post => Self::Token(at(0)),
            [_, "v2.0", ".well-known", "openid-configuration"] if get => Self::Metadata(at(0)),
            ["keys"] if get => Self::List,
            ["keys", _] if get => Self::Get { name: at(1), version: None },
            ["keys", _] if patch => Self::Update { name: at(1), version: None },
            ["keys", _] if delete => Self::Delete(at(1)),
            ["keys", _, "versions"] if get => Self::Versions(at(1)),
            ["keys", _, "create"] if post => Self::Create(at(1)),
            ["keys", _, "rotate"] if post => Self::Rotate(at(1)),
            ["keys", _, _] if get => Self::Get { name: at(1), version: Some(at(2)) },
            ["keys", _, _] if patch => Self::Update { name: at(1), version: Some(at(2)) },
            // Without a version, the latest one.
            ["keys", _, word] if post => {
                What::named(word).map_or(Self::Unknown, |what| Self::Operate { name: at(1), version: None, what })
            }
            ["keys", _, _, word] if post => What::named(word).map_or(Self::Unknown, |what| Self::Operate {
                name: at(1),
                version: Some(at(2)),
                what,
            }),
            ["deletedkeys", _] if get => Self::GetDeleted(at(1)),
            ["deletedkeys", _] if delete => Self::Purge(at(1)),
            ["deletedkeys", _, "recover"] if post => Self::Recover(at(1)),
            ["rng"] if post => Self::Random,
            _ => Self::Unknown,
        }
    }

    /// The name for counters and faults.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Metadata(_) => "metadata",
            Self::List => "list_keys",
            Self::Get { .. } => "get_key",
            Self::Versions(_) => "list_versions",
            Self::Update { .. } => "update_key",
            Self::Create(_) => "create_key",
            Self::Rotate(_) => "rotate_key",
            Self::Delete(_) => "delete_key",
            Self::GetDeleted(_) => "get_deleted_key",
            Self::Recover(_) => "recover_key",
            Self::Purge(_) => "purge_key",
            Self::Operate { what: What::Encrypt, .. } => "encrypt",
            Self::Operate { what: What::Decrypt, .. } => "decrypt",
            Self::Operate { what: What::WrapKey, .. } => "wrap_key",
            Self::Operate { what: What::UnwrapKey, .. } => "unwrap_key",
            Self::Random => "random",
            Self::Unknown => "unknown",
        }
    }

    pub(super) const fn key(self) -> Option<&'a str> {
        match self {
            Self::Get { name, .. }
            | Self::Update { name, .. }
            | Self::Operate { name, .. }
            | Self::Versions(name)
            | Self::Create(name)
            | Self::Rotate(name)
            | Self::Delete(name)
            | Self::GetDeleted(name)
            | Self::Recover(name)
            | Self::Purge(name) => Some(name),
            _ => None,
        }
    }
}
