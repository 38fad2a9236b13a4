//! Why there is no tag.

use core::fmt;

/// A tag was not computed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum IndexError {
    /// The index key cannot be had.
    Key(phi_keys::Error),
    /// The lease of the index key has ended.
    LeaseEnded,
    /// The value, or a name of the index, is 4 GiB or longer, or the index is over more than 254 fields.
    TooLong,
    /// A column of tags holds something else.
    NotATag,
}

impl fmt::Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key(_) => "the key of the index cannot be had",
            Self::LeaseEnded => "the lease of the index key has ended; open the index again",
            Self::TooLong => "the value is 4 GiB or longer, or the index is over more than 254 fields; index less",
            Self::NotATag => "there is no tag in this place; look for another write to the column",
        })
    }
}

impl core::error::Error for IndexError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Key(source) => Some(source),
            Self::LeaseEnded | Self::TooLong | Self::NotATag => None,
        }
    }
}

impl From<phi_keys::Error> for IndexError {
    fn from(source: phi_keys::Error) -> Self {
        Self::Key(source)
    }
}
