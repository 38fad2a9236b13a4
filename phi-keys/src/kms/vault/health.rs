//! `sys/health`.

use super::call::Call;
use super::error::VaultError;
use super::message::Health;
use super::session::Session;

/// How the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum VaultHealth {
    /// It answers.
    Active,
    /// It forwards requests to the active node.
    Standby,
    /// It answers reads itself and forwards the rest.
    PerformanceStandby,
    /// It must be unsealed.
    Sealed,
    /// It was never initialized.
    Uninitialized,
    /// It is the secondary of a disaster recovery pair and answers nothing until promoted.
    DisasterRecoverySecondary,
}

impl VaultHealth {
    /// Whether it does what a KMS does.
    #[must_use]
    pub const fn is_serving(self) -> bool {
        matches!(self, Self::Active | Self::Standby | Self::PerformanceStandby)
    }
}

pub(super) async fn ask(session: &Session) -> Result<VaultHealth, VaultError> {
    let answer = session.send_bare(&Call::get("sys/health".to_owned())).await?;
    // Rate limits answer 429 too, but without this body.
    let health: Health = match answer.read() {
        Ok(health) => health,
        Err(_) => return Err(answer.succeeded().err().unwrap_or(VaultError::Malformed)),
    };
    Ok(match (answer.status, health) {
        (_, Health { initialized: false, .. }) => VaultHealth::Uninitialized,
        (_, Health { sealed: true, .. }) => VaultHealth::Sealed,
        (472, _) => VaultHealth::DisasterRecoverySecondary,
        (_, Health { performance_standby: true, .. }) => VaultHealth::PerformanceStandby,
        (_, Health { standby: true, .. }) => VaultHealth::Standby,
        _ => VaultHealth::Active,
    })
}
