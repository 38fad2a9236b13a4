//! Throw-away authorities, their certificates, and handshakes in memory.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use phi_crypto::tls::{Identity, Roots, TlsClient, TlsPolicy, TlsServer};
use phi_types::{ManualClock, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::{ClientConnection, ServerConfig, ServerConnection, SupportedProtocolVersion};
use tempfile::TempDir;

/// 2026-06-01, in the middle of what [`Leaf::new`] is valid for.
pub(super) const NOW: i64 = 1_780_272_000;

pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(super) pem: String,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let (params, key) = Self::params(name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// An authority below this one.
    pub(super) fn intermediate(&self, name: &str) -> Self {
        let (params, key) = Self::params(name);
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn params(name: &str) -> (CertificateParams, KeyPair) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        (params, KeyPair::generate().unwrap())
    }

    /// Certificate and key in PEM.
    pub(super) fn issue(&self, leaf: &Leaf) -> (String, String) {
        let key =
            leaf.key.as_deref().map_or_else(|| KeyPair::generate().unwrap(), |pem| KeyPair::from_pem(pem).unwrap());
        let mut params = CertificateParams::new(leaf.names.clone()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "leaf");
        params.serial_number = Some(SerialNumber::from(leaf.serial));
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![leaf.purpose.clone()];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        (params.not_before, params.not_after) = (date_time_ymd(leaf.from, 1, 1), date_time_ymd(leaf.until, 1, 1));
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// A list of revoked serial numbers that is current until the beginning of a year.
    pub(super) fn revoke(&self, serials: &[u64], until: i32) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2026, 1, 2),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2025, 1, 1),
            next_update: date_time_ymd(until, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

pub(super) struct Leaf {
    pub(super) names: Vec<String>,
    pub(super) serial: u64,
    pub(super) purpose: ExtendedKeyUsagePurpose,
    pub(super) from: i32,
    pub(super) until: i32,
    /// One that exists, instead of a new one.
    pub(super) key: Option<String>,
}

impl Leaf {
    pub(super) fn server(name: &str) -> Self {
        Self {
            names: vec![name.to_owned()],
            serial: 1,
            purpose: ExtendedKeyUsagePurpose::ServerAuth,
            from: 2020,
            until: 2100,
            key: None,
        }
    }

    pub(super) fn client(serial: u64) -> Self {
        Self { serial, purpose: ExtendedKeyUsagePurpose::ClientAuth, ..Self::server("client.example.org") }
    }
}

/// A folder for PEM files, and a policy whose clock stands at [`NOW`].
pub(super) struct Files {
    folder: TempDir,
    pub(super) clock: ManualClock,
    pub(super) policy: TlsPolicy,
}

impl Files {
    pub(super) fn new() -> Self {
        let clock = ManualClock::new(Timestamp::from_unix_seconds(NOW));
        let policy = TlsPolicy::new().clock(clock.clone());
        Self { folder: tempfile::tempdir().unwrap(), clock, policy }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file that only its owner can read.
    pub(super) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// `name.pem` and `name.key`.
    pub(super) fn pair(&self, name: &str, (chain, key): &(String, String)) -> (PathBuf, PathBuf) {
        (self.write(&format!("{name}.pem"), chain), self.write(&format!("{name}.key"), key))
    }

    pub(super) fn identity(&self, name: &str, pair: &(String, String)) -> Identity {
        let (chain, key) = self.pair(name, pair);
        self.policy.identity(chain, key).load().unwrap()
    }

    pub(super) fn roots(&self, name: &str, pem: &str) -> Roots {
        self.policy.roots(self.write(name, pem)).load().unwrap()
    }
}

/// Both ends of a connection whose handshake is over.
pub(super) struct Connection {
    pub(super) client: ClientConnection,
    pub(super) server: ServerConnection,
}

impl Connection {
    /// A handshake in memory; the error is that of whoever refused.
    pub(super) fn open(client: &TlsClient, server: &TlsServer, name: &'static str) -> Result<Self, rustls::Error> {
        Self::to(client, server.config(), name)
    }

    /// As [`open`](Self::open), to a server that is not of the policy.
    pub(super) fn to(client: &TlsClient, server: Arc<ServerConfig>, name: &'static str) -> Result<Self, rustls::Error> {
        let mut connection = Self {
            client: ClientConnection::new(client.config(), name.try_into().unwrap()).unwrap(),
            server: ServerConnection::new(server).unwrap(),
        };
        connection.flush()?;
        assert!(!connection.client.is_handshaking() && !connection.server.is_handshaking());
        Ok(connection)
    }

    /// Carries everything that either end has to say to the other.
    fn flush(&mut self) -> Result<(), rustls::Error> {
        while self.client.wants_write() || self.server.wants_write() {
            let mut wire = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut wire).unwrap();
            }
            let mut wire = wire.as_slice();
            while !wire.is_empty() {
                self.server.read_tls(&mut wire).unwrap();
                self.server.process_new_packets()?;
            }
            let mut wire = Vec::new();
            while self.server.wants_write() {
                self.server.write_tls(&mut wire).unwrap();
            }
            let mut wire = wire.as_slice();
            while !wire.is_empty() {
                self.client.read_tls(&mut wire).unwrap();
                self.client.process_new_packets()?;
            }
        }
        Ok(())
    }

    /// Sends a line in both directions.
    pub(super) fn talk(&mut self) {
        use std::io::{Read as _, Write as _};

        self.client.writer().write_all(b"ping").unwrap();
        self.server.writer().write_all(b"pong").unwrap();
        self.flush().unwrap();
        let mut line = [0; 4];
        self.server.reader().read_exact(&mut line).unwrap();
        assert_eq!(&line, b"ping");
        self.client.reader().read_exact(&mut line).unwrap();
        assert_eq!(&line, b"pong");
    }

    /// The certificate that the client saw, in DER.
    pub(super) fn seen(&self) -> Vec<u8> {
        self.client.peer_certificates().unwrap()[0].to_vec()
    }
}

/// A server that speaks one version alone, by rustls without the policy.
pub(super) fn plain_server(
    version: &'static SupportedProtocolVersion,
    (chain, key): &(String, String),
) -> Arc<ServerConfig> {
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject as _;

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    Arc::new(builder.with_no_client_auth().with_single_cert(vec![der(chain).into()], key).unwrap())
}

pub(super) fn der(pem: &str) -> Vec<u8> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

/// A client of `authority` alone.
pub(super) fn client(files: &Files, authority: &Authority) -> TlsClient {
    let roots = files.roots("roots.pem", &authority.pem);
    files.policy.client(&roots).build().unwrap()
}

pub(super) fn error_text(error: &dyn std::error::Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text} {source} {source:?}");
        next = source.source();
    }
    text
}
