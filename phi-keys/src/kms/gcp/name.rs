//! Resource names of keys and versions.

use crate::kms::KmsError;

const MEND: &str = "name the key in full, without a version: projects/P/locations/L/keyRings/R/cryptoKeys/K";
const NUMBER: &str =
    "name the project by its id instead of its number: what is wrapped is found by the name of its key";

/// A project's id may begin with a domain, `example.com:clinic`.
const COLLECTIONS: [&str; 4] = ["projects", "locations", "keyRings", "cryptoKeys"];
const VERSIONS: &str = "cryptoKeyVersions";

/// The full name of a key, which is in a form that only one name of it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyName(String);

impl KeyName {
    pub(super) fn parse(name: &str) -> Result<Self, KmsError> {
        let parts: Vec<&str> = name.split('/').collect();
        let (ids, words): (Vec<_>, Vec<_>) = parts.iter().enumerate().partition(|(at, _)| at % 2 == 1);
        let is_key = words.iter().map(|(_, word)| **word).eq(COLLECTIONS)
            && ids.len() == COLLECTIONS.len()
            && ids.iter().all(|(_, id)| is_id(id))
            && name.len() <= 1_024;
        if !is_key {
            return Err(KmsError::Misconfigured(MEND));
        }
        if project(name).is_some_and(is_number) {
            return Err(KmsError::Misconfigured(NUMBER));
        }
        Ok(Self(name.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the KEK, the same for all its versions.
    pub(super) fn kek_id(&self) -> String {
        format!("gcp-kms:{}", self.0)
    }

    /// The full name of a version, whose number is checked first: it becomes a part of a path.
    pub(super) fn version(&self, number: &str) -> Result<String, KmsError> {
        if is_version(number) { Ok(format!("{}/{VERSIONS}/{number}", self.0)) } else { Err(KmsError::UnknownVersion) }
    }

    /// The number of the version that an answer names; `None` when it names another key. An answer may name the project by its
    /// number.
    pub(super) fn number_in<'a>(&self, answered: &'a str) -> Option<&'a str> {
        let (key, number) = answered.rsplit_once(&format!("/{VERSIONS}/"))?;
        let behind_project = |name: &str| name.splitn(3, '/').nth(2).map(str::to_owned);
        let same_project = project(key) == project(&self.0) || project(key).is_some_and(is_number);
        let same = key.starts_with("projects/") && same_project && behind_project(key) == behind_project(&self.0);
        (same && is_version(number)).then_some(number)
    }
}

fn project(name: &str) -> Option<&str> {
    name.split('/').nth(1)
}

fn is_id(id: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    !id.is_empty() && id.bytes().all(legal) && id.bytes().any(|byte| byte.is_ascii_alphanumeric())
}

fn is_number(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())
}

/// Versions are numbered from 1.
pub(super) fn is_version(number: &str) -> bool {
    (1..=19).contains(&number.len()) && is_number(number) && !number.starts_with('0')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "projects/clinic/locations/europe-west3/keyRings/phi/cryptoKeys/kek";

    #[test]
    fn only_the_full_name_of_a_key_is_one() {
        let domain = KEY.replace("clinic", "example.com:clinic-1");
        for good in [KEY, &domain, &KEY.replace("kek", "a_B-9")] {
            assert_eq!(KeyName::parse(good).map(|name| name.kek_id()).ok(), Some(format!("gcp-kms:{good}")));
        }
        let wrong = [
            String::new(),
            "kek".to_owned(),
            format!("/{KEY}"),
            format!("{KEY}/"),
            format!("{KEY}/cryptoKeyVersions/1"),
            format!("//cloudkms.googleapis.com/{KEY}"),
            KEY.replace("projects", "project"),
            KEY.replace("clinic", ""),
            KEY.replace("clinic", ".."),
            KEY.replace("kek", "k:encrypt?x=y"),
            KEY.replace("kek", "k ek"),
            KEY.replace("kek", "ké"),
            KEY.replace("kek", &"k".repeat(1_024)),
            KEY.replace("clinic", "123456789012"),
        ];
        for name in wrong {
            assert_eq!(KeyName::parse(&name).map_err(|error| error.kind()), Err("misconfigured"), "{name}");
        }
    }

    #[test]
    fn a_version_is_a_number_of_this_key() {
        let key = KeyName::parse(KEY).unwrap();
        let by_number = KEY.replace("clinic", "123456789012");
        for name in [KEY, &by_number] {
            assert_eq!(key.number_in(&format!("{name}/cryptoKeyVersions/12")), Some("12"));
        }
        let elsewhere = [
            KEY.to_owned(),
            format!("{KEY}/cryptoKeyVersions/"),
            format!("{KEY}/cryptoKeyVersions/0"),
            format!("{KEY}/cryptoKeyVersions/01"),
            format!("{KEY}/cryptoKeyVersions/1/x"),
            format!("{KEY}/cryptoKeyVersions/latest"),
            format!("{}/cryptoKeyVersions/1", KEY.replace("clinic", "other")),
            format!("{}/cryptoKeyVersions/1", KEY.replace("europe-west3", "us-east1")),
            format!("{}/cryptoKeyVersions/1", KEY.replace("kek", "kek2")),
            format!("x{KEY}/cryptoKeyVersions/1"),
            "projects".to_owned(),
        ];
        for name in elsewhere {
            assert_eq!(key.number_in(&name), None, "{name}");
        }
        assert_eq!(key.version("3").ok(), Some(format!("{KEY}/cryptoKeyVersions/3")));
        for number in ["", "0", "01", "-1", "1/../2", "latest", "99999999999999999999"] {
            assert_eq!(key.version(number).map_err(|error| error.kind()), Err("unknown_version"), "{number}");
        }
    }

    proptest! {
        #[test]
        fn whatever_an_answer_names_is_this_key_or_none(
            project in "(clinic|[0-9]{0,12}|[ -~]{0,10})",
            rest in "(/locations/europe-west3/keyRings/phi/cryptoKeys/kek/cryptoKeyVersions/[0-9]{0,21}|[ -~]{0,80})",
        ) {
            let key = KeyName::parse(KEY).unwrap();
            let answered = format!("projects/{project}{rest}");
            if let Some(number) = key.number_in(&answered) {
                prop_assert!(project == "clinic" || (!project.is_empty() && is_number(&project)), "{}", answered);
                prop_assert_eq!(answered.replacen(&project, "clinic", 1), key.version(number).unwrap());
            }
            if let Ok(name) = KeyName::parse(&answered) {
                prop_assert!(name.version("1").is_ok_and(|version| name.number_in(&version) == Some("1")));
            }
        }
    }
}
