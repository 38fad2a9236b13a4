//! How a token wraps 32 bytes.

use cryptoki::mechanism::aead::GcmParams;
use cryptoki::mechanism::{Mechanism as Call, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use zeroize::Zeroizing;

use super::error::Pkcs11Error;
use crate::kms::{Binding, Carrier};
use crate::random;

const IV: usize = 12;
const TAG_BITS: usize = 128;
/// Ciphertext and tag of a carrier.
const SEALED: usize = 48;

/// The mechanisms of PKCS#11 that this crate wraps with, and their bytes in front of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mechanism {
    /// `CKM_AES_GCM`, with the context's digest as additional authenticated data.
    Gcm,
    /// `CKM_AES_KEY_WRAP_PAD`, which takes no context.
    KeyWrapPad,
}

impl Mechanism {
    const fn byte(self) -> u8 {
        match self {
            Self::Gcm => 1,
            Self::KeyWrapPad => 2,
        }
    }

    pub(super) const fn binding(self) -> Binding {
        match self {
            Self::Gcm => Binding::Native,
            Self::KeyWrapPad => Binding::Derivation,
        }
    }

    pub(super) const fn call(self) -> MechanismType {
        match self {
            Self::Gcm => MechanismType::AES_GCM,
            Self::KeyWrapPad => MechanismType::AES_KEY_WRAP_PAD,
        }
    }

    /// The mechanism and the rest of a blob. It must be the one that the binding says, which the key derivation binds.
    pub(super) fn of(blob: &[u8], binding: Binding) -> Option<(Self, &[u8])> {
        let (byte, rest) = blob.split_first()?;
        let mechanism = [Self::Gcm, Self::KeyWrapPad].into_iter().find(|mechanism| mechanism.byte() == *byte)?;
        (mechanism.binding() == binding).then_some((mechanism, rest))
    }

    /// `u8 mechanism ‖ iv ‖ ciphertext ‖ tag`, or `u8 mechanism ‖ what the token answered`.
    pub(super) fn wrap(
        self,
        session: &Session,
        key: ObjectHandle,
        carrier: &Carrier,
        digest: &[u8; 32],
    ) -> Result<Vec<u8>, Pkcs11Error> {
        let parts = match self {
            Self::Gcm => gcm(session, key, carrier, digest)?,
            Self::KeyWrapPad => key_wrap(session, key, carrier)?,
        };
        Ok([&[self.byte()], parts.as_slice()].concat())
    }

    /// The reverse of [`wrap`](Self::wrap), without its first byte.
    pub(super) fn unwrap(
        self,
        session: &Session,
        key: ObjectHandle,
        blob: &[u8],
        digest: &[u8; 32],
    ) -> Result<Carrier, Pkcs11Error> {
        let plaintext = Zeroizing::new(match self {
            Self::Gcm => gcm_open(session, key, blob, digest)?,
            Self::KeyWrapPad => key_unwrap(session, key, blob)?,
        });
        let bytes: &[u8; 32] = plaintext.as_slice().try_into().map_err(|_| Pkcs11Error::Refused)?;
        Ok(Carrier::from_bytes(Zeroizing::new(*bytes)))
    }
}

fn gcm(session: &Session, key: ObjectHandle, carrier: &Carrier, digest: &[u8; 32]) -> Result<Vec<u8>, Pkcs11Error> {
    let mut iv: [u8; IV] = random::bytes().map_err(Pkcs11Error::failed)?;
    let call = Call::AesGcm(GcmParams::new(&mut iv, digest, TAG_BITS.try_into()?)?);
    let sealed = session.encrypt(&call, key, carrier.expose())?;
    if sealed.len() != SEALED {
        return Err(Pkcs11Error::failed("the token answered AES-GCM with another length than 48 bytes"));
    }
    // Some tokens insist on an IV of their own and put it where ours was.
    let mut out = Vec::with_capacity(IV + SEALED);
    if let Call::AesGcm(mut params) = call {
        out.extend_from_slice(params.iv());
    }
    out.extend_from_slice(&sealed);
    Ok(out)
}

fn gcm_open(session: &Session, key: ObjectHandle, blob: &[u8], digest: &[u8; 32]) -> Result<Vec<u8>, Pkcs11Error> {
    let (iv, sealed) = blob.split_first_chunk::<IV>().ok_or(Pkcs11Error::Refused)?;
    if sealed.len() != SEALED {
        return Err(Pkcs11Error::Refused);
    }
    let mut iv = *iv;
    let call = Call::AesGcm(GcmParams::new(&mut iv, digest, TAG_BITS.try_into()?)?);
    Ok(session.decrypt(&call, key, sealed)?)
}

/// What a carrier is while the token wraps or unwraps it: a key of this session only, whose value can be read.
fn passing() -> Vec<Attribute> {
    vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Token(false),
        Attribute::Private(true),
        Attribute::Sensitive(false),
        Attribute::Extractable(true),
    ]
}

fn key_wrap(session: &Session, key: ObjectHandle, carrier: &Carrier) -> Result<Vec<u8>, Pkcs11Error> {
    let mut template = passing();
    template.push(Attribute::Value(carrier.expose().to_vec()));
    let created = session.create_object(&template);
    wipe(template);
    let object = created?;
    let wrapped = session.wrap_key(&Call::AesKeyWrapPad, key, object);
    session.destroy_object(object)?;
    Ok(wrapped?)
}

fn key_unwrap(session: &Session, key: ObjectHandle, blob: &[u8]) -> Result<Vec<u8>, Pkcs11Error> {
    let object = session.unwrap_key(&Call::AesKeyWrapPad, key, blob, &passing())?;
    let value = session.get_attributes(object, &[AttributeType::Value]);
    session.destroy_object(object)?;
    match value?.pop() {
        Some(Attribute::Value(value)) => Ok(value),
        _ => Err(Pkcs11Error::Refused),
    }
}

/// Wipes the value that a template carried.
fn wipe(template: Vec<Attribute>) {
    for attribute in template {
        if let Attribute::Value(value) = attribute {
            drop(Zeroizing::new(value));
        }
    }
}

/// The mechanism for a key that may do `gcm` or `key wrap`, on a token that offers `offered`.
pub(super) fn choose(offered: &[MechanismType], gcm: bool, key_wrap: bool) -> Result<Mechanism, Pkcs11Error> {
    [(Mechanism::Gcm, gcm), (Mechanism::KeyWrapPad, key_wrap)]
        .into_iter()
        .find(|(mechanism, may)| *may && offered.contains(&mechanism.call()))
        .map(|(mechanism, _)| mechanism)
        .ok_or(Pkcs11Error::Unsupported)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aes_gcm_is_preferred_and_key_wrap_the_fallback() {
        let (gcm, wrap) = (MechanismType::AES_GCM, MechanismType::AES_KEY_WRAP_PAD);
        let table: &[(&[MechanismType], bool, bool, Option<Mechanism>)] = &[
            (&[gcm, wrap], true, true, Some(Mechanism::Gcm)),
            (&[wrap], true, true, Some(Mechanism::KeyWrapPad)),
            (&[gcm, wrap], false, true, Some(Mechanism::KeyWrapPad)),
            (&[gcm], false, true, None),
            (&[wrap], true, false, None),
            (&[], true, true, None),
        ];
        for (offered, by_gcm, by_wrap, expected) in table {
            assert_eq!(choose(offered, *by_gcm, *by_wrap).ok(), *expected, "{offered:?} {by_gcm} {by_wrap}");
        }
    }

    #[test]
    fn a_blob_under_the_other_binding_is_not_taken() {
        for mechanism in [Mechanism::Gcm, Mechanism::KeyWrapPad] {
            let blob = [mechanism.byte(), 7];
            let rest: &[u8] = &[7];
            assert_eq!(Mechanism::of(&blob, mechanism.binding()), Some((mechanism, rest)));
            let other = if mechanism.binding() == Binding::Native { Binding::Derivation } else { Binding::Native };
            assert_eq!(Mechanism::of(&blob, other), None);
        }
        assert_eq!(Mechanism::of(&[], Binding::Native), None);
        assert_eq!(Mechanism::of(&[3, 1], Binding::Native), None);
    }
}
