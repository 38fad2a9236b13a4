//! One Transit key and its versions: the cryptography.

use std::collections::BTreeMap;

use phi_types::Timestamp;
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use serde_json::{Value, json};

use crate::aead::{Aead, NONCE};
use crate::encoding::{b64, from_b64};
use crate::env::Env;
use crate::rsa_key::RsaKey;

/// Why Transit refuses, and with it the status: a user's error is 400, an internal one 500.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    User(String),
    Internal(String),
}

impl Refusal {
    fn user(message: &str) -> Self {
        Self::User(message.to_owned())
    }

    pub(super) fn message(&self) -> &str {
        match self {
            Self::User(message) | Self::Internal(message) => message,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cipher {
    Aead(Aead),
    Rsa { bits: usize },
}

impl Cipher {
    pub(super) const AES_256: Self = Self::Aead(Aead::Aes256Gcm);

    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "aes128-gcm96" => Self::Aead(Aead::Aes128Gcm),
            "aes256-gcm96" => Self::AES_256,
            "chacha20-poly1305" => Self::Aead(Aead::ChaCha20Poly1305),
            "rsa-2048" => Self::Rsa { bits: 2_048 },
            _ => return None,
        })
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Aead(Aead::Aes128Gcm) => "aes128-gcm96",
            Self::Aead(Aead::Aes256Gcm) => "aes256-gcm96",
            Self::Aead(Aead::ChaCha20Poly1305) => "chacha20-poly1305",
            Self::Rsa { .. } => "rsa-2048",
        }
    }

    pub(super) const fn is_aead(self) -> bool {
        matches!(self, Self::Aead(_))
    }
}

#[derive(Debug)]
enum Material {
    Symmetric(Vec<u8>),
    Rsa(Box<RsaKey>),
}

#[derive(Debug)]
pub(super) struct Version {
    material: Material,
    /// Unix seconds.
    created: i64,
}

impl Version {
    /// As the key's `keys` shows it: when it was made, for asymmetric types with the public key.
    pub(super) fn shown(&self, cipher: Cipher) -> Value {
        match &self.material {
            Material::Symmetric(_) => json!(self.created),
            Material::Rsa(key) => json!({
                "name": cipher.name(),
                "creation_time": Timestamp::from_unix_seconds(self.created).to_string(),
                "public_key": key.public_pem(),
                "certificate_chain": "",
            }),
        }
    }
}

#[derive(Debug)]
pub(super) struct TransitKey {
    pub(super) name: String,
    pub(super) cipher: Cipher,
    pub(super) derived: bool,
    pub(super) exportable: bool,
    pub(super) allow_plaintext_backup: bool,
    pub(super) deletion_allowed: bool,
    pub(super) auto_rotate_period: i64,
    pub(super) versions: BTreeMap<u32, Version>,
    pub(super) latest: u32,
    pub(super) min_decryption: u32,
    /// 0: any version that is not below `min_decryption`.
    pub(super) min_encryption: u32,
    /// 0: nothing was trimmed.
    pub(super) min_available: u32,
}

impl TransitKey {
    pub(super) fn new(env: &Env, name: &str, cipher: Cipher, derived: bool) -> Option<Self> {
        let mut key = Self {
            name: name.to_owned(),
            cipher,
            derived,
            exportable: false,
            allow_plaintext_backup: false,
            deletion_allowed: false,
            auto_rotate_period: 0,
            versions: BTreeMap::new(),
            latest: 0,
            min_decryption: 1,
            min_encryption: 0,
            min_available: 0,
        };
        key.rotate(env)?;
        Some(key)
    }

    pub(super) fn rotate(&mut self, env: &Env) -> Option<()> {
        let material = match self.cipher {
            Cipher::Aead(aead) => Material::Symmetric(env.vec(aead.key_len())?),
            Cipher::Rsa { bits } => Material::Rsa(Box::new(RsaKey::new(bits))),
        };
        self.latest += 1;
        self.versions.insert(self.latest, Version { material, created: env.unix_seconds() });
        Some(())
    }

    /// Deletes all versions below `floor` for good.
    pub(super) fn trim(&mut self, floor: u32) {
        self.min_available = floor;
        self.versions = self.versions.split_off(&floor);
    }

    /// What a test does to a version behind the clients' backs. Transit knows no disabled versions: the nearest thing is
    /// the lowest version that decrypts.
    pub(super) fn change_version(&mut self, version: u32, change: &str) -> Result<(), &'static str> {
        if !self.versions.contains_key(&version) {
            return Err("no such version");
        }
        match change {
            "disable" if version >= self.latest => {
                return Err("Transit cannot disable the latest version; rotate first");
            }
            "disable" => self.min_decryption = self.min_decryption.max(version.saturating_add(1)),
            "enable" => self.min_decryption = self.min_decryption.min(version),
            // As after restoring a backup that lacks it.
            "destroy" => drop(self.versions.remove(&version)),
            _ => return Err("change is disable, enable or destroy"),
        }
        Ok(())
    }

    fn version(&self, number: u32) -> Result<&Version, Refusal> {
        self.versions.get(&number).ok_or_else(|| Refusal::user("no such key version"))
    }

    /// The bytes that encrypt: the version's own, or derived from it and the context.
    ///
    /// A key that is not derived ignores the context, as the real service does.
    fn working_key(&self, material: &[u8], context: &[u8]) -> Result<Vec<u8>, Refusal> {
        if !self.derived {
            return Ok(material.to_vec());
        }
        if context.is_empty() {
            return Err(Refusal::user(
                "missing 'context' for key derivation; the key was created using a derived key, which means additional, \
                 per-request information must be included in order to perform operations with the key",
            ));
        }
        let mut derived = vec![0; material.len()];
        Salt::new(HKDF_SHA256, &[])
            .extract(material)
            .expand(&[context], Len(derived.len()))
            .and_then(|okm| okm.fill(&mut derived))
            .map_err(|_| Refusal::Internal("could not derive key".to_owned()))?;
        Ok(derived)
    }

    /// `vault:vN:…` under version `wanted`, or the latest if that is 0, and the version's number.
    pub(super) fn encrypt(
        &self,
        env: &Env,
        wanted: i64,
        context: &[u8],
        aad: &[u8],
        plaintext: &[u8],
    ) -> Result<(String, u32), Refusal> {
        let wanted = match u32::try_from(wanted) {
            Ok(0) => self.latest,
            Ok(number) => number,
            Err(_) if wanted < 0 => return Err(Refusal::user("requested version for encryption is negative")),
            Err(_) => u32::MAX,
        };
        if wanted > self.latest {
            return Err(Refusal::user("requested version for encryption is higher than the latest key version"));
        }
        if wanted < self.min_encryption {
            return Err(Refusal::user(
                "requested version for encryption is less than the minimum encryption key version",
            ));
        }
        let failed = || Refusal::Internal("encryption failed".to_owned());
        let sealed = match (&self.version(wanted)?.material, self.cipher) {
            (Material::Symmetric(material), Cipher::Aead(aead)) => {
                let key = self.working_key(material, context)?;
                aead.seal(env, &key, aad, plaintext).ok_or_else(failed)?
            }
            (Material::Rsa(key), _) => key.wrap(plaintext).ok_or_else(|| {
                Refusal::Internal(
                    "failed to RSA encrypt the plaintext: crypto/rsa: message too long for RSA key size".to_owned(),
                )
            })?,
            (Material::Symmetric(_), Cipher::Rsa { .. }) => return Err(failed()),
        };
        Ok((format!("vault:v{wanted}:{}", b64(&sealed)), wanted))
    }

    pub(super) fn decrypt(&self, context: &[u8], aad: &[u8], ciphertext: &str) -> Result<Vec<u8>, Refusal> {
        let rest = ciphertext.strip_prefix("vault:v").ok_or_else(|| Refusal::user("invalid ciphertext: no prefix"))?;
        let (number, sealed) =
            rest.split_once(':').ok_or_else(|| Refusal::user("invalid ciphertext: wrong number of fields"))?;
        let number: u32 =
            number.parse().map_err(|_| Refusal::user("invalid ciphertext: version number could not be decoded"))?;
        // The first releases counted from zero.
        let number = number.max(1);
        if number > self.latest {
            return Err(Refusal::user("invalid ciphertext: version is too new"));
        }
        if number < self.min_decryption {
            return Err(Refusal::user("ciphertext or signature version is disallowed by policy (too old)"));
        }
        let sealed = from_b64(sealed).ok_or_else(|| Refusal::user("invalid ciphertext: could not decode base64"))?;
        match (&self.version(number)?.material, self.cipher) {
            (Material::Symmetric(material), Cipher::Aead(aead)) => {
                let key = self.working_key(material, context)?;
                if sealed.len() < NONCE {
                    return Err(Refusal::user("invalid ciphertext length"));
                }
                aead.open(&key, aad, &sealed).ok_or_else(|| Refusal::user("cipher: message authentication failed"))
            }
            (Material::Rsa(key), _) => key.unwrap(&sealed).ok_or_else(|| {
                Refusal::Internal("failed to RSA decrypt the ciphertext: crypto/rsa: decryption error".to_owned())
            }),
            (Material::Symmetric(_), Cipher::Rsa { .. }) => Err(Refusal::Internal("unsupported key type".to_owned())),
        }
    }
}

/// An output length, for ring's typed HKDF.
struct Len(usize);

impl KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}
