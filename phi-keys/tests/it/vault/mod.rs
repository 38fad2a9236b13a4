//! The Vault adapter against the contract simulator.

mod admin;
mod batch;
mod faults;
mod provider;
mod quiet;
mod sdk;
mod token;
mod transit;

use core::time::Duration;
use std::sync::Arc;

use kms_sim::{Service, Simulator};
use phi_keys::vault::{VaultAuth, VaultBuilder, VaultKms};
use phi_types::ManualClock;
use secrecy::SecretString;

use crate::component;
pub(crate) use crate::simulated::{carrier, fact, here, there};

pub(crate) async fn start() -> Simulator {
    component::used("vault");
    Simulator::start(Service::Vault, 0).await.unwrap()
}

pub(crate) fn secret(vault: &Simulator, name: &str) -> SecretString {
    fact(vault, name).to_owned().into()
}

pub(crate) fn app_role(vault: &Simulator) -> VaultAuth {
    VaultAuth::app_role(fact(vault, "role_id"), secret(vault, "secret_id"))
}

/// A builder for the derived key with the everyday token.
pub(crate) fn builder(vault: &Simulator) -> VaultBuilder {
    VaultKms::builder(fact(vault, "key")).address(vault.url()).auth(VaultAuth::token(secret(vault, "token")))
}

pub(crate) fn kms(vault: &Simulator) -> VaultKms {
    builder(vault).build().unwrap()
}

/// With all rights.
pub(crate) fn root(vault: &Simulator) -> VaultKms {
    builder(vault).auth(VaultAuth::token(secret(vault, "root_token"))).build().unwrap()
}

/// Time of the adapter and of the simulator, moved together.
pub(crate) struct Time<'a> {
    pub(crate) clock: Arc<ManualClock>,
    vault: &'a Simulator,
}

impl<'a> Time<'a> {
    pub(crate) fn of(vault: &'a Simulator) -> Self {
        Self { clock: Arc::new(ManualClock::at_unix_seconds(1_800_000_000)), vault }
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        self.vault.control().advance(Duration::from_secs(seconds));
    }
}
