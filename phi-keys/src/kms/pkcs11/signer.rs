//! Ed25519 keys in a token.

use core::fmt;
use std::sync::PoisonError;

use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use ring::signature::{ED25519, UnparsedPublicKey};

use super::error::Pkcs11Error;
use super::module;
use super::pool::Pkcs11Pool;
use crate::random;
use crate::signer::{SignError, Signer, Signing};

/// `CKA_EC_PARAMS` of Ed25519, as a name (PKCS#11 2.40, SoftHSM2) and as an object identifier (PKCS#11 3.0).
const BY_NAME: &[u8] = b"\x13\x0cedwards25519";
const BY_OID: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];

/// An Ed25519 key in a token, which never leaves it.
#[derive(Clone)]
pub struct Pkcs11Signer {
    pool: Pkcs11Pool,
    label: String,
    public_key: [u8; 32],
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

    pub(super) async fn create(pool: Pkcs11Pool, label: &str) -> Result<Self, Pkcs11Error> {
        let wanted = label.to_owned();
        pool.run(move |open| generate(&open.session, &wanted)).await?;
        Self::open(pool, label).await
    }

    /// A signature that the public key confirms: a fault in the token must not leave it, since a wrong Ed25519 signature
    /// can give the private key away.
    async fn checked(&self, message: &[u8]) -> Result<[u8; 64], Pkcs11Error> {
        let (label, wanted) = (self.label.clone(), message.to_vec());
        let work = move |open: &super::login::Open| sign(&open.session, &label, &wanted);
        let signature = self.pool.run(work).await?;
        UnparsedPublicKey::new(&ED25519, self.public_key)
            .verify(message, &signature)
            .map_err(|_| Pkcs11Error::failed("the token's signature does not verify under its public key"))?;
        Ok(signature)
    }
}

impl Signer for Pkcs11Signer {
    fn public_key(&self) -> [u8; 32] {
        self.public_key
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> Signing<'a> {
        Box::pin(async move { self.checked(message).await.map_err(SignError::new) })
    }
}

impl fmt::Debug for Pkcs11Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pkcs11Signer({:?} in {:?})", self.label, self.pool.token())
    }
}

fn find(session: &Session, label: &str, class: ObjectClass) -> Result<Vec<ObjectHandle>, Pkcs11Error> {
    Ok(session.find_objects(&[
        Attribute::Class(class),
        Attribute::KeyType(KeyType::EC_EDWARDS),
        Attribute::Token(true),
        Attribute::Label(label.as_bytes().to_vec()),
    ])?)
}

/// The only object of its kind: with two of them a signature would be a matter of chance.
fn only(session: &Session, label: &str, class: ObjectClass) -> Result<ObjectHandle, Pkcs11Error> {
    match find(session, label, class)?.as_slice() {
        [] => Err(Pkcs11Error::KeyMissing),
        [handle] => Ok(*handle),
        _ => Err(Pkcs11Error::KeyAmbiguous),
    }
}

fn public_key(session: &Session, label: &str) -> Result<[u8; 32], Pkcs11Error> {
    let handle = only(session, label, ObjectClass::PUBLIC_KEY)?;
    let mut attributes = session.get_attributes(handle, &[AttributeType::EcPoint])?;
    match attributes.pop() {
        Some(Attribute::EcPoint(point)) => unwrapped(&point).ok_or(Pkcs11Error::Unsupported),
        _ => Err(Pkcs11Error::Unsupported),
    }
}

/// The point itself: tokens give it as a DER octet string or bare. The signature that follows shows whether it was read rightly.
fn unwrapped(point: &[u8]) -> Option<[u8; 32]> {
    point.strip_prefix(&[0x04, 0x20]).unwrap_or(point).try_into().ok()
}

fn sign(session: &Session, label: &str, message: &[u8]) -> Result<[u8; 64], Pkcs11Error> {
    let handle = only(session, label, ObjectClass::PRIVATE_KEY)?;
    let scheme = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519));
    let signature = session.sign(&scheme, handle, message)?;
    signature.as_slice().try_into().map_err(|_| Pkcs11Error::Unsupported)
}

fn generate(session: &Session, label: &str) -> Result<(), Pkcs11Error> {
    if !find(session, label, ObjectClass::PRIVATE_KEY)?.is_empty() {
        return Err(Pkcs11Error::KeyExists);
    }
    let id: [u8; 8] = random::bytes().map_err(Pkcs11Error::failed)?;
    let shared = || [Attribute::Token(true), Attribute::Label(label.as_bytes().to_vec()), Attribute::Id(id.to_vec())];
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
        session.generate_key_pair(&Mechanism::EccEdwardsKeyPairGen, &public, &private)
    };
    let _alone = module::ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // Which of the two a token understands cannot be asked.
    make(BY_OID).or_else(|_| make(BY_NAME))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::unwrapped;

    #[test]
    fn a_point_is_read_bare_and_as_an_octet_string() {
        let point = [7; 32];
        assert_eq!(unwrapped(&point), Some(point));
        assert_eq!(unwrapped(&[&[0x04, 0x20][..], &point].concat()), Some(point));
        for bad in [&[][..], &point[1..], &[&[0x04, 0x20][..], &point[1..]].concat(), &[0; 57]] {
            assert_eq!(unwrapped(bad), None);
        }
    }
}
