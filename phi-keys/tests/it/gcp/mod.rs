//! The adapter of Google Cloud KMS against the contract simulator.

mod admin;
mod environment;
mod faults;
mod keys;
mod provider;
mod quiet;
mod sdk;
mod wire;

use google_cloud_auth::credentials::anonymous;
use google_cloud_kms_v1::client::KeyManagementService;
use kms_sim::{Service, Simulator};
use phi_keys::gcp::GcpKms;

use crate::component;
pub(crate) use crate::simulated::{carrier, fact, here, there};

pub(crate) async fn start() -> Simulator {
    component::used("gcp");
    Simulator::start(Service::Gcp, 0).await.unwrap()
}

/// A client without credentials, for which the simulator does not ask.
pub(crate) async fn client(url: &str) -> KeyManagementService {
    let credentials = anonymous::Builder::new().build();
    GcpKms::client_builder().with_endpoint(url).with_credentials(credentials).build().await.unwrap()
}

pub(crate) async fn kms(gcp: &Simulator) -> GcpKms {
    kms_of(gcp, fact(gcp, "key")).await
}

pub(crate) async fn kms_of(gcp: &Simulator, key: &str) -> GcpKms {
    GcpKms::new(client(gcp.url()).await, key).unwrap()
}
