//! From the environment to a client.

use core::time::Duration;
use std::env;
use std::sync::Arc;

use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::{ClientOptions, RetryOptions, Transport, new_http_client};
use azure_identity::{
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use azure_security_keyvault_keys::{KeyClient, KeyClientOptions};

use super::name::KeyName;
use crate::kms::KmsError;
use crate::kms::described::Described;
use crate::kms::provider::ensure_crypto_provider;

/// How long one call may take unless set.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// Without retries, and with a transport, which panics when it is made without a provider of rustls.
pub(super) fn options() -> KeyClientOptions {
    KeyClientOptions { client_options: client_options(), ..KeyClientOptions::default() }
}

fn client_options() -> ClientOptions {
    ensure_crypto_provider();
    let transport = Some(Transport::new(new_http_client(None)));
    ClientOptions { retry: RetryOptions::none(), transport, ..ClientOptions::default() }
}

/// A client with the credentials of the environment.
pub(super) fn client(key: &KeyName) -> Result<KeyClient, KmsError> {
    let credential = credential().map_err(|error| KmsError::unauthenticated(Described::of(&error)))?;
    KeyClient::new(key.vault(), credential, Some(options())).map_err(|error| KmsError::failed(Described::of(&error)))
}

fn credential() -> azure_core::Result<Arc<dyn TokenCredential>> {
    let client_options = client_options();
    let tenant_and_secret = var("AZURE_TENANT_ID").zip(var("AZURE_CLIENT_SECRET"));
    if let (Some((tenant, secret)), Some(client)) = (tenant_and_secret, var("AZURE_CLIENT_ID")) {
        let options = ClientSecretCredentialOptions { client_options };
        return Ok(ClientSecretCredential::new(&tenant, client, Secret::new(secret), Some(options))?);
    }
    if var("AZURE_FEDERATED_TOKEN_FILE").is_some() {
        let credential_options = ClientAssertionCredentialOptions { client_options };
        let options = WorkloadIdentityCredentialOptions { credential_options, ..Default::default() };
        return Ok(WorkloadIdentityCredential::new(Some(options))?);
    }
    let user_assigned_id = var("AZURE_CLIENT_ID").map(UserAssignedId::ClientId);
    // On a virtual machine, whose metadata service needs it, the library retries all the same: six times within the call's limit.
    let options = ManagedIdentityCredentialOptions { user_assigned_id, client_options };
    Ok(ManagedIdentityCredential::new(Some(options))?)
}

fn var(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
