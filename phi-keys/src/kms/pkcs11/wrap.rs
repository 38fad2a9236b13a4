//! How a token wraps 32 bytes.

use cryptoki::mechanism::aead::GcmParams;
use cryptoki::mechanism::{Mechanism as Call, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use zeroize::Zeroizing;

use super::error::Pkcs11Error;
use super::login::Open;
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
        open: &Open,
        key: ObjectHandle,
        carrier: &Carrier,
        digest: &[u8; 32],
    ) -> Result<Vec<u8>, Pkcs11Error> {
        let parts = match self {
            Self::Gcm => gcm(&open.session, key, carrier, digest)?,
            Self::KeyWrapPad => key_wrap(open, key, carrier)?,
        };
        Ok([&[self.byte()], parts.as_slice()].concat())
    }

    /// The reverse of [`wrap`](Self::wrap), without its first byte.
    pub(super) fn unwrap(
        self,
        open: &Open,
        key: ObjectHandle,
        blob: &[u8],
        digest: &[u8; 32],
    ) -> Result<Carrier, Pkcs11Error> {
        let plaintext = match self {
            Self::Gcm => Zeroizing::new(gcm_open(&open.session, key, blob, digest)?),
            Self::KeyWrapPad => key_unwrap(open, key, blob)?,
        };
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

fn key_wrap(open: &Open, key: ObjectHandle, carrier: &Carrier) -> Result<Vec<u8>, Pkcs11Error> {
    let mut template = passing();
    template.push(Attribute::Value(carrier.expose().to_vec()));
    let created = open.session.create_object(&template);
    drop(values(template));
    let object = created?;
    let wrapped = open.session.wrap_key(&Call::AesKeyWrapPad, key, object);
    remove(open, object)?;
    Ok(wrapped?)
}

fn key_unwrap(open: &Open, key: ObjectHandle, blob: &[u8]) -> Result<Zeroizing<Vec<u8>>, Pkcs11Error> {
    let object = open.session.unwrap_key(&Call::AesKeyWrapPad, key, blob, &passing())?;
    // Held in what wipes itself before anything else can fail.
    let read = open.session.get_attributes(object, &[AttributeType::Value]).map(values);
    remove(open, object)?;
    read?.pop().ok_or(Pkcs11Error::Refused)
}

/// Destroys a carrier that passed through the token. One that the token keeps goes with the session, which ends then.
fn remove(open: &Open, object: ObjectHandle) -> Result<(), Pkcs11Error> {
    Ok(open.session.destroy_object(object).inspect_err(|_| open.spoil())?)
}

/// The values among attributes, in what wipes itself.
fn values(attributes: Vec<Attribute>) -> Vec<Zeroizing<Vec<u8>>> {
    let value = |attribute| if let Attribute::Value(value) = attribute { Some(Zeroizing::new(value)) } else { None };
    attributes.into_iter().filter_map(value).collect()
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
    use crate::pkcs11::{Pkcs11Config, Pkcs11Pool};

    #[tokio::test]
    async fn a_softhsm_session_that_keeps_a_carrier_is_closed() {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let Some(module) = variable("PHI_TEST_PKCS11_MODULE") else {
            eprintln!("not run: PHI_TEST_PKCS11_MODULE names no module; `cargo xtask test keys` provides SoftHSM2");
            return;
        };
        let (token, pin) = (variable("PHI_TEST_PKCS11_TOKEN").unwrap(), variable("PHI_TEST_PKCS11_PIN").unwrap());
        let config = || Pkcs11Config::new(&module, &token, pin.as_str().into()).sessions(1);
        let (pool, onlooker) = (Pkcs11Pool::open(config()).await.unwrap(), Pkcs11Pool::open(config()).await.unwrap());
        let label = || Attribute::Label(format!("phi kept {}", std::process::id()).into_bytes());
        let seen = async || onlooker.run(move |open| Ok(open.session.find_objects(&[label()])?.len())).await.unwrap();

        let make = move |open: &Open| {
            let mut template = passing();
            template.extend([label(), Attribute::Value(vec![7; 32]), Attribute::Destroyable(false)]);
            Ok(open.session.create_object(&template)?)
        };
        let object = pool.run(make).await.unwrap();
        assert_eq!(seen().await, 1, "other code of the process reads it while the session lasts");
        let refused = pool.run(move |open| remove(open, object)).await;
        assert!(matches!(refused, Err(Pkcs11Error::NotPermitted)), "{refused:?}");
        assert_eq!(seen().await, 0);
        assert!(pool.run(|_| Ok(())).await.is_ok(), "another session takes its place");
        pool.close().await;
        onlooker.close().await;
    }

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
