//! Leases of streams, which may last longer than one.

use core::fmt;
use core::future::Future;
use core::pin::Pin;

use phi_keys::{DataKey, KeyId, Keys, Scope};

use super::FileError;

/// The future that gives a new lease on the key of a file; it asks the key store.
pub type Renewal = Pin<Box<dyn Future<Output = Result<DataKey, phi_keys::Error>> + Send>>;

/// Drives a [`Renewal`] to its end.
type Renew = Box<dyn FnMut(Renewal) -> Result<DataKey, phi_keys::Error> + Send>;

/// What a file is sealed or opened with.
pub(crate) struct Grant {
    pub(crate) data: DataKey,
    pub(crate) keys: Keys,
    pub(crate) scope: Scope,
    /// The context as the scope completes it.
    pub(crate) aad: Vec<u8>,
}

/// The lease of one stream.
pub(super) struct Lease {
    data: DataKey,
    keys: Keys,
    scope: Scope,
    way: Way,
    renew: Option<Renew>,
}

/// What the key is held for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Only the active key of a scope may seal.
    Sealing,
    /// Any key that may still open does.
    Opening,
}

impl Lease {
    pub(super) fn new(grant: Grant, way: Way) -> Self {
        let Grant { data, keys, scope, .. } = grant;
        Self { data, keys, scope, way, renew: None }
    }

    pub(super) fn kid(&self) -> KeyId {
        self.data.kid()
    }

    pub(super) fn renew_with(&mut self, renew: Renew) {
        self.renew = Some(renew);
    }

    /// Asked before chunks are sealed or opened.
    pub(super) fn check(&mut self) -> Result<(), FileError> {
        if self.data.is_live() {
            return Ok(());
        }
        let renewal = self.renewal();
        let Some(renew) = &mut self.renew else { return Err(FileError::LeaseEnded) };
        let data = renew(renewal).map_err(FileError::Keys)?;
        self.renew(data)
    }

    pub(super) fn renewal(&self) -> Renewal {
        let (keys, scope, kid, way) = (self.keys.clone(), self.scope.clone(), self.kid(), self.way);
        Box::pin(async move {
            match way {
                Way::Sealing => keys.data_key(&scope).await,
                Way::Opening => keys.data_key_by_id(kid, &scope).await,
            }
        })
    }

    pub(super) fn renew(&mut self, data: DataKey) -> Result<(), FileError> {
        if data.kid() != self.kid() {
            return Err(FileError::KeyRotated);
        }
        if !data.is_live() {
            return Err(FileError::LeaseEnded);
        }
        self.data = data;
        Ok(())
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({})", self.kid())
    }
}
