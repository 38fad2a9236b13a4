//! `vault:vN:…`

use super::error::VaultError;

/// The version that a ciphertext names. No leading zeros or signs: one version has one spelling.
pub(super) fn version(ciphertext: &str) -> Result<u64, VaultError> {
    let named = ciphertext.strip_prefix("vault:v").and_then(|rest| rest.split_once(':'));
    let (number, _) = named.filter(|(_, sealed)| !sealed.is_empty()).ok_or(VaultError::Refused)?;
    number
        .parse::<u64>()
        .ok()
        .filter(|version| *version > 0 && version.to_string() == number)
        .ok_or(VaultError::Refused)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_ciphertext_names_its_version_in_one_way_only() {
        assert_eq!(version("vault:v1:AAAA"), Ok(1));
        assert_eq!(version("vault:v12:AAAA"), Ok(12));
        let wrong =
            ["", "vault:v1", "vault:v1:", "vault:v0:AA", "vault:v01:AA", "vault:v+1:AA", "vault:vx:AA", "wault:v1:AA"];
        for wrong in wrong {
            assert_eq!(version(wrong), Err(VaultError::Refused), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_taken_for_a_ciphertext_is_written_as_it_was_read(text in "(vault:v[0-9]{0,25}:?.{0,8}|.{0,40})") {
            if let Ok(number) = version(&text) {
                let beginning = format!("vault:v{number}:");
                prop_assert!(number > 0 && text.starts_with(&beginning));
            }
        }
    }
}
