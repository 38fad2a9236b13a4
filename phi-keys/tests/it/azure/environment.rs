//! Credentials from the environment, in a process that has one of its own.

use core::time::Duration;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use kms_sim::{Fault, FaultKind, Simulator};
use phi_keys::azure::AzureKms;
use phi_keys::{Kms, conformance};
use serde_json::json;
use tempfile::NamedTempFile;

use super::{PATIENCE, fact, start};
use crate::child;
use crate::wire::server;

const CASE: &str = "PHI_KEYS_TEST_AZURE_ENVIRONMENT";
const CHILD: &str = "azure::environment::child_with_credentials_of_azure";
const KEY: &str = "https://clinic.vault.azure.net/keys/phi-kek";

/// Runs in the child.
#[tokio::test]
async fn child_with_credentials_of_azure() {
    let Ok(case) = std::env::var(CASE) else { return };
    let opened = AzureKms::from_env(KEY);
    match opened {
        Err(error) => assert_eq!(error.kind(), case, "{error:?}"),
        Ok(kms) if case == "ok" => conformance::kms(&kms.with_timeout(PATIENCE)).await.unwrap(),
        Ok(kms) => {
            let error = kms.with_timeout(Duration::from_secs(3)).status().await.unwrap_err();
            assert_eq!(error.kind(), case, "{error:?}");
        }
    }
}

/// A proxy that leads every connection to the simulator, and tells which host each was for.
fn tunnel(to: String) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        while let Ok((mut near, _)) = listener.accept() {
            let mut buffer = [0; 4096];
            let read = near.read(&mut buffer).unwrap_or(0);
            let asked = String::from_utf8_lossy(&buffer[..read]).lines().next().unwrap_or_default().to_owned();
            if sender.send(asked).is_err() {
                return;
            }
            let far = TcpStream::connect(&to).unwrap();
            near.write_all(b"HTTP/1.1 200 x\r\n\r\n").unwrap();
            for (mut from, mut to) in
                [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far.try_clone().unwrap(), near)]
            {
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    (url, receiver)
}

/// Runs the child with an empty environment but for `given`, where both of Azure's hosts are the simulator.
fn runs(azure: &Simulator, case: &str, given: &[(&str, &str)]) -> Vec<String> {
    let (proxy, asked) = tunnel(azure.url().strip_prefix("https://").unwrap().to_owned());
    let authority = NamedTempFile::new().unwrap();
    std::fs::write(authority.path(), azure.authority_pem().unwrap().unwrap()).unwrap();
    tokio::task::block_in_place(|| {
        child::succeeds(CHILD, &|command| {
            for name in ["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE"] {
                command.env_remove(name);
            }
            command.env("SSL_CERT_FILE", authority.path()).env("HTTPS_PROXY", &proxy).env("NO_PROXY", "127.0.0.1");
            command.env_remove("IDENTITY_ENDPOINT").env_remove("IDENTITY_HEADER").env_remove("MSI_ENDPOINT");
            command.envs(given.iter().copied()).env(CASE, case);
        });
    });
    let mut hosts: Vec<String> = asked.try_iter().collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

fn connect(host: &str) -> String {
    format!("CONNECT {host}:443 HTTP/1.1")
}

fn both_hosts() -> [String; 2] {
    [connect("clinic.vault.azure.net"), connect("login.microsoftonline.com")]
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_takes_a_service_principal_of_the_environment_and_checks_its_domain() {
    let azure = start().await;
    let given = [
        ("AZURE_TENANT_ID", fact(&azure, "tenant")),
        ("AZURE_CLIENT_ID", fact(&azure, "client_id")),
        ("AZURE_CLIENT_SECRET", fact(&azure, "client_secret")),
    ];
    assert_eq!(runs(&azure, "ok", &given), both_hosts());
    azure.control().reset_calls();
    azure.control().inject(Fault::new(FaultKind::Internal).on("token").times(9));
    runs(&azure, "unavailable", &given);
    assert_eq!(azure.control().calls_of("token"), 1, "no retry of the SDK's own");
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_takes_a_workload_identity_of_the_environment() {
    let azure = start().await;
    let token = NamedTempFile::new().unwrap();
    std::fs::write(token.path(), fact(&azure, "assertion")).unwrap();
    let given = [
        ("AZURE_TENANT_ID", fact(&azure, "tenant")),
        ("AZURE_CLIENT_ID", fact(&azure, "client_id")),
        ("AZURE_FEDERATED_TOKEN_FILE", token.path().to_str().unwrap()),
    ];
    assert_eq!(runs(&azure, "ok", &given), both_hosts());
    azure.control().reset_calls();
    azure.control().inject(Fault::new(FaultKind::Internal).on("token").times(9));
    runs(&azure, "unavailable", &given);
    assert_eq!(azure.control().calls_of("token"), 1, "no retry of the SDK's own");
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_takes_the_managed_identity_of_an_app_service() {
    let azure = start().await;
    let token = || {
        (
            200,
            json!({ "access_token": fact(&azure, "token"), "expires_on": "4102444800",
        "resource": fact(&azure, "resource"), "token_type": "Bearer" }),
        )
    };
    let (url, requests) = server(vec![token()]);
    let url = format!("{url}/msi/token");
    let given =
        [("IDENTITY_ENDPOINT", url.as_str()), ("IDENTITY_HEADER", "a header"), ("AZURE_CLIENT_ID", "an identity")];
    assert_eq!(runs(&azure, "ok", &given), [connect("clinic.vault.azure.net")]);
    let request = requests.recv().unwrap();
    assert!(request.line.starts_with("GET /msi/token?api-version="), "{}", request.line);
    assert!(request.line.contains("client_id=an+identity"), "{}", request.line);
    assert_eq!(request.header("x-identity-header"), Some("a header"));

    let (url, requests) = server(vec![(500, json!({})), (500, json!({})), token()]);
    runs(&azure, "unavailable", &[("IDENTITY_ENDPOINT", &url), ("IDENTITY_HEADER", "a header")]);
    assert!(requests.recv().is_ok() && requests.try_recv().is_err(), "no retry of the SDK's own");
}

/// The metadata service is reached by an address of its own, which a proxy stands in for.
#[tokio::test(flavor = "multi_thread")]
async fn azure_takes_the_managed_identity_of_a_virtual_machine_within_the_limit_of_a_call() {
    let azure = start().await;
    let token = json!({ "access_token": fact(&azure, "token"), "expires_on": "4102444800",
        "resource": fact(&azure, "resource"), "token_type": "Bearer" });
    let (proxy, requests) = server(vec![(200, token)]);
    assert_eq!(runs(&azure, "ok", &[("HTTP_PROXY", &proxy)]), [connect("clinic.vault.azure.net")]);
    let request = requests.recv().unwrap();
    assert!(
        request.line.starts_with("GET http://169.254.169.254/metadata/identity/oauth2/token?api-version="),
        "{}",
        request.line
    );
    assert_eq!(request.header("metadata"), Some("true"));

    // Here the library retries whatever it is told, and the limit of the call ends it.
    let (proxy, _requests) = server(vec![(500, json!({})); 9]);
    runs(&azure, "unavailable", &[("HTTP_PROXY", &proxy)]);
}

#[test]
fn an_environment_that_holds_no_credentials_of_azure_says_so() {
    child::succeeds(CHILD, &|command| {
        command.env("AZURE_TENANT_ID", "not/a tenant").env("AZURE_CLIENT_ID", "x").env("AZURE_CLIENT_SECRET", "x");
        command.env(CASE, "unauthenticated");
    });
    child::succeeds(CHILD, &|command| {
        command.env_remove("AZURE_CLIENT_SECRET").env_remove("AZURE_TENANT_ID");
        command.env("AZURE_FEDERATED_TOKEN_FILE", "/nonexistent").env(CASE, "unauthenticated");
    });
}
