//! The versions of a KEK: AES-256 keys of one label, told apart by their ids.

use std::sync::PoisonError;

use cryptoki::mechanism::MechanismType;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use super::error::Pkcs11Error;
use super::login::Open;
use super::module;
use super::wrap::{self, Mechanism};
use crate::random;

/// One key of the token.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) handle: ObjectHandle,
    /// What `CKA_ID` holds.
    id: Vec<u8>,
    encrypt: bool,
    decrypt: bool,
    wrap: bool,
    unwrap: bool,
}

impl Version {
    /// The id in lower-case hexadecimal: how a wrapped carrier names the version.
    pub(super) fn name(&self) -> String {
        self.id.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The id as a number, by which versions are ordered.
    fn number(&self) -> u64 {
        // `read` refuses ids of more than 8 bytes.
        self.id.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// The mechanism that the key is for, which a key that is switched off still shows by the direction it has left.
    pub(super) fn mechanism(&self, offered: &[MechanismType]) -> Result<Mechanism, Pkcs11Error> {
        wrap::choose(offered, self.encrypt || self.decrypt, self.wrap || self.unwrap)
    }

    /// Whether the key may wrap. One that could not unwrap must not wrap either.
    pub(super) const fn wraps_by(&self, mechanism: Mechanism) -> bool {
        let may = match mechanism {
            Mechanism::Gcm => self.encrypt,
            Mechanism::KeyWrapPad => self.wrap,
        };
        may && self.unwraps_by(mechanism)
    }

    /// Whether the key may unwrap, which is all that an old version needs.
    pub(super) const fn unwraps_by(&self, mechanism: Mechanism) -> bool {
        match mechanism {
            Mechanism::Gcm => self.decrypt,
            Mechanism::KeyWrapPad => self.unwrap,
        }
    }

    /// Permits or forbids to unwrap, which the token then enforces.
    pub(super) fn switch(&self, open: &Open, on: bool) -> Result<(), Pkcs11Error> {
        let attributes = match self.mechanism(&open.offered)? {
            Mechanism::Gcm => [Attribute::Encrypt(true), Attribute::Decrypt(on)],
            Mechanism::KeyWrapPad => [Attribute::Wrap(true), Attribute::Unwrap(on)],
        };
        Ok(open.session.update_attributes(self.handle, &attributes)?)
    }
}

fn template(label: &str) -> Vec<Attribute> {
    vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Token(true),
        Attribute::Label(label.as_bytes().to_vec()),
    ]
}

/// Every version, the oldest first.
pub(super) fn all(session: &Session, label: &str) -> Result<Vec<Version>, Pkcs11Error> {
    let handles = session.find_objects(&template(label))?;
    let mut versions = handles.into_iter().map(|handle| read(session, handle)).collect::<Result<Vec<_>, _>>()?;
    versions.sort_by_key(Version::number);
    let same = versions.windows(2).any(|pair| matches!(pair, [one, other] if one.number() == other.number()));
    if same { Err(Pkcs11Error::KeyAmbiguous) } else { Ok(versions) }
}

fn read(session: &Session, handle: ObjectHandle) -> Result<Version, Pkcs11Error> {
    const WANTED: [AttributeType; 5] =
        [AttributeType::Id, AttributeType::Encrypt, AttributeType::Decrypt, AttributeType::Wrap, AttributeType::Unwrap];
    let mut version = Version { handle, id: Vec::new(), encrypt: false, decrypt: false, wrap: false, unwrap: false };
    for attribute in session.get_attributes(handle, &WANTED)? {
        match attribute {
            Attribute::Id(id) => version.id = id,
            Attribute::Encrypt(may) => version.encrypt = may,
            Attribute::Decrypt(may) => version.decrypt = may,
            Attribute::Wrap(may) => version.wrap = may,
            Attribute::Unwrap(may) => version.unwrap = may,
            _ => {}
        }
    }
    if matches!(version.id.len(), 1..=8) { Ok(version) } else { Err(Pkcs11Error::KeyAmbiguous) }
}

/// The newest version, which wraps.
pub(super) fn newest(session: &Session, label: &str) -> Result<Version, Pkcs11Error> {
    all(session, label)?.pop().ok_or(Pkcs11Error::KeyMissing)
}

/// The version that `name` names.
pub(super) fn named(session: &Session, label: &str, name: &str) -> Result<Version, Pkcs11Error> {
    let versions = all(session, label)?;
    if versions.is_empty() {
        return Err(Pkcs11Error::KeyMissing);
    }
    versions.into_iter().find(|version| version.name() == name).ok_or(Pkcs11Error::VersionMissing)
}

/// Makes the version after the newest one, and returns its name.
///
/// The id is a counter of 4 bytes and 4 random bytes: a token enforces no uniqueness, and two processes that rotate at once then
/// make two versions instead of two keys that nothing tells apart.
pub(super) fn generate(session: &Session, label: &str, mechanism: Mechanism) -> Result<String, Pkcs11Error> {
    let newest = all(session, label)?.pop().map_or(0, |version| version.number());
    let counter = u32::try_from(newest >> 32).ok().and_then(|counter| counter.checked_add(1));
    let counter = counter.ok_or_else(|| Pkcs11Error::failed("the KEK has 2^32 versions: create another KEK"))?;
    let id = [counter.to_be_bytes(), random::bytes().map_err(Pkcs11Error::failed)?].concat();

    let (by_gcm, by_wrap) = (mechanism == Mechanism::Gcm, mechanism == Mechanism::KeyWrapPad);
    let mut attributes = template(label);
    attributes.extend([
        Attribute::Id(id),
        Attribute::ValueLen(32.into()),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(by_gcm),
        Attribute::Decrypt(by_gcm),
        Attribute::Wrap(by_wrap),
        Attribute::Unwrap(by_wrap),
        Attribute::Sign(false),
        Attribute::Verify(false),
        Attribute::Derive(false),
    ]);
    let _alone = module::ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let handle = session.generate_key(&cryptoki::mechanism::Mechanism::AesKeyGen, &attributes)?;
    Ok(read(session, handle)?.name())
}
