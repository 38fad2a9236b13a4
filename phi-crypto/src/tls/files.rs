//! Reading certificates, private keys and revocation lists.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::path::Path;

use rustls::pki_types::pem::{PemObject as _, SectionKind};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::{TlsError, TlsFile};

/// The certificates of a file, at least one.
pub(super) fn certificates(path: &Path, role: TlsFile) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    Ok(sections(path, role, SectionKind::Certificate)?.into_iter().map(CertificateDer::from).collect())
}

/// The revocation lists of a file, at least one.
pub(super) fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let lists = sections(path, TlsFile::RevocationLists, SectionKind::Crl)?;
    Ok(lists.into_iter().map(CertificateRevocationListDer::from).collect())
}

/// The one private key of a file that nobody else may read.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let (text, metadata) = read(path, TlsFile::Key)?;
    private(&metadata)?;
    let found = Found::of(&text, TlsFile::Key)?;
    match found.count(is_key) {
        0 => Err(found.wrong(TlsFile::Key, &text)),
        1 => PrivateKeyDer::from_pem_slice(&text).map_err(|_| TlsError::DamagedPem(TlsFile::Key)),
        _ => Err(TlsError::SeveralKeys),
    }
}

/// The sections of one kind, at least one.
fn sections(path: &Path, role: TlsFile, wanted: SectionKind) -> Result<Vec<Vec<u8>>, TlsError> {
    let (text, metadata) = read(path, role)?;
    let found = Found::of(&text, role)?;
    if found.count(is_key) > 0 {
        // A key beside the certificates is tolerated as far as nobody else can read it.
        private(&metadata)?;
    }
    let sections: Vec<_> = found.0.iter().filter(|(kind, _)| *kind == wanted).map(|(_, der)| der.to_vec()).collect();
    if sections.is_empty() { Err(found.wrong(role, &text)) } else { Ok(sections) }
}

/// A whole file, checked as far as it can be without taking it apart.
pub(super) fn text(path: &Path, role: TlsFile) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let (text, metadata) = read(path, role)?;
    if role == TlsFile::Key {
        private(&metadata)?;
    }
    Ok(text)
}

fn read(path: &Path, role: TlsFile) -> Result<(Zeroizing<Vec<u8>>, Metadata), TlsError> {
    let unreadable = |source| TlsError::Unreadable(role, source);
    let longest: u64 = if role == TlsFile::RevocationLists { 64 << 20 } else { 1 << 20 };
    // Before it is opened: opening a pipe would wait for its other end. Symbolic links are followed, because that is how
    // certificates are replaced in one step.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(TlsError::NotAFile(role));
    }
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if metadata.len() > longest {
        return Err(TlsError::TooLong(role));
    }
    // Room for everything at once, so that no unwiped copy of a key is left by a growing vector.
    let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0).saturating_add(1)));
    file.take(longest).read_to_end(&mut text).map_err(unreadable)?;
    Ok((text, metadata))
}

/// As other servers have it: only the owner, who is this user or root; where root owns the file, its group may read too.
#[cfg(unix)]
fn private(metadata: &Metadata) -> Result<(), TlsError> {
    use std::os::unix::fs::MetadataExt as _;

    let (mode, owner) = (metadata.mode() & 0o7777, metadata.uid());
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(TlsError::KeyOwner);
    }
    let forbidden = if owner == 0 { 0o037 } else { 0o077 };
    if mode & forbidden == 0 { Ok(()) } else { Err(TlsError::KeyPermissions(mode)) }
}

#[cfg(not(unix))]
fn private(_: &Metadata) -> Result<(), TlsError> {
    Err(TlsError::Platform)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

const fn is_key(kind: SectionKind) -> bool {
    matches!(kind, SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey)
}

/// The sections of a file.
struct Found(Vec<(SectionKind, Zeroizing<Vec<u8>>)>);

impl Found {
    fn of(text: &[u8], role: TlsFile) -> Result<Self, TlsError> {
        // Its headers, before 2000 a part of PEM, are not part of what the parser reads.
        if role == TlsFile::Key && contains(text, b"Proc-Type: 4,ENCRYPTED") {
            return Err(TlsError::EncryptedKey);
        }
        let section = |section: Result<(SectionKind, Vec<u8>), _>| match section {
            Ok((kind, der)) => Ok((kind, Zeroizing::new(der))),
            Err(_) => Err(TlsError::DamagedPem(role)),
        };
        Ok(Self(<(SectionKind, Vec<u8>)>::pem_slice_iter(text).map(section).collect::<Result<_, _>>()?))
    }

    fn count(&self, which: fn(SectionKind) -> bool) -> usize {
        self.0.iter().filter(|(kind, _)| which(*kind)).count()
    }

    /// Why the file is none of `role`.
    fn wrong(&self, role: TlsFile, text: &[u8]) -> TlsError {
        let holds = |kind| self.0.iter().any(|(found, _)| *found == kind);
        let encrypted = contains(text, b"-----BEGIN ENCRYPTED PRIVATE KEY");
        let found = if encrypted && role == TlsFile::Key {
            return TlsError::EncryptedKey;
        } else if encrypted || self.count(is_key) > 0 {
            "a private key: check whether two paths were exchanged"
        } else if holds(SectionKind::Certificate) {
            "a certificate: check whether two paths were exchanged"
        } else if holds(SectionKind::Csr) {
            "a signing request: use the certificate that the authority made of it"
        } else if holds(SectionKind::Crl) {
            "a revocation list: check whether two paths were exchanged"
        } else if holds(SectionKind::PublicKey) {
            "a public key"
        } else if text.first() == Some(&0x30) {
            "binary DER: convert it to PEM with openssl (`-inform DER`)"
        } else if contains(text, b"-----BEGIN TRUSTED CERTIFICATE") {
            "a certificate in OpenSSL's own form: convert it with `openssl x509`"
        } else {
            "nothing in PEM"
        };
        TlsError::WrongContent(role, found)
    }
}
