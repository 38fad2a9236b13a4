//! How keys are wrapped: a data key under its domain key, a domain key under carriers.

use zeroize::Zeroizing;

use crate::backend::Backend;
use crate::derive::{KEY_LEN, Label};
use crate::error::Error;
use crate::f1::{self, MessageKey, Nonce, Suite};
use crate::kms::{self, Carrier, Holder, KekSet, Kms, KmsError, Rewrap, WrapContext, Wrapped};
use crate::store::KeyRow;
use crate::tlv::Writer;

type Key = Zeroizing<[u8; KEY_LEN]>;

/// The domain of the list that enters a carrier's derivation.
const CARRIER_DOMAIN: &str = "phi/carrier/v1";

/// Wraps `key`, which `row` names, under `parent`.
pub(super) fn wrap(
    backend: Backend,
    parent: &[u8; KEY_LEN],
    row: &KeyRow,
    key: &[u8; KEY_LEN],
) -> Result<Vec<u8>, Error> {
    let salt = f1::fresh_salt_of(backend)?;
    let message_key = MessageKey::derive_on(backend, parent, Label::WRAP, Suite::Aes256Gcm, salt)?;
    Ok(message_key.seal(Nonce::of(backend)?, &row.wrap_aad()?, key)?)
}

/// The reverse of [`wrap`]: opens only with the right parent, for the same row, and to the key that the row names.
pub(super) fn unwrap(backend: Backend, parent: &[u8; KEY_LEN], row: &KeyRow, wrapped: &[u8]) -> Result<Key, Error> {
    let rejected = || Error::KeyRejected(row.kind);
    let parts = f1::parse(wrapped).map_err(|_| rejected())?;
    // Every key is wrapped with the suite that every backend has, so another one was put there.
    let message_key = MessageKey::derive_on(backend, parent, Label::WRAP, parts.suite(), parts.salt());
    let message_key = message_key.map_err(|_| rejected())?;
    // `open` compares the kid of the header with the parent's.
    let opened = message_key.open(&parts, &row.wrap_aad()?).map_err(|_| rejected())?;
    if opened.len() != KEY_LEN {
        return Err(rejected());
    }
    let mut key = Zeroizing::new([0; KEY_LEN]);
    key.copy_from_slice(&opened);
    if row.full_id.is_some_and(|named| named.matches(&backend.full_id(&key))) { Ok(key) } else { Err(rejected()) }
}

/// One copy of a domain key.
#[derive(Clone)]
pub(super) struct DomainCopy {
    pub(super) carrier: Wrapped,
    /// The domain key under the key that the carrier gives.
    pub(super) sealed: Vec<u8>,
}

/// Wraps the domain key that `row` names under every KEK that the set wants, each with a carrier of its own.
pub(super) async fn wrap_domain(backend: Backend, keks: &KekSet, row: &KeyRow, key: &Key) -> Result<Vec<u8>, Error> {
    let context = context(backend, row)?;
    let carriers = keks.wrap_dek_on(backend, &context).await?;
    let seal = |(carrier, wrapped): (Carrier, _)| seal_copy(backend, row, key, &context, &carrier, wrapped);
    let copies = carriers.into_iter().map(seal);
    encode(&copies.collect::<Result<Vec<_>, _>>()?)
}

/// Unwraps a domain key with any of the KEKs that holds a copy and answers.
pub(super) async fn unwrap_domain(backend: Backend, keks: &KekSet, row: &KeyRow) -> Result<Key, Error> {
    let context = context(backend, row)?;
    let (carriers, sealed): (Vec<_>, Vec<_>) = decode(row)?.into_iter().map(|copy| (copy.carrier, copy.sealed)).unzip();
    let open = |at: usize, carrier: &Carrier| {
        let (wrapped, sealed) = carriers.get(at).zip(sealed.get(at)).ok_or(Error::NoKek)?;
        let parent = carrier_key(backend, carrier, &context, wrapped)?;
        unwrap(backend, &parent, row, sealed)
    };
    keks.unwrap_dek(&carriers, &context, open).await
}

/// Unwraps a domain key with the one KEK that holds this copy.
pub(super) async fn open_copy(backend: Backend, kek: &dyn Kms, row: &KeyRow, copy: &DomainCopy) -> Result<Key, Error> {
    let context = context(backend, row)?;
    let carrier = kek.unwrap_dek(&copy.carrier, &context).await?;
    let parent = carrier_key(backend, &carrier, &context, &copy.carrier)?;
    unwrap(backend, &parent, row, &copy.sealed)
}

/// A further copy of a domain key.
pub(super) async fn add_copy(backend: Backend, kek: &dyn Kms, row: &KeyRow, key: &Key) -> Result<DomainCopy, Error> {
    let context = context(backend, row)?;
    let (carrier, wrapped) = kms::wrap_with(backend, kek, &context).await?;
    seal_copy(backend, row, key, &context, &carrier, wrapped)
}

/// Moves a copy to the newest version of its KEK, and says whether that happened inside the KMS. `None` when the KMS binds
/// contexts or wraps in another way by now, so that only a new copy will do.
pub(super) async fn rewrap_copy(
    backend: Backend,
    kek: &dyn Kms,
    row: &KeyRow,
    copy: &DomainCopy,
) -> Result<Option<(DomainCopy, bool)>, KmsError> {
    let context = context(backend, row).map_err(KmsError::failed)?;
    let rewrap = kek.rewrap(&copy.carrier, &context).await?;
    let server_side = matches!(rewrap, Rewrap::ServerSide(_));
    let carrier = rewrap.into_wrapped();
    if carrier.kek_id() != kek.kek_id() {
        return Err(KmsError::OtherKek);
    }
    let same = (carrier.binding(), carrier.algorithm()) == (copy.carrier.binding(), copy.carrier.algorithm());
    Ok(same.then(|| (DomainCopy { carrier, sealed: copy.sealed.clone() }, server_side)))
}

fn seal_copy(
    backend: Backend,
    row: &KeyRow,
    key: &Key,
    context: &WrapContext,
    carrier: &Carrier,
    wrapped: Wrapped,
) -> Result<DomainCopy, Error> {
    let parent = carrier_key(backend, carrier, context, &wrapped)?;
    Ok(DomainCopy { sealed: wrap(backend, &parent, row, key)?, carrier: wrapped })
}

/// SHA-256 over what the key is bound to.
fn context(backend: Backend, row: &KeyRow) -> Result<WrapContext, Error> {
    Ok(WrapContext::from_digest(backend.sha256([row.wrap_aad()?.as_slice()])))
}

fn carrier_key(backend: Backend, carrier: &Carrier, context: &WrapContext, wrapped: &Wrapped) -> Result<Key, Error> {
    let mut list = Writer::new(CARRIER_DOMAIN);
    list.field(1, context.digest())?;
    list.field(2, wrapped.kek_id().as_bytes())?;
    list.field(3, &[wrapped.binding().byte()])?;
    list.field(4, wrapped.algorithm().as_bytes())?;
    Ok(backend.expand(carrier.expose(), Label::CARRIER, &list.finish()))
}

/// `u8 n ‖ n × (u32be length ‖ carrier ‖ u32be length ‖ sealed)`.
pub(super) fn encode(copies: &[DomainCopy]) -> Result<Vec<u8>, Error> {
    let many = Error::Config("a domain key is wrapped under at most 255 KEKs");
    let mut out = vec![u8::try_from(copies.len()).map_err(|_| many)?];
    for copy in copies {
        for part in [&copy.carrier.to_bytes(), &copy.sealed] {
            // A carrier has four parts of at most 64 KiB, a sealed key 89 bytes.
            out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(part);
        }
    }
    Ok(out)
}

/// The reverse of [`encode`]. Nothing may follow.
pub(super) fn decode(row: &KeyRow) -> Result<Vec<DomainCopy>, Error> {
    let rejected = || Error::KeyRejected(row.kind);
    let part = |bytes: &mut &[u8]| -> Result<Vec<u8>, Error> {
        let (length, rest) = bytes.split_first_chunk().ok_or_else(rejected)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| rejected())?;
        let (part, rest) = rest.split_at_checked(length).ok_or_else(rejected)?;
        *bytes = rest;
        Ok(part.to_vec())
    };
    let (&count, mut rest) = row.wrapped.split_first().ok_or_else(rejected)?;
    let mut copies = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let carrier = Wrapped::from_bytes(&part(&mut rest)?)?;
        copies.push(DomainCopy { carrier, sealed: part(&mut rest)? });
    }
    if rest.is_empty() { Ok(copies) } else { Err(rejected()) }
}

/// What holds the copies of a domain key.
pub(super) fn holders(row: &KeyRow) -> Result<Vec<Holder>, Error> {
    let holder =
        |carrier: &Wrapped| Holder { kek_id: carrier.kek_id().to_owned(), version: carrier.kek_version().to_owned() };
    Ok(decode(row)?.iter().map(|copy| holder(&copy.carrier)).collect())
}

#[cfg(test)]
mod tests {
    use phi_types::Timestamp;

    use super::super::root;
    use super::*;
    use crate::kms::Binding;
    use crate::scope::KeyUse;
    use crate::store::Slot;

    fn unhex(value: &serde_json::Value) -> Vec<u8> {
        let text = value.as_str().unwrap();
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
    }

    fn fixed(value: &serde_json::Value) -> [u8; 32] {
        unhex(value).try_into().unwrap()
    }

    #[test]
    fn a_key_under_another_suite_is_rejected_on_every_backend() {
        let (parent, key) = ([7; KEY_LEN], Zeroizing::new([5; KEY_LEN]));
        for backend in crate::backend::all() {
            let slot = Slot::new("clinic", KeyUse::Data, None);
            let row = root::new_domain_row(backend, slot, 1, &key, Timestamp::UNIX_EPOCH);
            let mut wrapped = wrap(backend, &parent, &row, &key).unwrap();
            assert_eq!(*unwrap(backend, &parent, &row, &wrapped).unwrap(), *key);
            wrapped[0] = Suite::ChaCha20Poly1305.byte();
            let refused = unwrap(backend, &parent, &row, &wrapped);
            assert!(matches!(refused, Err(Error::KeyRejected(_))), "{backend:?} {refused:?}");
        }
    }

    #[test]
    fn carrier_keys_are_those_of_the_vectors_and_depend_on_every_name() {
        let vectors: serde_json::Value = serde_json::from_str(include_str!("../../tests/vectors/v1.json")).unwrap();
        for case in vectors["wrapped_carriers"].as_array().unwrap() {
            let wrapped = Wrapped::from_bytes(&unhex(&case["bytes"])).unwrap();
            let carrier = Carrier::from_bytes(Zeroizing::new(fixed(&case["carrier"])));
            let context = WrapContext::from_digest(fixed(&case["context"]));
            let key = |wrapped: &Wrapped| {
                let on = |backend| carrier_key(backend, &carrier, &context, wrapped).unwrap().to_vec();
                let keys = crate::backend::all().into_iter().map(on).collect::<Vec<_>>();
                assert!(keys.windows(2).all(|pair| pair[0] == pair[1]), "the backends do not agree");
                keys[0].clone()
            };
            assert_eq!(key(&wrapped), unhex(&case["carrier_key"]), "{case}");

            let other = match wrapped.binding() {
                Binding::Native => Binding::Derivation,
                Binding::Derivation => Binding::Native,
            };
            let new = |id: &str, binding, algorithm: &str| {
                Wrapped::new(id, "", binding, Vec::new()).unwrap().with_algorithm(algorithm).unwrap()
            };
            let (id, algorithm) = (wrapped.kek_id(), wrapped.algorithm());
            assert_eq!(key(&new(id, wrapped.binding(), algorithm)), key(&wrapped), "version and blob do not enter");
            for relabelled in [
                new("another", wrapped.binding(), algorithm),
                new(id, other, algorithm),
                new(id, wrapped.binding(), "RSA1_5"),
            ] {
                assert_ne!(key(&relabelled), key(&wrapped), "{relabelled:?}");
            }
        }
    }
}
