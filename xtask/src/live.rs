//! `cargo xtask live <provider>`: the conformance suite against a real account.

use std::env;

use crate::evidence;
use crate::long;
use crate::shell::{self, Result};

struct Provider {
    name: &'static str,
    /// Variables without which nothing can be run, and what each of them is.
    needed: &'static [(&'static str, &'static str)],
    /// Where its credentials come from, which the vendor's SDK decides.
    credentials: &'static str,
    /// How many seconds its changes of a KEK usually take to show everywhere, going by the vendor's documentation.
    settle: u32,
}

const PROVIDERS: &[Provider] = &[
    Provider {
        name: "aws",
        needed: &[("PHI_LIVE_AWS_KEY", "the ARN of a symmetric key")],
        credentials: "credentials and AWS_REGION as for every AWS tool",
        settle: 30,
    },
    Provider {
        name: "gcp",
        needed: &[(
            "PHI_LIVE_GCP_KEY",
            "projects/P/locations/L/keyRings/R/cryptoKeys/K of the purpose ENCRYPT_DECRYPT",
        )],
        credentials: "application default credentials, such as GOOGLE_APPLICATION_CREDENTIALS",
        settle: 90,
    },
    Provider {
        name: "azure",
        needed: &[("PHI_LIVE_AZURE_KEY", "the identifier of a key, such as https://clinic.vault.azure.net/keys/kek")],
        credentials: "AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or a workload or managed identity; \
                      PHI_LIVE_AZURE_ALGORITHM (RSA-OAEP-256 unless set, A256GCM, A256KW)",
        settle: 10,
    },
    Provider {
        name: "vault",
        needed: &[
            ("PHI_LIVE_VAULT_ADDRESS", "such as https://vault.clinic.example:8200"),
            ("PHI_LIVE_VAULT_KEY", "the name of a derived Transit key of an AEAD type"),
            ("PHI_LIVE_VAULT_TOKEN", "a token whose policy allows what the adapter's page lists"),
        ],
        credentials: "PHI_LIVE_VAULT_MOUNT, PHI_LIVE_VAULT_NAMESPACE and PHI_LIVE_VAULT_CA_FILE where they differ",
        settle: 0,
    },
    Provider {
        name: "pkcs11",
        needed: &[
            ("PHI_LIVE_PKCS11_MODULE", "the path of the module"),
            ("PHI_LIVE_PKCS11_TOKEN", "the label of the token"),
            ("PHI_LIVE_PKCS11_PIN", "the user's PIN"),
            ("PHI_LIVE_PKCS11_KEY", "the label of the KEK"),
        ],
        credentials: "nothing else",
        settle: 0,
    },
];

const ADMIN: &str = "PHI_LIVE_ADMIN";
const SETTLE: &str = "PHI_LIVE_SETTLE";
const TEST: &str = "live::live_suite";

/// `cargo xtask live <provider>`.
pub(crate) fn main(args: &[&str]) -> Result {
    let names = || PROVIDERS.iter().map(|provider| provider.name).collect::<Vec<_>>().join("|");
    let [name] = args else { return Err(format!("usage: cargo xtask live {}", names()).into()) };
    let provider = PROVIDERS.iter().find(|provider| provider.name == *name);
    let provider = provider.ok_or_else(|| format!("there is no provider `{name}`; there are {}", names()))?;
    let is_set = |variable: &str| env::var_os(variable).is_some_and(|value| !value.is_empty());
    if let Some(missing) = missing(provider, is_set) {
        return Err(missing.into());
    }
    let command = format!("cargo xtask live {name}");
    evidence::record(&format!("live {name}"), &command, run(provider))
}

/// What has to be set first, if anything has.
fn missing(provider: &Provider, is_set: impl Fn(&str) -> bool) -> Option<String> {
    let missing: Vec<_> = provider.needed.iter().filter(|(variable, _)| !is_set(variable)).collect();
    if missing.is_empty() {
        return None;
    }
    let mut text = format!("`cargo xtask live {}` needs a KEK of your own; set", provider.name);
    for (variable, meaning) in missing {
        text.push_str(&format!("\n  {variable}: {meaning}"));
    }
    text.push_str(&format!("\nand have at hand: {}", provider.credentials));
    text.push_str(&format!(
        "\nWith {ADMIN}=yes the KEK is also rotated, switched off and on, and its destruction scheduled and taken back:\
         \nonly for one that is used for nothing else. After each change {} s are waited, unless {SETTLE} says otherwise.",
        provider.settle
    ));
    Some(text)
}

fn run(provider: &Provider) -> Result<String> {
    let mut test = shell::cargo();
    test.args(["test", "--locked", "-p", "phi-keys", "--features", &format!("{},test-util", provider.name)]);
    test.args(["--test", "it", "--", "--exact", "--nocapture", TEST]).env("PHI_LIVE", provider.name);
    if env::var_os(SETTLE).is_none() {
        test.env(SETTLE, provider.settle.to_string());
    }
    let said = long::watched(&mut test)?;
    if !said.contains("test result: ok. 1 passed") {
        return Err(format!("{TEST} did not run").into());
    }
    let administered = env::var(ADMIN).is_ok_and(|said| said == "yes");
    Ok(if administered { "both suites ok" } else { "the suite of `Kms` ok; administration not run" }.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_and_what_is_there_is_not() {
        for provider in PROVIDERS {
            assert!(missing(provider, |_| true).is_none());
            let all = missing(provider, |_| false).unwrap();
            for (variable, _) in provider.needed {
                assert!(all.contains(variable), "{variable}");
                let one = missing(provider, |asked| asked != *variable).unwrap();
                let named = provider.needed.iter().filter(|(other, _)| one.contains(&format!("{other}:"))).count();
                assert_eq!(named, 1, "{one}");
            }
        }
    }

    #[test]
    fn a_provider_has_to_be_one() {
        for args in [&[][..], &["ibm"], &["aws", "gcp"]] {
            let error = main(args).unwrap_err().to_string();
            assert!(error.contains("aws") && error.contains("pkcs11"), "{error}");
        }
    }

    #[test]
    fn the_suite_that_is_asked_for_exists_and_reads_what_is_asked_for() {
        let suite = std::fs::read_to_string(shell::root().join("phi-keys/tests/it/live.rs")).unwrap();
        assert!(suite.contains("async fn live_suite()"));
        for provider in PROVIDERS {
            assert!(suite.contains(&format!("\"{}\" =>", provider.name)));
            assert!(provider.needed.iter().all(|(variable, _)| suite.contains(variable)));
        }
        assert!(suite.contains(ADMIN) && suite.contains(SETTLE));
    }
}
