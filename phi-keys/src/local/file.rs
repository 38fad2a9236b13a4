//! The bytes of a keyring file, see `SPEC.md`.

use zeroize::Zeroizing;

use super::error::KeyringError;
use super::unlock::{Cost, Protection, Unlock};
use crate::backend::Backend;
use crate::derive::Label;
use crate::f1::{self, MessageKey, Nonce, Suite};
use crate::id::Fingerprint;
use crate::kms::Kek;
use crate::tlv::{self, Writer};

const MAGIC: &[u8; 8] = b"PHIKEYS\n";
const VERSION: u8 = 1;
/// Magic, version, protection, three parameters, salt, unlock id and length of the content.
const HEADER_LEN: usize = 8 + 1 + 1 + 12 + 16 + 32 + 4;
const CHECKSUM_LEN: usize = 32;
const CONTENT_DOMAIN: &str = "phi/keyring/v1";

/// The first part of the file, and the key that opens the second.
pub(super) struct Lock {
    protection: Protection,
    salt: [u8; 16],
    key: Zeroizing<[u8; 32]>,
    pub(super) backend: Backend,
}

/// The second part.
pub(super) struct Content {
    pub(super) kek_id: String,
    pub(super) pin: Option<Fingerprint>,
    /// In ascending order of version, at least one.
    pub(super) keks: Vec<Kek>,
}

impl Lock {
    /// A new lock.
    pub(super) fn new(unlock: &Unlock) -> Result<Self, KeyringError> {
        let backend = unlock.backend();
        let (protection, salt) = (unlock.new_protection()?, backend.bytes()?);
        Ok(Self { protection, salt, key: unlock.key(protection, &salt)?, backend })
    }

    /// The lock of a file.
    pub(super) fn open(unlock: &Unlock, bytes: &[u8]) -> Result<Self, KeyringError> {
        let backend = unlock.backend();
        let header = Header::read(backend, bytes)?;
        let key = unlock.key(header.protection, &header.salt)?;
        let lock = Self { protection: header.protection, salt: header.salt, key, backend };
        if backend.full_id(&lock.key).as_bytes() != header.unlock_id {
            return Err(match lock.protection {
                Protection::Passphrase(_) => KeyringError::WrongPassphrase,
                Protection::KeyFile => KeyringError::WrongKeyFile,
            });
        }
        Ok(lock)
    }

    /// The whole file.
    pub(super) fn seal(&self, content: &Content) -> Result<Vec<u8>, KeyringError> {
        let plaintext = content.encode()?;
        let sealed_len = u32::try_from(plaintext.len().saturating_add(f1::OVERHEAD)).map_err(|_| KeyringError::Full)?;
        let (kind, cost) = match self.protection {
            Protection::Passphrase(cost) => (1, [cost.memory_kib, cost.passes, cost.lanes]),
            Protection::KeyFile => (2, [0; 3]),
        };
        let mut file = Vec::with_capacity(HEADER_LEN + plaintext.len() + f1::OVERHEAD + CHECKSUM_LEN);
        file.extend_from_slice(MAGIC);
        file.extend_from_slice(&[VERSION, kind]);
        cost.iter().for_each(|parameter| file.extend_from_slice(&parameter.to_be_bytes()));
        file.extend_from_slice(&self.salt);
        file.extend_from_slice(self.backend.full_id(&self.key).as_bytes());
        file.extend_from_slice(&sealed_len.to_be_bytes());
        let (backend, salt) = (self.backend, f1::fresh_salt_of(self.backend)?);
        let key = MessageKey::derive_on(backend, &self.key, Label::KEYRING, Suite::Aes256Gcm, salt)?;
        let sealed = key.seal(Nonce::of(backend)?, &file, &plaintext)?;
        file.extend_from_slice(&sealed);
        let checksum = backend.sha256([file.as_slice()]);
        file.extend_from_slice(&checksum);
        Ok(file)
    }

    /// The content of a file under this lock.
    pub(super) fn unseal(&self, bytes: &[u8]) -> Result<Content, KeyringError> {
        let header = Header::read(self.backend, bytes)?;
        if header.salt != self.salt || self.backend.full_id(&self.key).as_bytes() != header.unlock_id {
            return Err(KeyringError::Relocked);
        }
        let parts = f1::parse(header.sealed).map_err(|_| KeyringError::Damaged)?;
        // Every keyring is sealed with the suite that every backend has.
        let key = MessageKey::derive_on(self.backend, &self.key, Label::KEYRING, parts.suite(), parts.salt());
        let key = key.map_err(|_| KeyringError::Damaged)?;
        let plaintext = key.open(&parts, header.authenticated).map_err(|_| KeyringError::Damaged)?;
        Content::decode(&plaintext).ok_or(KeyringError::Damaged)
    }
}

struct Header<'a> {
    protection: Protection,
    salt: [u8; 16],
    unlock_id: &'a [u8; 32],
    /// Everything before the content, which the content authenticates.
    authenticated: &'a [u8],
    sealed: &'a [u8],
}

impl<'a> Header<'a> {
    fn read(backend: Backend, file: &'a [u8]) -> Result<Self, KeyringError> {
        let rest = file.strip_prefix(MAGIC).ok_or(match MAGIC.starts_with(file) {
            true => KeyringError::Truncated,
            false => KeyringError::NotAKeyring,
        })?;
        let (&version, _) = rest.split_first().ok_or(KeyringError::Truncated)?;
        if version != VERSION {
            return Err(KeyringError::Newer { found: version, supported: VERSION });
        }
        let (authenticated, rest) = file.split_at_checked(HEADER_LEN).ok_or(KeyringError::Truncated)?;
        let mut fields = authenticated.get(9..).unwrap_or_default();
        let [kind] = take(&mut fields)?;
        let cost = Cost { memory_kib: number(&mut fields)?, passes: number(&mut fields)?, lanes: number(&mut fields)? };
        let salt = *take(&mut fields)?;
        let unlock_id = take(&mut fields)?;
        let length = usize::try_from(number(&mut fields)?).map_err(|_| KeyringError::Truncated)?;
        let (sealed, checksum) = rest.split_at_checked(length).ok_or(KeyringError::Truncated)?;
        if checksum.len() != CHECKSUM_LEN {
            return Err(KeyringError::Truncated);
        }
        // Tells an accident from a wrong passphrase. What nobody may alter is authenticated apart.
        let covered = file.get(..HEADER_LEN + length).unwrap_or_default();
        if backend.sha256([covered]) != checksum {
            return Err(KeyringError::Damaged);
        }
        let protection = match kind {
            1 if cost.is_in_bounds() => Protection::Passphrase(cost),
            1 => return Err(KeyringError::Parameters),
            2 => Protection::KeyFile,
            _ => return Err(KeyringError::Damaged),
        };
        Ok(Self { protection, salt, unlock_id, authenticated, sealed })
    }
}

fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Result<&'a [u8; N], KeyringError> {
    let (taken, rest) = bytes.split_first_chunk().ok_or(KeyringError::Truncated)?;
    *bytes = rest;
    Ok(taken)
}

fn number(bytes: &mut &[u8]) -> Result<u32, KeyringError> {
    take(bytes).map(|taken| u32::from_be_bytes(*taken))
}

impl Content {
    /// The version that wraps.
    pub(super) fn newest(&self) -> u32 {
        self.keks.last().map_or(0, |kek| kek.version)
    }

    fn encode(&self) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        // Room for everything at once, so that no unwiped copy is left by a growing vector.
        let room = CONTENT_DOMAIN.len() + self.kek_id.len() + 64 + self.keks.len().saturating_mul(41);
        let mut list = Writer::with_buffer(CONTENT_DOMAIN, Vec::with_capacity(room));
        let write = |list: &mut Writer| {
            list.field(1, self.kek_id.as_bytes())?;
            if let Some(pin) = &self.pin {
                list.field(2, pin.as_bytes())?;
            }
            self.keks.iter().try_for_each(|kek| list.repeated(3, &[&kek.version.to_be_bytes(), kek.key().as_slice()]))
        };
        write(&mut list).map_err(|_| KeyringError::Full)?;
        Ok(Zeroizing::new(list.finish()))
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (mut kek_id, mut pin, mut keks) = (None, None, Vec::<Kek>::new());
        for (tag, value) in tlv::read(CONTENT_DOMAIN, bytes)? {
            match tag {
                1 if kek_id.is_none() => kek_id = Some(String::from_utf8(value.to_vec()).ok()?),
                2 if pin.is_none() => pin = Some(Fingerprint::from_bytes(value.try_into().ok()?)),
                3 => {
                    let (version, key) = value.split_first_chunk()?;
                    let version = u32::from_be_bytes(*version);
                    if keks.last().is_some_and(|last| version <= last.version) {
                        return None;
                    }
                    keks.push(Kek::new(version, Zeroizing::new(key.try_into().ok()?)));
                }
                _ => return None,
            }
        }
        if keks.is_empty() { None } else { Some(Self { kek_id: kek_id?, pin, keks }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: core::ops::Range<usize> = 22..38;
    const UNLOCK_ID: core::ops::Range<usize> = 38..70;

    fn content() -> Content {
        let keks = vec![Kek::new(1, Zeroizing::new([1; 32])), Kek::new(7, Zeroizing::new([7; 32]))];
        Content { kek_id: "local:clinic".into(), pin: Some(Fingerprint::from_bytes([3; 32])), keks }
    }

    fn list(fields: &[(u8, &[u8])]) -> Vec<u8> {
        let mut list = Writer::new(CONTENT_DOMAIN);
        fields.iter().for_each(|(tag, value)| list.repeated(*tag, &[value]).unwrap());
        list.finish()
    }

    #[test]
    fn a_content_that_is_sealed_under_the_key_is_read_only_as_it_is_written() {
        let (id, pin) = ((1, &b"local:clinic"[..]), (2, &[3; 32][..]));
        let kek = |version: u32| [&version.to_be_bytes()[..], &[9; 32]].concat();
        let (first, second) = (kek(1), kek(2));
        let (one, two) = ((3, first.as_slice()), (3, second.as_slice()));
        for good in [&[id, one][..], &[id, pin, one], &[id, pin, one, two]] {
            let read = Content::decode(&list(good)).unwrap();
            assert_eq!(read.encode().unwrap().as_slice(), list(good));
            assert_eq!(read.newest() as usize, good.iter().filter(|(tag, _)| *tag == 3).count());
        }
        let strange = (4, &b"x"[..]);
        let long = [&first[..], &[0]].concat();
        for bad in [
            &[][..],
            &[id],
            &[one],
            &[id, pin],
            &[id, id, one],
            &[id, pin, pin, one],
            &[id, one, one],
            &[id, two, one],
            &[id, one, strange],
            &[(1, b"\xff"), one],
            &[id, (2, &[3; 31]), one],
            &[id, (3, &first[..35])],
            &[id, (3, &long)],
        ] {
            assert!(Content::decode(&list(bad)).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_file_under_another_lock_is_told_from_a_damaged_one() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Lock::new(&Unlock::create_key_file(folder.path().join("key")).unwrap()).unwrap();
        let file = lock.seal(&content()).unwrap();
        assert_eq!(lock.unseal(&file).unwrap().encode().unwrap(), content().encode().unwrap());
        for (part, expected) in [(SALT, true), (UNLOCK_ID, true), (HEADER_LEN..file.len() - CHECKSUM_LEN, false)] {
            for at in part {
                let mut changed = file.clone();
                changed[at] ^= 1;
                let end = changed.len() - CHECKSUM_LEN;
                let checksum = lock.backend.sha256([&changed[..end]]);
                changed[end..].copy_from_slice(&checksum);
                match lock.unseal(&changed) {
                    Err(KeyringError::Relocked) => assert!(expected, "byte {at}"),
                    Err(KeyringError::Damaged) => assert!(!expected, "byte {at}"),
                    _ => panic!("byte {at}"),
                }
            }
        }
    }
}
