//! Why a file was not sealed or opened.

use core::fmt;
use std::io;

use phi_keys::KeyId;
use phi_keys::backend::NotApproved;

use crate::ContextError;

/// A file was not sealed or opened.
///
/// `Read`, `Write` and `Seek` report it inside an [`io::Error`], where [`FileError::of`] finds it again.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileError {
    /// The source or sink failed.
    Io(io::Error),
    /// The context cannot be bound.
    Context(ContextError),
    /// The bytes are no sealed file: a plaintext or something else is there by mistake.
    NotSealed,
    /// The file was sealed by a later version of this crate.
    Unsupported,
    /// The file names a key that the opener does not hold: one of another scope, or one that was made or destroyed since
    /// the opener was obtained.
    #[non_exhaustive]
    UnknownKey {
        /// The key that the file names.
        kid: KeyId,
    },
    /// The file has no end: its writer was not finished, or something was cut off.
    Truncated,
    /// The cipher refused: the file was altered, cut off, moved from its place, or sealed under another context.
    /// Deliberately without detail.
    Refused,
    /// The lease of the key has ended. Nothing is lost: renew it and go on.
    LeaseEnded,
    /// The key of the scope was rotated while the file was being sealed. The file must be sealed from its beginning.
    KeyRotated,
    /// The lease could not be renewed.
    Keys(phi_keys::Error),
    /// The process was forked while the file was being sealed: going on could repeat a nonce.
    Forked,
    /// An earlier error left the file without the bytes that came next.
    Abandoned,
    /// The file reached 4 PiB.
    TooLarge,
    /// The operating system gave no random bytes.
    NoRandomness,
    /// The key is on a validated module, which seals no files.
    NotApproved(NotApproved),
}

impl FileError {
    /// The error of this crate inside an error of a stream, if there is one.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// The same without what cannot be copied, for answering again and again.
    pub(super) const fn repeated(&self) -> Self {
        match self {
            Self::Truncated => Self::Truncated,
            Self::TooLarge => Self::TooLarge,
            _ => Self::Refused,
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(_) => f.write_str("the file could not be read or written"),
            Self::Context(_) => f.write_str("the context of the file cannot be bound"),
            Self::NotSealed => f.write_str("there is no sealed file in this place; look for an unsealed write to it"),
            Self::Unsupported => f.write_str("the file was sealed by a later version; open it with that version"),
            Self::UnknownKey { kid } => write!(
                f,
                "the file names key {kid}, which this opener does not hold; obtain an opener for the file's scope"
            ),
            Self::Truncated => f.write_str("the file is not complete; fetch it again, or seal it again to the end"),
            Self::Refused => f.write_str("the sealed file does not open in this place"),
            Self::LeaseEnded => f.write_str("the lease of the key has ended; renew it and go on"),
            Self::KeyRotated => {
                f.write_str("the key was rotated while the file was being sealed; seal it from its beginning")
            }
            Self::Keys(_) => f.write_str("the lease of the key could not be renewed"),
            Self::Forked => {
                f.write_str("the process was forked while the file was being sealed; finish files before forking")
            }
            Self::Abandoned => f.write_str("an earlier error broke the file off; seal it from its beginning"),
            Self::TooLarge => f.write_str("the file reached 4 PiB; split it"),
            Self::NotApproved(why) => why.fmt(f),
            Self::NoRandomness => {
                f.write_str("the operating system gave no random bytes; check that the process may call getrandom")
            }
        }
    }
}

impl core::error::Error for FileError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io(source) => Some(source),
            Self::Context(source) => Some(source),
            Self::Keys(source) => Some(source),
            _ => None,
        }
    }
}

impl From<FileError> for io::Error {
    fn from(error: FileError) -> Self {
        let kind = match error {
            FileError::Io(source) => return source,
            FileError::Truncated => io::ErrorKind::UnexpectedEof,
            FileError::LeaseEnded | FileError::Keys(_) => io::ErrorKind::PermissionDenied,
            FileError::TooLarge => io::ErrorKind::FileTooLarge,
            FileError::NotApproved(_) => io::ErrorKind::Unsupported,
            FileError::NotSealed | FileError::Unsupported | FileError::Refused | FileError::UnknownKey { .. } => {
                io::ErrorKind::InvalidData
            }
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// Gets back what went through a stream's [`io::Error`].
impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        match error.downcast() {
            Ok(error) => error,
            Err(error) => Self::Io(error),
        }
    }
}

impl From<NotApproved> for FileError {
    fn from(source: NotApproved) -> Self {
        Self::NotApproved(source)
    }
}

impl From<ContextError> for FileError {
    fn from(source: ContextError) -> Self {
        Self::Context(source)
    }
}
