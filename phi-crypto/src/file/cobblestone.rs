//! C2SP chunked-encryption with SHA-512 and AES-256-GCM (Cobblestone-256), `SPEC.md` section 8: keys and chunks, no I/O.

use phi_keys::backend::{AeadKey, Backend, NotApproved};
use phi_keys::f1::{NONCE_LEN, Nonce, Suite};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Plaintext bytes of every chunk but the last, which is shorter.
pub(super) const CHUNK: usize = 16 * 1024;
/// Bytes of a tag.
pub(super) const TAG: usize = 16;
/// Bytes of a full chunk with its tag.
pub(super) const SEALED_CHUNK: usize = CHUNK + TAG;
/// Bytes of a salt.
pub(super) const SALT: usize = 24;
/// Bytes of a commitment.
pub(super) const COMMITMENT: usize = 32;
/// A file has fewer chunks than this.
pub(super) const MAX_CHUNKS: u64 = 1 << 38;

/// Starts the derivation's info.
const INFO: &[u8] = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0";

/// The cipher refused. Carries nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused;

/// The key and base nonce of one file.
pub(super) struct Cipher {
    key: AeadKey,
    base: [u8; NONCE_LEN],
}

impl Cipher {
    /// Derives the cipher of one file, with the commitment that its beginning must hold.
    pub(super) fn derive(
        backend: Backend,
        input_key: &[u8; 32],
        salt: &[u8; SALT],
        context: [&[u8]; 2],
    ) -> Result<(Self, [u8; COMMITMENT]), NotApproved> {
        // 76 bytes, of two blocks of SHA-512.
        let okm = backend.expand_sha512(input_key, [INFO, salt, context[0], context[1]]);

        let mut key = Zeroizing::new([0; 32]);
        let (mut base, mut commitment) = ([0; NONCE_LEN], [0; COMMITMENT]);
        for (to, from) in key.iter_mut().chain(&mut base).chain(&mut commitment).zip(okm.iter()) {
            *to = *from;
        }
        Ok((Self { key: AeadKey::new(backend, Suite::Aes256Gcm, &key)?, base }, commitment))
    }

    /// As [`derive`](Self::derive), of a file that is there already.
    pub(super) fn matching(
        backend: Backend,
        input_key: &[u8; 32],
        salt: &[u8; SALT],
        context: [&[u8]; 2],
        committed: &[u8; COMMITMENT],
    ) -> Result<Self, Refused> {
        let (cipher, commitment) = Self::derive(backend, input_key, salt, context).map_err(|_| Refused)?;
        if bool::from(commitment.ct_eq(committed)) { Ok(cipher) } else { Err(Refused) }
    }

    /// Seals a chunk in place and returns its tag. Each number may be sealed once.
    pub(super) fn seal(&self, number: u64, chunk: &mut [u8]) -> Result<[u8; TAG], Refused> {
        // Within a file each number gives another nonce, and each file has a key of its own.
        let nonce = Nonce::dangerous_from_bytes(self.nonce(number));
        self.key.seal(nonce, &[], chunk).map_err(|_| Refused)
    }

    /// Opens the chunk with its tag at `from` to the beginning of `buffer`, so that what was a gap before it closes. On
    /// refusal the buffer holds no plaintext.
    fn open(&self, number: u64, buffer: &mut [u8], from: usize) -> Result<(), Refused> {
        self.key.open(self.nonce(number), &[], buffer, from).map(|_| ()).ok_or(Refused)
    }

    fn nonce(&self, number: u64) -> [u8; NONCE_LEN] {
        let mut nonce = self.base;
        for (byte, counter) in nonce.iter_mut().rev().zip(number.to_le_bytes()) {
            *byte ^= counter;
        }
        nonce
    }
}

/// Opens the chunks that lie one behind the other at the beginning of `sealed`, of which the first has the number
/// `first`, and closes the gaps that their tags leave: the plaintext is then the beginning of `sealed`, as many bytes as
/// the answer says. What is shorter than a full chunk is taken for the last one.
///
/// With a refusal come the bytes that were opened before it.
pub(super) fn open_chunks(cipher: &Cipher, first: u64, sealed: &mut [u8]) -> (usize, Result<(), Refused>) {
    let (mut opened, mut number, mut from) = (0, first, 0);
    let length = sealed.len();
    while from < length {
        let end = length.min(from + SEALED_CHUNK);
        let Some(size) = (end - from).checked_sub(TAG) else { return (opened, Err(Refused)) };
        // `end` is within the buffer, and `opened` never passes `from`.
        let (Some(buffer), true) = (sealed.get_mut(opened..end), number < MAX_CHUNKS) else {
            return (opened, Err(Refused));
        };
        if cipher.open(number, buffer, from - opened).is_err() {
            return (opened, Err(Refused));
        }
        (opened, number, from) = (opened + size, number + 1, end);
    }
    (opened, Ok(()))
}
