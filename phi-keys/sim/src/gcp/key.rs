//! Crypto keys and their versions: states and cryptography.

use std::collections::BTreeMap;

use phi_types::Timestamp;
use ring::hmac;
use serde_json::{Map, Value, json};

use super::status::Status;
use crate::aead::Aead;
use crate::env::Env;

/// 30 days, the service's default.
const DESTROY_AFTER: i64 = 30 * 24 * 3_600;
/// How long the part of a ciphertext is that names the version.
const NAMING: usize = 36;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Enabled,
    Disabled,
    DestroyScheduled,
    Destroyed,
}

impl State {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "ENABLED",
            Self::Disabled => "DISABLED",
            Self::DestroyScheduled => "DESTROY_SCHEDULED",
            Self::Destroyed => "DESTROYED",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protection {
    Software,
    Hsm,
}

impl Protection {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Software => "SOFTWARE",
            Self::Hsm => "HSM",
        }
    }
}

#[derive(Debug)]
pub(super) struct Version {
    pub(super) name: String,
    pub(super) state: State,
    pub(super) protection: Protection,
    created: Timestamp,
    /// Gone once destroyed.
    material: Option<[u8; 32]>,
    /// What a ciphertext of this version starts with: it identifies the version without naming it, and outlives the
    /// material, so that a destroyed version is told from a wrong key.
    naming: [u8; NAMING],
    destroy_at: Option<Timestamp>,
    destroyed: Option<Timestamp>,
}

impl Version {
    fn new(env: &Env, name: String, protection: Protection) -> Option<Self> {
        let material = env.bytes()?;
        Some(Self {
            state: State::Enabled,
            protection,
            created: env.now(),
            naming: naming(&name, &material),
            name,
            material: Some(material),
            destroy_at: None,
            destroyed: None,
        })
    }

    pub(super) fn schedule_destruction(&mut self, env: &Env) {
        self.state = State::DestroyScheduled;
        let at = env.unix_seconds() + DESTROY_AFTER;
        self.destroy_at = Some(Timestamp::from_unix_seconds(at));
    }

    pub(super) fn restore(&mut self) {
        self.state = State::Disabled;
        self.destroy_at = None;
    }

    pub(super) fn destroy_now(&mut self, env: &Env) {
        self.state = State::Destroyed;
        self.material = None;
        self.destroyed = Some(env.now());
    }

    /// The material, if the version may be used.
    fn usable(&self) -> Result<&[u8; 32], Status> {
        match (&self.material, self.state) {
            (Some(material), State::Enabled) => Ok(material),
            (_, state) => Err(Status::not_enabled(&self.name, state)),
        }
    }

    pub(super) fn encrypt(&self, env: &Env, aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, Status> {
        let material = self.usable()?;
        let sealed = Aead::Aes256Gcm.seal(env, material, aad, plaintext).ok_or_else(Status::internal)?;
        Ok([self.naming.as_slice(), &sealed].concat())
    }

    pub(super) fn shown(&self) -> Value {
        let mut shown = json!({
            "name": self.name,
            "state": self.state.as_str(),
            "protectionLevel": self.protection.as_str(),
            "algorithm": "GOOGLE_SYMMETRIC_ENCRYPTION",
            "createTime": self.created.to_string(),
            "generateTime": self.created.to_string(),
        });
        let times = [("destroyTime", self.destroy_at), ("destroyEventTime", self.destroyed)];
        for (name, time) in times {
            if let (Some(shown), Some(time)) = (shown.as_object_mut(), time) {
                shown.insert(name.to_owned(), json!(time.to_string()));
            }
        }
        shown
    }
}

#[derive(Debug)]
pub(super) struct CryptoKey {
    pub(super) name: String,
    pub(super) protection: Protection,
    created: Timestamp,
    pub(super) primary: u32,
    pub(super) versions: BTreeMap<u32, Version>,
    pub(super) labels: Map<String, Value>,
    pub(super) rotation_period: Option<String>,
    pub(super) next_rotation: Option<String>,
}

impl CryptoKey {
    pub(super) fn new(env: &Env, name: &str, protection: Protection) -> Option<Self> {
        let mut key = Self {
            name: name.to_owned(),
            protection,
            created: env.now(),
            primary: 1,
            versions: BTreeMap::new(),
            labels: Map::new(),
            rotation_period: None,
            next_rotation: None,
        };
        key.add_version(env)?;
        Some(key)
    }

    /// Adds an enabled version, which is not made primary.
    pub(super) fn add_version(&mut self, env: &Env) -> Option<&Version> {
        let number = self.versions.last_key_value().map_or(1, |(last, _)| last + 1);
        let name = format!("{}/cryptoKeyVersions/{number}", self.name);
        self.versions.insert(number, Version::new(env, name, self.protection)?);
        self.versions.get(&number)
    }

    pub(super) fn version(&mut self, id: &str) -> Result<&mut Version, Status> {
        let missing = format!("CryptoKeyVersion {}/cryptoKeyVersions/{id} not found.", self.name);
        id.parse()
            .ok()
            .and_then(|number: u32| self.versions.get_mut(&number))
            .ok_or_else(|| Status::not_found(&missing))
    }

    /// Destroys what was scheduled for destruction before now.
    pub(super) fn let_time_pass(&mut self, env: &Env) {
        for version in self.versions.values_mut() {
            if version.state == State::DestroyScheduled && version.destroy_at.is_some_and(|at| at <= env.now()) {
                version.destroy_now(env);
            }
        }
    }

    /// Opens with the version that sealed, and says whether that is the primary one.
    pub(super) fn decrypt(&self, aad: &[u8], ciphertext: &[u8]) -> Result<(Vec<u8>, bool), Status> {
        let wrong_key = || Status::invalid("Decryption failed: verify that 'name' refers to the correct CryptoKey.");
        let (naming, sealed) = ciphertext.split_at_checked(NAMING).ok_or_else(wrong_key)?;
        let (number, version) =
            self.versions.iter().find(|(_, version)| version.naming == *naming).ok_or_else(wrong_key)?;
        let material = version.usable()?;
        let plaintext = Aead::Aes256Gcm
            .open(material, aad, sealed)
            .ok_or_else(|| Status::invalid("Decryption failed: the ciphertext is invalid."))?;
        Ok((plaintext, *number == self.primary))
    }

    pub(super) fn shown(&self) -> Value {
        let mut shown = json!({
            "name": self.name,
            "purpose": "ENCRYPT_DECRYPT",
            "createTime": self.created.to_string(),
            "versionTemplate": {
                "protectionLevel": self.protection.as_str(),
                "algorithm": "GOOGLE_SYMMETRIC_ENCRYPTION",
            },
            "destroyScheduledDuration": format!("{DESTROY_AFTER}s"),
        });
        if let Some(shown) = shown.as_object_mut() {
            if let Some(primary) = self.versions.get(&self.primary) {
                shown.insert("primary".to_owned(), primary.shown());
            }
            if !self.labels.is_empty() {
                shown.insert("labels".to_owned(), json!(self.labels));
            }
            for (name, value) in [("rotationPeriod", &self.rotation_period), ("nextRotationTime", &self.next_rotation)]
            {
                if let Some(value) = value {
                    shown.insert(name.to_owned(), json!(value));
                }
            }
        }
        shown
    }
}

fn naming(name: &str, material: &[u8; 32]) -> [u8; NAMING] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, material), name.as_bytes());
    let mut naming = [0; NAMING];
    for (slot, byte) in naming.iter_mut().skip(1).zip(tag.as_ref()) {
        *slot = *byte;
    }
    naming
}
