//! Databases whose client libraries build their TLS themselves, told what the policy says.

use core::fmt;
use std::path::Path;

use zeroize::Zeroizing;

use super::{TlsClient, TlsError, TlsFile, TlsVersions, files};

/// What a Redis client library takes: an address that is reached through TLS alone, and PEM texts.
///
/// With the crate `redis` these are the arguments of `Client::build_with_tls`. A library that takes a rustls configuration,
/// such as `fred`, is given [`TlsClient::config`] instead and loses nothing of the policy.
#[non_exhaustive]
pub struct RedisTls {
    /// The address.
    pub url: String,
    /// The certificates of the authorities.
    pub root_certificates: Vec<u8>,
    /// Certificate chain and private key, where the client has an identity.
    pub identity: Option<(Vec<u8>, Zeroizing<Vec<u8>>)>,
}

impl fmt::Debug for RedisTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTls").finish_non_exhaustive()
    }
}

impl TlsClient {
    /// A PostgreSQL address with what `sqlx` and `libpq` need to verify the server: `sslmode=verify-full`, the roots, and the
    /// client's certificate. The files are read by that library when it connects.
    ///
    /// ```text
    /// postgres://app@db.example.org/chart?sslmode=verify-full&sslrootcert=/etc/chart/ca.pem
    /// ```
    ///
    /// # Errors
    /// [`TlsError::Address`] unless the address begins with `postgres://` or `postgresql://`, or when it sets TLS by itself,
    /// and [`TlsError::NotCarried`] for a policy of TLS 1.3 alone or roots with revocation lists, which those libraries cannot
    /// be told of.
    pub fn postgres_url(&self, url: &str) -> Result<String, TlsError> {
        self.is_carried()?;
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(TlsError::Address("it does not begin with postgres://"));
        }
        let query = url.split_once('?').map(|(_, query)| query);
        // Libraries differ in where such an address ends, and what is put at its end would not be read as parameters.
        if url.contains('#') || query.is_some_and(|query| query.contains(['?', '@'])) {
            return Err(TlsError::Address("write `#`, and `?` and `@` of a password, as %23, %3F and %40"));
        }
        if query.is_some_and(|query| query.split('&').any(|pair| pair.starts_with("ssl"))) {
            return Err(TlsError::Address("it sets TLS by itself: remove its ssl parameters"));
        }
        let mut url = url.to_owned();
        url.push(if query.is_some() { '&' } else { '?' });
        url.push_str("sslmode=verify-full");
        let mut file = |parameter: &str, path: &Path| {
            url.push_str(parameter);
            encode(path, &mut url)
        };
        file("&sslrootcert=", self.roots.file())?;
        if let Some(identity) = &self.identity {
            let (chain, key) = identity.files();
            file("&sslcert=", chain)?;
            file("&sslkey=", key)?;
        }
        Ok(url)
    }

    /// SQLx's options with the same settings as [`postgres_url`](Self::postgres_url), over whatever they held.
    ///
    /// # Errors
    /// [`TlsError::NotCarried`] as there.
    #[cfg(feature = "postgres")]
    pub fn postgres(
        &self,
        options: sqlx::postgres::PgConnectOptions,
    ) -> Result<sqlx::postgres::PgConnectOptions, TlsError> {
        self.is_carried()?;
        let options = options.ssl_mode(sqlx::postgres::PgSslMode::VerifyFull).ssl_root_cert(self.roots.file());
        Ok(match &self.identity {
            None => options,
            Some(identity) => {
                let (chain, key) = identity.files();
                options.ssl_client_cert(chain).ssl_client_key(key)
            }
        })
    }

    /// What a Redis client needs to verify the server at this address.
    ///
    /// # Errors
    /// [`TlsError::Address`] unless the address begins with `rediss://`, or when it turns verification off with a fragment;
    /// [`TlsError::NotCarried`] as for PostgreSQL; and errors of reading the files.
    pub fn redis(&self, url: &str) -> Result<RedisTls, TlsError> {
        self.is_carried()?;
        if !url.starts_with("rediss://") {
            return Err(TlsError::Address("it does not begin with rediss://, so it would not use TLS"));
        }
        if url.contains('#') {
            return Err(TlsError::Address("it has a fragment, which turns the verification of the server off"));
        }
        let identity = self.identity.as_ref().map(|identity| {
            let (chain, key) = identity.files();
            Ok((files::text(chain, TlsFile::Chain)?.to_vec(), files::text(key, TlsFile::Key)?))
        });
        Ok(RedisTls {
            url: url.to_owned(),
            root_certificates: files::text(self.roots.file(), TlsFile::Roots)?.to_vec(),
            identity: identity.transpose()?,
        })
    }

    /// These libraries fix their versions and verifier; what they cannot be told must not be believed to hold.
    fn is_carried(&self) -> Result<(), TlsError> {
        if self.policy.allowed() == TlsVersions::Tls13 {
            return Err(TlsError::NotCarried(
                "to refuse TLS 1.2: allow it in the policy of this client and refuse it at the server",
            ));
        }
        if self.roots.has_revocation_lists() {
            return Err(TlsError::NotCarried("revocation lists: use roots without them, and short-lived certificates"));
        }
        Ok(())
    }
}

/// A path in the query of an address: what is not unreserved (RFC 3986) or a slash is written in hexadecimal.
fn encode(path: &Path, url: &mut String) -> Result<(), TlsError> {
    let path = path.to_str().ok_or(TlsError::Address("a path of its certificates is not UTF-8"))?;
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => url.push(char::from(byte)),
            _ => {
                use core::fmt::Write as _;

                // Writing to a string does not fail.
                let _ = write!(url, "%{byte:02X}");
            }
        }
    }
    Ok(())
}
