//! Why a keyring file cannot be used.

use core::fmt;
use std::error::Error;
use std::io;
use std::sync::Arc;

use crate::backend::NotApproved;
use crate::f1::SealError;
use crate::kms::KmsError;
use crate::random::NoRandomness;

/// Why a keyring file cannot be used, with the mend. No path is in it: the caller knows which file it named.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum KeyringError {
    /// There is no such file.
    Missing,
    /// There is a file of this name already.
    AlreadyExists,
    /// The file cannot be read or written.
    Io(Arc<io::Error>),
    /// The file is there and belongs to this user, who may not read it.
    Unreadable,
    /// Others than the owner may read or write the file. Holds the permission bits.
    Permissions(u32),
    /// The file belongs to another user.
    Owner,
    /// The name is a symbolic link, a folder or a device.
    NotAFile,
    /// The file is no keyring.
    NotAKeyring,
    /// The keyring was written by a later version of this crate.
    Newer {
        /// The version of the file.
        found: u8,
        /// The newest version that this crate reads.
        supported: u8,
    },
    /// The file ends too early, or something follows its end.
    Truncated,
    /// The file was altered.
    Damaged,
    /// The file asks for a key derivation that is too weak or too expensive.
    Parameters,
    /// The passphrase is not that of the keyring.
    WrongPassphrase,
    /// The key file is not that of the keyring.
    WrongKeyFile,
    /// The keyring was given another passphrase or key file since it was opened.
    Relocked,
    /// The keyring is protected by a passphrase, and a key file was given.
    NeedsPassphrase,
    /// The keyring is protected by a key file, and a passphrase was given.
    NeedsKeyFile,
    /// The passphrase for a new keyring has fewer than 12 bytes.
    WeakPassphrase,
    /// Something is wrong with the key file itself.
    KeyFile(Box<Self>),
    /// The keyring pins the root key of another key store.
    OtherStore,
    /// The keyring has no KEK of this version.
    NoSuchVersion,
    /// The version is the newest one, under which everything is wrapped.
    NewestVersion,
    /// There are 2^32 versions, or more than fit into the file.
    Full,
    /// This platform has no file permissions that this crate can check.
    Platform,
    /// The operating system gave no random bytes.
    Random(NoRandomness),
    /// The keyring is on a validated module, which does not do this.
    NotApproved(NotApproved),
    /// The cipher failed without a reason while the keyring was being sealed.
    Cipher,
}

impl fmt::Display for KeyringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no such file: check its name, or create it"),
            Self::AlreadyExists => f.write_str(
                "there is a file of this name already, which is never overwritten: open it, or choose another name",
            ),
            Self::Io(_) => {
                f.write_str("the file cannot be read or written: check the disk and the permissions of its folder")
            }
            Self::Unreadable => f.write_str("the file may not be read by its owner: run `chmod 600` on it"),
            Self::Permissions(mode) => write!(
                f,
                "others than the owner may use the file (mode {mode:04o}): run `chmod 600` on it, and rotate if they may have read it"
            ),
            Self::Owner => f.write_str("the file belongs to another user: run `chown` on it, or run as its owner"),
            Self::NotAFile => f.write_str("the name is a link, a folder or a device: name the file itself"),
            Self::NotAKeyring => f.write_str("the file is not a keyring: check its name"),
            Self::Newer { found, supported } => {
                write!(f, "the keyring has version {found}, newer than {supported}: use a later version of this crate")
            }
            Self::Truncated => {
                f.write_str("the keyring is cut off or has something behind its end: restore it from its backup")
            }
            Self::Damaged => f.write_str("the file was altered or damaged: restore it from its backup"),
            Self::Parameters => {
                f.write_str("the keyring asks for a key derivation out of bounds: restore it from its backup")
            }
            Self::WrongPassphrase => f.write_str("the passphrase is not that of the keyring: give the one that it was made with or last given"),
            Self::WrongKeyFile => f.write_str("the key file is not that of the keyring: give the one that it was made with or last given"),
            Self::Relocked => f.write_str(
                "the keyring was given another passphrase or key file since it was opened: open it again with that",
            ),
            Self::NeedsPassphrase => {
                f.write_str("the keyring is protected by a passphrase: give that instead of a key file")
            }
            Self::NeedsKeyFile => {
                f.write_str("the keyring is protected by a key file: give that instead of a passphrase")
            }
            Self::WeakPassphrase => f.write_str("the passphrase is shorter than 12 bytes: choose a longer one"),
            Self::KeyFile(_) => f.write_str("the key file cannot be used"),
            Self::OtherStore => {
                f.write_str("the keyring pins the root key of another key store: use one keyring for each store")
            }
            Self::NoSuchVersion => f.write_str("the keyring has no KEK of this version: list its versions"),
            Self::NewestVersion => {
                f.write_str("the newest version of a KEK wraps everything: rotate and rewrap before it is retired")
            }
            Self::Full => {
                f.write_str("the keyring holds as many KEK versions as it can: start a new one and rewrap under it")
            }
            Self::Platform => {
                f.write_str("this platform has no file permissions to check: use a KMS instead of a keyring file")
            }
            Self::Random(_) => f.write_str("no randomness for a new key: check that the system gives random bytes, and try again"),
            Self::NotApproved(why) => why.fmt(f),
            Self::Cipher => f.write_str(
                "the cipher failed while the keyring was being sealed, without a reason: check that the system gives random bytes, and try again",
            ),
        }
    }
}

impl Error for KeyringError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(error) => Some(&**error),
            Self::KeyFile(error) => Some(&**error),
            Self::Random(error) => Some(error),
            _ => None,
        }
    }
}

impl From<KeyringError> for KmsError {
    fn from(error: KeyringError) -> Self {
        match error {
            // Of the machine rather than of the file: too many open files, a disk that does not answer.
            KeyringError::Io(reason)
                if !matches!(reason.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) =>
            {
                Self::unavailable(KeyringError::Io(reason))
            }
            KeyringError::Relocked => Self::unauthenticated(error),
            error => Self::failed(error),
        }
    }
}

impl From<io::Error> for KeyringError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::AlreadyExists => Self::AlreadyExists,
            _ => Self::Io(Arc::new(error)),
        }
    }
}

impl From<SealError> for KeyringError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::TooLong => Self::Full,
            SealError::NotApproved(error) => Self::NotApproved(error),
            // The nonce was made for the backend of the keyring, so it is never one that the key does not take.
            SealError::NoNonce | SealError::Cipher => Self::Cipher,
        }
    }
}

impl From<NotApproved> for KeyringError {
    fn from(error: NotApproved) -> Self {
        Self::NotApproved(error)
    }
}

impl From<NoRandomness> for KeyringError {
    fn from(error: NoRandomness) -> Self {
        Self::Random(error)
    }
}
