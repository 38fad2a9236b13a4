//! Identifiers of keys and their versions.

use azure_core::http::Url;

use crate::kms::KmsError;

const MEND: &str = "name the key by its identifier without a version, such as https://clinic.vault.azure.net/keys/kek";
const NAME: &str = "the name of a key has 1 to 127 letters, digits and hyphens";

/// A key of one vault or Managed HSM. Azure does not tell upper case from lower case in either's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyName {
    /// `https://host`, with a port unless it is that of HTTPS.
    vault: String,
    name: String,
}

impl KeyName {
    /// From the identifier of a key, `https://clinic.vault.azure.net/keys/kek`.
    pub(super) fn parse(identifier: &str) -> Result<Self, KmsError> {
        let url: Url = identifier.parse().map_err(|_| KmsError::Misconfigured(MEND))?;
        let path = url.path().strip_prefix("/keys/").map(|name| name.strip_suffix('/').unwrap_or(name));
        match path {
            Some(name) if is_name(name) => Self::of(&url, name).map_err(|_| KmsError::Misconfigured(MEND)),
            _ => Err(KmsError::Misconfigured(MEND)),
        }
    }

    /// A key by its name, at the endpoint of a client.
    pub(super) fn of(endpoint: &Url, name: &str) -> Result<Self, KmsError> {
        let is_plain = endpoint.scheme() == "https"
            && endpoint.username().is_empty()
            && endpoint.password().is_none()
            && endpoint.query().is_none()
            && endpoint.fragment().is_none();
        if !is_plain {
            return Err(KmsError::Misconfigured(MEND));
        }
        if !is_name(name) {
            return Err(KmsError::Misconfigured(NAME));
        }
        let vault = origin(endpoint).ok_or(KmsError::Misconfigured(MEND))?;
        Ok(Self { vault, name: name.to_owned() })
    }

    /// Where the key lives.
    pub(super) fn vault(&self) -> &str {
        &self.vault
    }

    pub(super) fn as_str(&self) -> &str {
        &self.name
    }

    /// The identifier without a version.
    pub(super) fn identifier(&self) -> String {
        format!("{}/keys/{}", self.vault, self.name.to_ascii_lowercase())
    }

    /// The version that an answer's identifier names; `None` when it names another key.
    pub(super) fn version_in(&self, identifier: &str) -> Option<String> {
        let url: Url = identifier.parse().ok()?;
        let (name, version) = url.path().strip_prefix("/keys/")?.split_once('/')?;
        let same = origin(&url)? == self.vault && name.eq_ignore_ascii_case(&self.name);
        (same && is_version(version)).then(|| version.to_owned())
    }
}

fn origin(url: &Url) -> Option<String> {
    let host = url.host_str()?.to_ascii_lowercase();
    Some(match url.port() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    })
}

/// It becomes a part of a path.
fn is_name(name: &str) -> bool {
    (1..=127).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Azure's are 32 hexadecimal digits; whatever it is, it becomes a part of a path.
pub(super) fn is_version(version: &str) -> bool {
    (1..=64).contains(&version.len()) && version.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "https://clinic.vault.azure.net/keys/kek";
    const VERSION: &str = "78deebed173b48e48f55abf87ed4cf71";

    #[test]
    fn a_key_has_one_name_however_it_is_spelled() {
        let same = [
            KEY.to_owned(),
            format!("{KEY}/"),
            KEY.replace("clinic.vault", "Clinic.Vault"),
            KEY.replace("kek", "KEK"),
            KEY.replace(".net", ".net:443"),
        ];
        for identifier in same {
            assert_eq!(KeyName::parse(&identifier).unwrap().identifier(), KEY, "{identifier}");
        }
        let with_port = KeyName::parse("https://127.0.0.1:8443/keys/kek").unwrap();
        assert_eq!((with_port.vault(), with_port.as_str()), ("https://127.0.0.1:8443", "kek"));
    }

    #[test]
    fn what_names_no_key_says_so() {
        let wrong = [
            String::new(),
            "kek".to_owned(),
            "https://clinic.vault.azure.net".to_owned(),
            "https://clinic.vault.azure.net/secrets/kek".to_owned(),
            KEY.replace("https", "http"),
            KEY.replace("clinic", "user:password@clinic"),
            format!("{KEY}/{VERSION}"),
            format!("{KEY}?api-version=7.6"),
            format!("{KEY}#x"),
            KEY.replace("kek", ""),
            KEY.replace("kek", ".."),
            KEY.replace("kek", "a_b"),
            KEY.replace("kek", "a%2fb"),
            KEY.replace("kek", &"k".repeat(128)),
            "arn:aws:kms:us-east-1:111122223333:key/x".to_owned(),
        ];
        for identifier in wrong {
            let error = KeyName::parse(&identifier).map_err(|error| error.kind());
            assert_eq!(error, Err("misconfigured"), "{identifier}");
        }
    }

    #[test]
    fn a_version_is_one_of_this_key() {
        let key = KeyName::parse(KEY).unwrap();
        for identifier in [format!("{KEY}/{VERSION}"), format!("{}/{VERSION}", KEY.replace("kek", "Kek"))] {
            assert_eq!(key.version_in(&identifier).as_deref(), Some(VERSION));
        }
        let elsewhere = [
            KEY.to_owned(),
            format!("{KEY}/"),
            format!("{KEY}/{VERSION}/x"),
            format!("{KEY}/a-b"),
            format!("{}/{VERSION}", KEY.replace("clinic", "other")),
            format!("{}/{VERSION}", KEY.replace("kek", "kek2")),
            format!("{}/{VERSION}", KEY.replace("https", "http")),
            format!("{}/{VERSION}", KEY.replace(".net", ".net:8443")),
            VERSION.to_owned(),
        ];
        for identifier in elsewhere {
            assert_eq!(key.version_in(&identifier), None, "{identifier}");
        }
    }

    proptest! {
        #[test]
        fn whatever_an_answer_names_becomes_no_other_path(
            identifier in "(https?://clinic\\.vault\\.azure\\.net/keys/kek/?[ -~]{0,40}|[ -~]{0,60}|.{0,20})",
        ) {
            if let Some(version) = KeyName::parse(KEY).unwrap().version_in(&identifier) {
                prop_assert!(is_version(&version) && identifier.contains(&version), "{}", version);
                prop_assert!(identifier.trim().to_ascii_lowercase().starts_with("https:"), "{}", identifier);
            }
            if let Ok(name) = KeyName::parse(&identifier) {
                prop_assert_eq!(KeyName::parse(&name.identifier()).unwrap().identifier(), name.identifier());
            }
        }
    }
}
