//! The synchronous half of opening.

use core::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use phi_keys::f1::{self, Parts};
use phi_keys::{DataKey, KeyId, Scope};
use phi_types::{Phi, SubjectId};
use zeroize::Zeroizing;

use super::salts::Salts;
use super::{OpenError, Opened, Shared};
use crate::aad::{AadBuf, Sink as _};
use crate::{Context, Openable, Sealed};

/// Opens values of one patient or group. Cheap to clone, and usable from any number of threads at once.
///
/// It dies with the leases of its keys: obtain one per request or job, not one per process.
#[derive(Clone)]
pub struct ScopedOpener(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    scope: Scope,
    held: RwLock<Vec<Arc<Held>>>,
}

/// A key and what was derived from it.
struct Held {
    data: DataKey,
    salts: Arc<Salts>,
}

impl ScopedOpener {
    pub(super) fn empty(shared: Arc<Shared>, scope: Scope) -> Self {
        Self(Arc::new(Inner { shared, scope, held: RwLock::new(Vec::new()) }))
    }

    /// Opens one value.
    ///
    /// # Errors
    /// [`OpenError`]: precise where the value was never sealed, its key is not held or the lease has ended;
    /// [`OpenError::Refused`], without detail, where the cipher refuses.
    pub fn open<T: Openable>(&self, sealed: &Sealed<T>, context: &Context<'_>) -> Result<Phi<T>, OpenError> {
        let mut plaintext = Zeroizing::new(Vec::with_capacity(sealed.as_bytes().len()));
        self.open_into(sealed.as_bytes(), context, &mut plaintext)?;
        Ok(Phi::new(T::from_plaintext(plaintext)?))
    }

    /// Opens one value and appends its plaintext to `out`, of which it returns the new part. The buffer holds PHI from
    /// then on: wipe it when done.
    ///
    /// Does not allocate when `out` has room for the sealed bytes, the message key is warm, and the context is encoded in
    /// at most 320 bytes without pairs.
    ///
    /// # Errors
    /// As [`open`](Self::open); `out` is then as it was.
    pub fn open_into<'out>(
        &self,
        sealed: &[u8],
        context: &Context<'_>,
        out: &'out mut Vec<u8>,
    ) -> Result<Phi<&'out [u8]>, OpenError> {
        let parts = f1::parse(sealed)?;
        let mut aad = AadBuf::new();
        context.write_in(self.0.shared.keys.tenant(), self.subject(), &mut aad)?;
        let held = self.held(parts.kid()).ok_or(OpenError::UnknownKey { kid: parts.kid() })?;
        let start = out.len();
        let opened = self.unlock(&held, &parts, aad.as_slice(), out);
        if matches!(opened, Ok(()) | Err(OpenError::Refused)) {
            self.tell(context, opened.is_ok());
        }
        opened?;
        // The plaintext was appended behind `start`.
        Ok(Phi::new(out.get(start..).unwrap_or_default()))
    }

    /// Adds the keys of values that were sealed since this opener was obtained. Keys that are held already get a new lease.
    ///
    /// # Errors
    /// [`phi_keys::Error`] when a key does not exist, belongs to another tenant, use or scope, or cannot be had.
    pub async fn prefetch(&self, kids: impl IntoIterator<Item = KeyId> + Send) -> Result<(), phi_keys::Error> {
        self.hold(super::load(&self.0.shared.keys, &self.0.scope, kids.into_iter().collect()).await?);
        Ok(())
    }

    pub(super) fn hold(&self, keys: impl IntoIterator<Item = DataKey>) {
        for data in keys {
            let salts = self.0.shared.salts.derived(&data);
            // A poisoned lock guards a list of which entries are put in whole.
            let mut held = self.0.held.write().unwrap_or_else(PoisonError::into_inner);
            held.retain(|other| other.data.kid() != data.kid());
            held.push(Arc::new(Held { data, salts }));
        }
    }

    /// A scope has one or two keys, so the list is short.
    fn held(&self, kid: KeyId) -> Option<Arc<Held>> {
        let held = self.0.held.read().unwrap_or_else(PoisonError::into_inner);
        held.iter().find(|held| held.data.kid() == kid).map(Arc::clone)
    }

    fn unlock(&self, held: &Held, parts: &Parts<'_>, aad: &[u8], out: &mut Vec<u8>) -> Result<(), OpenError> {
        if !held.data.is_live() {
            held.salts.clear();
            return Err(OpenError::LeaseEnded);
        }
        let key = held.salts.key(&held.data, parts).map_err(|_| OpenError::LeaseEnded)?;
        key.open_into(parts, aad, out).map_err(|_| OpenError::Refused)
    }

    fn tell(&self, context: &Context<'_>, opened: bool) {
        let Some(observer) = &self.0.shared.observer else { return };
        let what = Opened {
            record_type: context.record_type(),
            field: context.field(),
            subject: self.subject().or(context.named_subject()),
        };
        if opened {
            observer.opened(&what);
        } else {
            observer.refused(&what);
        }
    }

    fn subject(&self) -> Option<&SubjectId> {
        match &self.0.scope {
            Scope::Subject(subject) => Some(subject),
            _ => None,
        }
    }
}

impl fmt::Debug for ScopedOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.0.held.read().unwrap_or_else(PoisonError::into_inner);
        write!(f, "ScopedOpener({} keys)", held.len())
    }
}
