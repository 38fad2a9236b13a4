//! Keys, their versions and attributes.

use serde_json::{Map, Value, json};

use crate::encoding::b64url;
use crate::env::Env;
use crate::rsa_key::RsaKey;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Rsa {
        bits: usize,
        hsm: bool,
    },
    /// Only in a Managed HSM.
    Oct {
        bits: usize,
    },
}

impl Kind {
    pub(super) const fn kty(self) -> &'static str {
        match self {
            Self::Rsa { hsm: false, .. } => "RSA",
            Self::Rsa { hsm: true, .. } => "RSA-HSM",
            Self::Oct { .. } => "oct-HSM",
        }
    }

    fn default_ops(self) -> Vec<String> {
        let ops: &[&str] = match self {
            Self::Rsa { .. } => &["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"],
            Self::Oct { .. } => &["encrypt", "decrypt", "wrapKey", "unwrapKey"],
        };
        ops.iter().map(|&op| op.to_owned()).collect()
    }
}

#[derive(Debug)]
pub(super) enum Material {
    Rsa(Box<RsaKey>),
    Oct(Vec<u8>),
}

#[derive(Debug)]
pub(super) struct Version {
    pub(super) id: String,
    pub(super) material: Material,
    pub(super) ops: Vec<String>,
    pub(super) enabled: bool,
    /// Unix seconds, as all times here.
    pub(super) not_before: Option<i64>,
    pub(super) expires: Option<i64>,
    created: i64,
    updated: i64,
    tags: Option<Map<String, Value>>,
}

#[derive(Debug)]
pub(super) struct Key {
    pub(super) kind: Kind,
    /// Oldest first; never empty.
    pub(super) versions: Vec<Version>,
    pub(super) deleted_at: Option<i64>,
}

impl Key {
    pub(super) fn new(env: &Env, kind: Kind) -> Option<Self> {
        let mut key = Self { kind, versions: Vec::new(), deleted_at: None };
        key.add_version(env)?;
        Some(key)
    }

    /// A new version with the operations and tags of the one before.
    pub(super) fn add_version(&mut self, env: &Env) -> Option<&mut Version> {
        let material = match self.kind {
            Kind::Rsa { bits, .. } => Material::Rsa(Box::new(RsaKey::new(bits))),
            Kind::Oct { bits } => Material::Oct(env.vec(bits / 8)?),
        };
        let now = env.unix_seconds();
        let version = Version {
            id: env.id::<16>(),
            material,
            ops: self.versions.last().map_or_else(|| self.kind.default_ops(), |last| last.ops.clone()),
            enabled: true,
            not_before: None,
            expires: None,
            created: now,
            updated: now,
            tags: self.versions.last().and_then(|last| last.tags.clone()),
        };
        self.versions.push(version);
        self.versions.last_mut()
    }

    /// The version of that id, or the latest.
    pub(super) fn version(&self, id: Option<&str>) -> Option<&Version> {
        match id {
            None => self.versions.last(),
            Some(id) => self.versions.iter().find(|version| version.id == id),
        }
    }

    pub(super) fn version_mut(&mut self, id: &str) -> Option<&mut Version> {
        self.versions.iter_mut().find(|version| version.id == id)
    }

    /// A key bundle: the public part, and attributes.
    pub(super) fn bundle(&self, name: &str, version: &Version, base: &str) -> Value {
        let mut jwk = json!({
            "kid": kid(base, name, version),
            "kty": self.kind.kty(),
            "key_ops": version.ops,
        });
        if let (Material::Rsa(key), Some(jwk)) = (&version.material, jwk.as_object_mut())
            && let Some((modulus, exponent)) = key.public()
        {
            jwk.insert("n".to_owned(), json!(b64url(&modulus)));
            jwk.insert("e".to_owned(), json!(b64url(&exponent)));
        }
        let mut bundle = json!({ "key": jwk, "attributes": self.attributes(version) });
        if let (Some(tags), Some(bundle)) = (&version.tags, bundle.as_object_mut()) {
            bundle.insert("tags".to_owned(), json!(tags));
        }
        bundle
    }

    pub(super) fn attributes(&self, version: &Version) -> Value {
        let mut attributes = json!({
            "enabled": version.enabled,
            "created": version.created,
            "updated": version.updated,
            "recoveryLevel": "Recoverable+Purgeable",
            "recoverableDays": 90,
            "exportable": false,
        });
        if let Some(attributes) = attributes.as_object_mut() {
            for (name, time) in [("nbf", version.not_before), ("exp", version.expires)] {
                if let Some(time) = time {
                    attributes.insert(name.to_owned(), json!(time));
                }
            }
            let in_hsm = matches!(self.kind, Kind::Rsa { hsm: true, .. } | Kind::Oct { .. });
            attributes.insert("hsmPlatform".to_owned(), json!(if in_hsm { "2" } else { "0" }));
        }
        attributes
    }
}

impl Version {
    pub(super) const fn set_enabled(&mut self, enabled: bool, now: i64) {
        self.enabled = enabled;
        self.updated = now;
    }

    /// Takes what a create or update request sets: operations, attributes, tags.
    pub(super) fn take(&mut self, body: &Map<String, Value>, now: i64) {
        if let Some(ops) = body.get("key_ops").and_then(Value::as_array) {
            self.ops = ops.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        }
        if let Some(tags) = body.get("tags").and_then(Value::as_object) {
            self.tags = Some(tags.clone());
        }
        if let Some(attributes) = body.get("attributes").and_then(Value::as_object) {
            if let Some(enabled) = attributes.get("enabled").and_then(Value::as_bool) {
                self.enabled = enabled;
            }
            if let Some(time) = attributes.get("nbf").and_then(Value::as_i64) {
                self.not_before = Some(time);
            }
            if let Some(time) = attributes.get("exp").and_then(Value::as_i64) {
                self.expires = Some(time);
            }
        }
        self.updated = now;
    }
}

/// The identifier of a version: `https://vault/keys/name/version`.
pub(super) fn kid(base: &str, name: &str, version: &Version) -> String {
    format!("{base}/keys/{name}/{}", version.id)
}
