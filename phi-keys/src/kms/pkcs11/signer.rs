//! Signing keys in a token: Ed25519 and ECDSA on P-256.

use core::fmt;
use std::sync::PoisonError;

use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use ring::digest;

use super::error::Pkcs11Error;
use super::module;
use super::pool::Pkcs11Pool;
use crate::random;
use crate::signer::{PublicKey, SignError, Signer, Signing};

/// `CKA_EC_PARAMS` of Ed25519, as a name (PKCS#11 2.40, SoftHSM2) and as an object identifier (PKCS#11 3.0).
const ED25519_NAME: &[u8] = b"\x13\x0cedwards25519";
const ED25519_OID: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
/// That of P-256, for which all tokens take the object identifier.
const P256_OID: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// What a signing key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    Ed25519,
    P256,
}

impl Curve {
    const ALL: [Self; 2] = [Self::Ed25519, Self::P256];

    const fn of(key: &PublicKey) -> Self {
        match key {
            PublicKey::Ed25519(_) => Self::Ed25519,
            PublicKey::EcdsaP256(_) => Self::P256,
        }
    }

    const fn key_type(self) -> KeyType {
        match self {
            Self::Ed25519 => KeyType::EC_EDWARDS,
            Self::P256 => KeyType::EC,
        }
    }

    /// How a pair is made: the mechanism, and the ways to name the curve. Which of several a token understands cannot be asked.
    const fn generation(self) -> (Mechanism<'static>, &'static [&'static [u8]]) {
        match self {
            Self::Ed25519 => (Mechanism::EccEdwardsKeyPairGen, &[ED25519_OID, ED25519_NAME]),
            Self::P256 => (Mechanism::EccKeyPairGen, &[P256_OID]),
        }
    }

    fn public_key(self, parameters: &[u8], point: &[u8]) -> Option<PublicKey> {
        match self {
            // Tokens name this curve in several ways; the signature that follows shows whether it is the one.
            Self::Ed25519 => unwrapped(point).map(PublicKey::Ed25519),
            Self::P256 if parameters == P256_OID => unwrapped(point).map(PublicKey::EcdsaP256),
            Self::P256 => None,
        }
    }
}

/// An Ed25519 or ECDSA P-256 key in a token, which never leaves it.
#[derive(Clone)]
pub struct Pkcs11Signer {
    pool: Pkcs11Pool,
    label: String,
    public_key: PublicKey,
}

impl Pkcs11Signer {
    /// Finds the pair and has it sign something, so that halves that do not belong together show here.
    pub(super) async fn open(pool: Pkcs11Pool, label: &str) -> Result<Self, Pkcs11Error> {
        let wanted = label.to_owned();
        let public_key = pool.run(move |open| public_key(&open.session, &wanted)).await?;
        let signer = Self { pool, label: label.to_owned(), public_key };
        let challenge: [u8; 32] = random::bytes().map_err(Pkcs11Error::failed)?;
        signer.checked(&challenge).await?;
        Ok(signer)
    }

    pub(super) async fn create(pool: Pkcs11Pool, label: &str, curve: Curve) -> Result<Self, Pkcs11Error> {
        let wanted = label.to_owned();
        pool.run(move |open| generate(&open.session, &wanted, curve)).await?;
        Self::open(pool, label).await
    }

    /// A signature that the public key confirms: a fault in the token must not leave it, since a wrong Ed25519 signature
    /// can give the private key away.
    async fn checked(&self, message: &[u8]) -> Result<[u8; 64], Pkcs11Error> {
        let (label, curve) = (self.label.clone(), Curve::of(&self.public_key));
        // CKM_ECDSA_SHA256 would hash within the token, and fewer tokens have it.
        let wanted = match curve {
            Curve::Ed25519 => message.to_vec(),
            Curve::P256 => digest::digest(&digest::SHA256, message).as_ref().to_vec(),
        };
        let work = move |open: &super::login::Open| sign(&open.session, &label, curve, &wanted);
        let signature = self.pool.run(work).await?;
        self.public_key
            .verify(message, &signature)
            .map_err(|_| Pkcs11Error::failed("the token's signature does not verify under its public key"))?;
        Ok(signature)
    }
}

impl Signer for Pkcs11Signer {
    fn public_key(&self) -> PublicKey {
        self.public_key
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> Signing<'a> {
        Box::pin(async move { self.checked(message).await.map_err(SignError::new) })
    }
}

impl fmt::Debug for Pkcs11Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithm = self.public_key.algorithm();
        write!(f, "Pkcs11Signer({algorithm} {:?} in {:?})", self.label, self.pool.token())
    }
}

fn find(session: &Session, label: &str, class: ObjectClass, curve: Curve) -> Result<Vec<ObjectHandle>, Pkcs11Error> {
    Ok(session.find_objects(&[
        Attribute::Class(class),
        Attribute::KeyType(curve.key_type()),
        Attribute::Token(true),
        Attribute::Label(label.as_bytes().to_vec()),
    ])?)
}

/// The key pairs of any kind whose private half has this label.
fn exists(session: &Session, label: &str) -> Result<bool, Pkcs11Error> {
    for curve in Curve::ALL {
        if !find(session, label, ObjectClass::PRIVATE_KEY, curve)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The only public key of this label, whatever it is: with two of them a signature would be a matter of chance.
fn public_key(session: &Session, label: &str) -> Result<PublicKey, Pkcs11Error> {
    let mut found = Vec::new();
    for curve in Curve::ALL {
        found.extend(find(session, label, ObjectClass::PUBLIC_KEY, curve)?.into_iter().map(|handle| (curve, handle)));
    }
    let (curve, handle) = match found.as_slice() {
        [] => return Err(Pkcs11Error::KeyMissing),
        [only] => *only,
        _ => return Err(Pkcs11Error::KeyAmbiguous),
    };
    let (mut parameters, mut point) = (Vec::new(), Vec::new());
    for attribute in session.get_attributes(handle, &[AttributeType::EcParams, AttributeType::EcPoint])? {
        match attribute {
            Attribute::EcParams(value) => parameters = value,
            Attribute::EcPoint(value) => point = value,
            _ => {}
        }
    }
    curve.public_key(&parameters, &point).ok_or(Pkcs11Error::Unsupported)
}

/// The point itself, which tokens give bare or as a DER octet string: by its length, because a bare point may begin like the
/// octet string's header. The signature that follows shows whether it was read rightly.
fn unwrapped<const N: usize>(point: &[u8]) -> Option<[u8; N]> {
    point.try_into().ok().or_else(|| {
        let length = u8::try_from(N).ok()?;
        point.strip_prefix(&[0x04, length])?.try_into().ok()
    })
}

fn sign(session: &Session, label: &str, curve: Curve, message: &[u8]) -> Result<[u8; 64], Pkcs11Error> {
    let handle = match find(session, label, ObjectClass::PRIVATE_KEY, curve)?.as_slice() {
        [] => return Err(Pkcs11Error::KeyMissing),
        [handle] => *handle,
        _ => return Err(Pkcs11Error::KeyAmbiguous),
    };
    let mechanism = match curve {
        Curve::Ed25519 => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519)),
        Curve::P256 => Mechanism::Ecdsa,
    };
    let signature = session.sign(&mechanism, handle, message)?;
    signature.as_slice().try_into().map_err(|_| Pkcs11Error::Unsupported)
}

fn generate(session: &Session, label: &str, curve: Curve) -> Result<(), Pkcs11Error> {
    if exists(session, label)? {
        return Err(Pkcs11Error::KeyExists);
    }
    let id: [u8; 8] = random::bytes().map_err(Pkcs11Error::failed)?;
    let shared = || [Attribute::Token(true), Attribute::Label(label.as_bytes().to_vec()), Attribute::Id(id.to_vec())];
    let (mechanism, names) = curve.generation();
    let make = |curve: &[u8]| {
        let mut public = shared().to_vec();
        public.extend([Attribute::Private(false), Attribute::Verify(true), Attribute::EcParams(curve.to_vec())]);
        let mut private = shared().to_vec();
        private.extend([
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
        ]);
        session.generate_key_pair(&mechanism, &public, &private)
    };
    let _alone = module::ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut failure = Pkcs11Error::Unsupported;
    for name in names {
        match make(name) {
            Ok(_) => return Ok(()),
            Err(error) => failure = error.into(),
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_read_bare_and_as_an_octet_string() {
        let mut point = [7; 32];
        // Also one that begins as an octet string does.
        for start in [[7, 7], [0x04, 0x20]] {
            point[..2].copy_from_slice(&start);
            assert_eq!(unwrapped(&point), Some(point));
            assert_eq!(unwrapped(&[&[0x04, 0x20][..], &point].concat()), Some(point));
        }
        for bad in [&[][..], &point[1..], &[&[0x04, 0x20][..], &point[1..]].concat(), &[0; 57]] {
            assert_eq!(unwrapped::<32>(bad), None);
        }
        let point = [4; 65];
        assert_eq!(unwrapped(&point), Some(point));
        assert_eq!(unwrapped(&[&[0x04, 0x41][..], &point].concat()), Some(point));
        assert_eq!(unwrapped::<65>(&point[..33]), None, "a compressed point");
    }

    #[test]
    fn no_other_curve_is_taken_for_p_256() {
        let secp256k1 = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a];
        assert_eq!(Curve::P256.public_key(P256_OID, &[4; 65]), Some(PublicKey::EcdsaP256([4; 65])));
        assert_eq!(Curve::P256.public_key(&secp256k1, &[4; 65]), None);
    }
}
