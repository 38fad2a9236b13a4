//! The synchronous half of opening.

use core::fmt;
use std::sync::Arc;

use phi_keys::f1::{self, Parts};
use phi_keys::{DataKey, KeyId, Scope};
use phi_types::{Phi, SubjectId};
use zeroize::Zeroizing;

use super::observer::Witness;
use super::salts::Salts;
use super::{OpenError, Opened, Shared};
use crate::aad::AadBuf;
use crate::file::Grant;
use crate::{Context, ContextError, Openable, Sealed};

/// Opens values of one patient or group. Cheap to clone, and usable from any number of threads at once.
///
/// It dies with the leases of its keys: obtain one per request or job, not one per process.
#[derive(Clone)]
pub struct ScopedOpener {
    shared: Arc<Shared>,
    scope: Arc<Scope>,
    /// One or two, so a search is a glance.
    held: Vec<Held>,
}

/// A key and what was derived from it.
#[derive(Clone)]
struct Held {
    data: DataKey,
    salts: Arc<Salts>,
}

impl ScopedOpener {
    pub(super) fn new(shared: Arc<Shared>, scope: &Scope, keys: Vec<DataKey>) -> Self {
        let mut opener = Self { shared, scope: Arc::new(scope.clone()), held: Vec::with_capacity(keys.len()) };
        opener.hold(keys);
        opener
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
        context.write_in(self.shared.keys.tenant(), self.subject(), &mut aad)?;
        let held = self.held.iter().find(|held| held.data.kid() == parts.kid());
        let held = held.ok_or(OpenError::UnknownKey { kid: parts.kid() })?;
        let start = out.len();
        let opened = held.open(&parts, aad.as_slice(), out);
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
    pub async fn prefetch(&mut self, kids: impl IntoIterator<Item = KeyId> + Send) -> Result<(), phi_keys::Error> {
        let keys = super::load(&self.shared.keys, &self.scope, kids.into_iter().collect()).await?;
        self.hold(keys);
        Ok(())
    }

    /// What a file is opened with, when its key is held.
    pub(crate) fn for_file(&self, kid: KeyId, context: &Context<'_>) -> Result<Option<Grant>, ContextError> {
        let mut aad = Vec::with_capacity(192);
        context.write_in(self.shared.keys.tenant(), self.subject(), &mut aad)?;
        let held = self.held.iter().find(|held| held.data.kid() == kid);
        let (keys, scope) = (self.shared.keys.clone(), Scope::clone(&self.scope));
        Ok(held.map(|held| Grant { data: held.data.clone(), keys, scope, aad }))
    }

    /// Who is told of a file.
    pub(crate) fn witness(&self, context: &Context<'_>) -> Witness {
        Witness {
            observer: self.shared.observer.clone(),
            record_type: context.record_type(),
            field: context.field(),
            subject: self.subject().or(context.named_subject()).cloned(),
        }
    }

    fn hold(&mut self, keys: Vec<DataKey>) {
        for data in keys {
            let salts = self.shared.salts.derived(&data);
            self.held.retain(|other| other.data.kid() != data.kid());
            self.held.push(Held { data, salts });
        }
    }

    fn tell(&self, context: &Context<'_>, opened: bool) {
        let Some(observer) = &self.shared.observer else { return };
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
        match &*self.scope {
            Scope::Subject(subject) => Some(subject),
            _ => None,
        }
    }
}

impl Held {
    fn open(&self, parts: &Parts<'_>, aad: &[u8], out: &mut Vec<u8>) -> Result<(), OpenError> {
        if !self.data.is_live() {
            return Err(OpenError::LeaseEnded);
        }
        let key = self.salts.key(&self.data, parts).map_err(|_| OpenError::LeaseEnded)?;
        key.open_into(parts, aad, out).map_err(|_| OpenError::Refused)
    }
}

impl fmt::Debug for ScopedOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScopedOpener({} keys)", self.held.len())
    }
}
