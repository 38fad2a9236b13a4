//! C2SP chunked-encryption with SHA-512 and AES-256-GCM (Cobblestone-256), `SPEC.md` section 8: keys and chunks, no I/O.

use core::ops::RangeFrom;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, Tag, UnboundKey};
use ring::hmac;
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
    key: LessSafeKey,
    base: [u8; NONCE_LEN],
}

impl Cipher {
    /// Derives the cipher of one file, with the commitment that its beginning must hold.
    pub(super) fn derive(input_key: &[u8; 32], salt: &[u8; SALT], context: [&[u8]; 2]) -> (Self, [u8; COMMITMENT]) {
        let prk = hmac::Key::new(hmac::HMAC_SHA512, input_key);
        // RFC 5869, section 2.3: 76 bytes are two blocks of SHA-512.
        let block = |previous: &[u8], number: u8| {
            let mut mac = hmac::Context::with_key(&prk);
            for part in [previous, INFO, salt, context[0], context[1], &[number]] {
                mac.update(part);
            }
            let mut block = Zeroizing::new([0; 64]);
            block.copy_from_slice(mac.sign().as_ref());
            block
        };
        let first = block(&[], 1);
        let second = block(first.as_slice(), 2);

        let mut key = Zeroizing::new([0; 32]);
        let (mut base, mut commitment) = ([0; NONCE_LEN], [0; COMMITMENT]);
        let okm = first.iter().chain(second.iter());
        for (to, from) in key.iter_mut().chain(&mut base).chain(&mut commitment).zip(okm) {
            *to = *from;
        }
        #[expect(clippy::expect_used, reason = "fails only for a wrong key length")]
        let key = UnboundKey::new(&AES_256_GCM, key.as_slice()).expect("AES-256 takes keys of 32 bytes");
        (Self { key: LessSafeKey::new(key), base }, commitment)
    }

    /// As [`derive`](Self::derive), of a file that is there already.
    pub(super) fn matching(
        input_key: &[u8; 32],
        salt: &[u8; SALT],
        context: [&[u8]; 2],
        committed: &[u8; COMMITMENT],
    ) -> Result<Self, Refused> {
        let (cipher, commitment) = Self::derive(input_key, salt, context);
        if bool::from(commitment.ct_eq(committed)) { Ok(cipher) } else { Err(Refused) }
    }

    /// Seals a chunk in place and returns its tag. Each number may be sealed once.
    pub(super) fn seal(&self, number: u64, chunk: &mut [u8]) -> Result<Tag, Refused> {
        self.key.seal_in_place_separate_tag(self.nonce(number), Aad::empty(), chunk).map_err(|_| Refused)
    }

    /// Opens the ciphertext at `from` to the beginning of `buffer`, so that what was a gap before it closes. On refusal
    /// the buffer holds no plaintext.
    pub(super) fn open(
        &self,
        number: u64,
        tag: [u8; TAG],
        buffer: &mut [u8],
        from: RangeFrom<usize>,
    ) -> Result<(), Refused> {
        let opened =
            self.key.open_in_place_separate_tag(self.nonce(number), Aad::empty(), Tag::from(tag), buffer, from);
        opened.map(|_| ()).map_err(|_| Refused)
    }

    fn nonce(&self, number: u64) -> Nonce {
        let mut nonce = self.base;
        for (byte, counter) in nonce.iter_mut().rev().zip(number.to_le_bytes()) {
            *byte ^= counter;
        }
        Nonce::assume_unique_for_key(nonce)
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
        let mut tag = [0; TAG];
        // `from + size + TAG` is `end`, which is within the buffer, and `opened` never passes `from`.
        let (Some(given), true) = (sealed.get(from + size..end), number < MAX_CHUNKS) else {
            return (opened, Err(Refused));
        };
        tag.copy_from_slice(given);
        let Some(buffer) = sealed.get_mut(opened..from + size) else { return (opened, Err(Refused)) };
        if cipher.open(number, tag, buffer, from - opened..).is_err() {
            return (opened, Err(Refused));
        }
        (opened, number, from) = (opened + size, number + 1, end);
    }
    (opened, Ok(()))
}
