//! Why a TLS setting is refused, and how to mend it.

use core::fmt;

use phi_types::Timestamp;

/// A file that a TLS setting is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsFile {
    /// The certificate and the intermediate certificates that it needs.
    Chain,
    /// The private key.
    Key,
    /// The certificates of the authorities that are trusted.
    Roots,
    /// Revocation lists.
    RevocationLists,
}

impl fmt::Display for TlsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chain => "certificate chain",
            Self::Key => "private key",
            Self::Roots => "roots",
            Self::RevocationLists => "revocation lists",
        })
    }
}

/// A TLS setting was refused. What was in force before stays in force.
///
/// Certificates are counted from 1, which is the one of the server or client itself.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    Unreadable(TlsFile, std::io::Error),
    /// A path does not lead to a plain file.
    NotAFile(TlsFile),
    /// A file is longer than such a file can be: 1 MiB, or 64 MiB for revocation lists.
    TooLong(TlsFile),
    /// A file holds something else; the text says what.
    WrongContent(TlsFile, &'static str),
    /// The PEM armour of a file is damaged.
    DamagedPem(TlsFile),
    /// A certificate or list cannot be parsed.
    Malformed(TlsFile, usize),
    /// The private key is encrypted.
    EncryptedKey,
    /// More than one private key in the file.
    SeveralKeys,
    /// Others than the owner may use the file that holds the private key; its mode.
    KeyPermissions(u32),
    /// The file with the private key belongs to neither root nor the user that this process runs as.
    KeyOwner,
    /// Permissions cannot be checked on this platform, so no private key is read.
    Platform,
    /// The cryptographic provider does not take a private key of this kind or size.
    KeyKind(rustls::Error),
    /// The private key is not the one of the certificate.
    KeyDoesNotFit,
    /// A certificate of the chain has expired.
    Expired {
        /// Which one.
        certificate: usize,
        /// The last moment at which it was valid.
        not_after: Timestamp,
    },
    /// A certificate of the chain is not valid yet.
    NotYetValid {
        /// Which one.
        certificate: usize,
        /// The first moment at which it will be valid.
        not_before: Timestamp,
    },
    /// No root is valid at this time.
    NoValidRoot,
    /// A revocation list is out of date.
    RevocationListExpired {
        /// Which one, counted from 1.
        list: usize,
        /// When a newer one was due.
        next_update: Timestamp,
    },
    /// What is given as a name is neither a host name nor an IP address.
    InvalidName,
    /// The certificate does not hold a name that the server answers to.
    NameMissing(String),
    /// A certificate of the chain was not issued by the one that follows it; the position of the former.
    ChainOrder(usize),
    /// The chain does not lead to one of the roots.
    ChainIncomplete,
    /// The certificate is not meant for what it is used for.
    Purpose,
    /// The certificate was revoked.
    Revoked,
    /// The verifier refuses the chain for another reason.
    ChainRefused(rustls::Error),
    /// The cryptographic provider has no suite or key exchange that the policy allows.
    NothingAllowed(&'static str),
    /// A protocol name for ALPN has 1 to 255 bytes.
    Protocol,
    /// A client library cannot be told a setting of the policy; the text names it.
    NotCarried(&'static str),
    /// An address that would not be reached through verified TLS; the text says why.
    Address(&'static str),
    /// rustls refuses the configuration.
    Configuration(Box<dyn core::error::Error + Send + Sync>),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(file, _) => write!(f, "the file of the {file} cannot be read: check path and permissions"),
            Self::NotAFile(file) => write!(f, "the path of the {file} does not lead to a plain file"),
            Self::TooLong(file) => write!(f, "the file of the {file} is too long to be one: check its path"),
            Self::WrongContent(file, found) => write!(f, "the file of the {file} holds {found}"),
            Self::DamagedPem(file) => write!(f, "the PEM text in the file of the {file} is damaged: copy it again"),
            Self::Malformed(file, at) => write!(f, "entry {at} in the file of the {file} cannot be parsed: issue it again"),
            Self::EncryptedKey => f.write_str(
                "the private key is encrypted: write it without a passphrase (`openssl pkey`) into a file of mode 0600",
            ),
            Self::SeveralKeys => f.write_str("the file of the private key holds several: leave only the one in use"),
            Self::KeyPermissions(mode) => write!(
                f,
                "the file of the private key has mode {mode:04o}: run chmod 600 on it (0640 when root owns it)"
            ),
            Self::KeyOwner => f.write_str("the file of the private key belongs to another user: give it to this one or to root"),
            Self::Platform => f.write_str("permissions of a private key cannot be checked on this platform, so none is read"),
            Self::KeyKind(_) => f.write_str(
                "the private key is of a kind that is not supported: use ECDSA P-256 or P-384, Ed25519, or RSA of 2048 bits and more",
            ),
            Self::KeyDoesNotFit => {
                f.write_str("the private key is not the one of the certificate: check that both files are of the same issue")
            }
            Self::Expired { certificate, not_after } => {
                write!(f, "certificate {certificate} of the chain expired at {not_after}: renew it, or check the clock")
            }
            Self::NotYetValid { certificate, not_before } => {
                write!(f, "certificate {certificate} of the chain is valid from {not_before} only: check the clock")
            }
            Self::NoValidRoot => f.write_str("none of the roots is valid now: renew them, or check the clock"),
            Self::RevocationListExpired { list, next_update } => {
                write!(f, "revocation list {list} was to be replaced by {next_update}: fetch the current one")
            }
            Self::InvalidName => f.write_str("a server's name is a host name or an IP address, without scheme, port or `*`"),
            Self::NameMissing(name) => {
                write!(f, "the certificate is not valid for {name}: issue it with that subject alternative name")
            }
            Self::ChainOrder(at) => write!(
                f,
                "certificate {at} of the chain was not issued by the next one: order them from the server's to the root's"
            ),
            Self::ChainIncomplete => f.write_str(
                "the chain does not lead to a root: append the intermediate certificates to the file, or check the roots",
            ),
            Self::Purpose => {
                f.write_str("the certificate is issued for another use: issue it for server or client authentication")
            }
            Self::Revoked => f.write_str("the certificate was revoked: replace it and its key"),
            Self::ChainRefused(_) => f.write_str("the certificate chain does not verify: issue it again"),
            Self::NothingAllowed(what) => write!(f, "the cryptographic provider offers no {what} that the policy allows"),
            Self::Protocol => f.write_str("a protocol name has 1 to 255 bytes, such as h2 or http/1.1"),
            Self::NotCarried(what) => write!(f, "the client library cannot be told {what}"),
            Self::Address(why) => write!(f, "the address is refused: {why}"),
            Self::Configuration(_) => f.write_str("the TLS configuration is refused"),
        }
    }
}

impl core::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Unreadable(_, source) => Some(source),
            Self::KeyKind(source) | Self::ChainRefused(source) => Some(source),
            Self::Configuration(source) => Some(&**source),
            _ => None,
        }
    }
}

impl TlsError {
    pub(super) fn configuration(source: impl core::error::Error + Send + Sync + 'static) -> Self {
        Self::Configuration(Box::new(source))
    }
}
