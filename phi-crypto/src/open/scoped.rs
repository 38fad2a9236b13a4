//! The synchronous half of opening.

use core::fmt;
use std::sync::{Arc, OnceLock};

use phi_keys::f1::{self, MessageKey, Parts};
use phi_keys::{DataKey, KeyId, Scope};
use phi_types::{Phi, SubjectId};
use zeroize::Zeroizing;

use super::observer::{Lent, Witness};
use super::salts::Salts;
use super::{OpenError, Reseal, Shared};
use crate::aad::{AadBuf, ScopeAad};
use crate::file::Grant;
use crate::{Context, ContextError, Openable, Sealed};

/// Opens values of one patient or group. Cheap to clone, and usable from any number of threads at once.
///
/// It dies with the leases of its keys: obtain one per request or job, not one per process.
#[derive(Clone)]
pub struct ScopedOpener {
    pub(super) shared: Arc<Shared>,
    scope: Arc<Scope>,
    pub(super) aad: Arc<ScopeAad>,
    /// One or two, so a search is a glance.
    held: Vec<Held>,
    /// The key that values should be under, where all keys of the scope are held.
    newest: Option<KeyId>,
}

/// A key and what was derived from it.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) data: DataKey,
    salts: Arc<Salts>,
    /// The message key that this opener needed first: found without a lock, and often the only one.
    first: OnceLock<Arc<MessageKey>>,
}

impl ScopedOpener {
    pub(super) fn new(shared: Arc<Shared>, scope: &Scope, keys: Vec<DataKey>) -> Self {
        let aad = Arc::new(ScopeAad::of(&shared.aad, scope));
        let held = Vec::with_capacity(keys.len());
        let mut opener = Self { shared, scope: Arc::new(scope.clone()), aad, held, newest: None };
        opener.hold(keys);
        opener
    }

    /// As [`new`](Self::new), with every key of the scope, oldest first.
    pub(super) fn with_all(shared: Arc<Shared>, scope: &Scope, keys: Vec<DataKey>) -> Self {
        let newest = keys.last().map(DataKey::kid);
        Self { newest, ..Self::new(shared, scope, keys) }
    }

    /// Opens one value.
    ///
    /// # Errors
    /// [`OpenError`]: precise where the value was never sealed, its key is not held or the lease has ended;
    /// [`OpenError::Refused`], without detail, where the cipher refuses.
    #[inline(always)]
    pub fn open<T: Openable>(&self, sealed: &Sealed<T>, context: &Context<'_>) -> Result<Phi<T>, OpenError> {
        let parts = f1::parse(sealed.as_bytes())?;
        // The vector stays in the caller: handed on in a result it is copied through memory, and who frees it waits for that.
        let mut plaintext = parts.body().to_vec();
        // It holds a plaintext only when this has returned a length, even where an observer panics.
        let length = self.open_body(parts, context, &mut plaintext)?;
        plaintext.truncate(length);
        Ok(Phi::new(T::from_plaintext(Zeroizing::new(plaintext))?))
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
        let start = out.len();
        let opened = self.attempt(parts, context, |key, aad| key.open_into(&parts, aad, out));
        // What was opened was appended behind `start`.
        let plaintext = out.get_mut(start..).unwrap_or_default();
        if self.shared.observer.is_some() {
            self.tell_of_lent(context, parts, opened, plaintext);
        }
        opened.map(|()| Phi::new(&*plaintext))
    }

    /// Turns the sealed bytes that `buffer` holds into their plaintext. The buffer holds PHI from then on: wipe it when
    /// done.
    ///
    /// Does not allocate when the message key is warm and the context is encoded in at most 320 bytes without pairs.
    ///
    /// # Errors
    /// As [`open`](Self::open). After [`OpenError::Refused`] the buffer is empty, for the attempt has overwritten it; after
    /// any other error it is as it was.
    pub fn open_in_place<'out>(
        &self,
        buffer: &'out mut Vec<u8>,
        context: &Context<'_>,
    ) -> Result<Phi<&'out [u8]>, OpenError> {
        f1::parse(buffer)?;
        // It was parsed, so it has a header.
        let header = *buffer.first_chunk().unwrap_or(&[0; f1::HEADER_LEN]);
        let parts = f1::parse_header(&header)?;
        let opened = self.attempt(parts, context, |key, aad| key.open_in_place(aad, buffer));
        if self.shared.observer.is_some() {
            self.tell_of_lent(context, parts, opened, buffer);
        }
        opened.map(|()| Phi::new(buffer.as_slice()))
    }

    /// Opens a copy of a value's body in its place: how long the plaintext is.
    fn open_body(&self, parts: Parts<'_>, context: &Context<'_>, body: &mut [u8]) -> Result<usize, OpenError> {
        let opened = self.attempt(parts, context, |key, aad| key.open_named_body(&parts, aad, body));
        if self.shared.observer.is_some() {
            self.tell_of_lent(context, parts, opened.map(drop), body);
        }
        opened
    }

    #[cold]
    fn tell_of_lent(
        &self,
        context: &Context<'_>,
        parts: Parts<'_>,
        opened: Result<(), OpenError>,
        plaintext: &mut [u8],
    ) {
        let lent = Lent::new(plaintext);
        self.tell(context, parts, opened);
        lent.give_back();
    }

    /// Why a value should be sealed again, if it should: whoever opens it can then write it back. Judged by what the value
    /// says of itself, so it means nothing before the value has been opened.
    ///
    /// An opener of [`for_kids`](super::Opener::for_kids) does not know whether there is a newer key.
    #[must_use]
    pub fn needs_reseal<T>(&self, sealed: &Sealed<T>) -> Option<Reseal> {
        self.reseal(f1::parse(sealed.as_bytes()).ok()?)
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
        let aad = self.aad.write(context, &mut AadBuf::new())?.to_vec();
        let (keys, scope) = (self.shared.keys.clone(), Scope::clone(&self.scope));
        Ok(self.held(kid).ok().map(|held| Grant { data: held.data.clone(), keys, scope, aad }))
    }

    /// Who is told of a file.
    pub(crate) fn witness(&self, context: &Context<'_>) -> Witness {
        Witness {
            observer: self.shared.observer.clone(),
            field: context.field(),
            subject: self.subject().or(context.subject).cloned(),
        }
    }

    fn hold(&mut self, keys: Vec<DataKey>) {
        for data in keys {
            let salts = self.shared.salts.derived(&data);
            self.held.retain(|other| other.data.kid() != data.kid());
            self.held.push(Held { data, salts, first: OnceLock::new() });
        }
    }

    fn attempt<R>(
        &self,
        parts: Parts<'_>,
        context: &Context<'_>,
        open: impl FnOnce(&MessageKey, &[u8]) -> Result<R, f1::OpenError>,
    ) -> Result<R, OpenError> {
        let mut aad = AadBuf::new();
        let aad = self.aad.write(context, &mut aad)?;
        self.open_under(parts, false, |key| open(key, aad))
    }

    /// Opens under the key that a value names. Looks at its lease, unless the caller has just looked at all of them.
    #[inline]
    pub(super) fn open_under<R>(
        &self,
        parts: Parts<'_>,
        all_live: bool,
        open: impl FnOnce(&MessageKey) -> Result<R, f1::OpenError>,
    ) -> Result<R, OpenError> {
        let mut found = None;
        let key = match self.first(parts, all_live)? {
            Some(key) => key,
            None => &*found.insert(self.find(parts, all_live)?).1,
        };
        let opened = open(key).map_err(|_| OpenError::Refused)?;
        if let Some((held, key)) = found {
            held.first.get_or_init(|| key);
        }
        Ok(opened)
    }

    /// The message key that was needed first, if the value names it.
    #[inline]
    fn first(&self, parts: Parts<'_>, all_live: bool) -> Result<Option<&MessageKey>, OpenError> {
        for held in &self.held {
            if let Some(key) = held.first.get()
                && key.is_named_by(&parts)
            {
                return if all_live || held.data.is_live() { Ok(Some(key)) } else { Err(OpenError::LeaseEnded) };
            }
        }
        Ok(None)
    }

    /// Another one, which may become the first. Takes the parts by value, as [`tell`](Self::tell) does: by reference they
    /// would be kept in memory for it.
    #[cold]
    fn find(&self, parts: Parts<'_>, all_live: bool) -> Result<(&Held, Arc<MessageKey>), OpenError> {
        let held = self.held(parts.kid())?;
        if !all_live && !held.data.is_live() {
            return Err(OpenError::LeaseEnded);
        }
        Ok((held, held.salts.key(&held.data, parts)?))
    }

    pub(super) fn held(&self, kid: KeyId) -> Result<&Held, OpenError> {
        self.held.iter().find(|held| held.data.kid() == kid).ok_or(OpenError::UnknownKey { kid })
    }

    /// Whether the lease of each key that is held runs.
    pub(super) fn all_live(&self) -> bool {
        self.held.iter().all(|held| held.data.is_live())
    }

    #[inline]
    pub(super) fn tell(&self, context: &Context<'_>, parts: Parts<'_>, opened: Result<(), OpenError>) {
        if self.shared.observer.is_some() {
            self.shared.tell(context, self.subject(), self.reseal(parts), opened);
        }
    }

    fn reseal(&self, parts: Parts<'_>) -> Option<Reseal> {
        if self.newest.is_some_and(|newest| newest != parts.kid()) {
            return Some(Reseal::NewerKey);
        }
        self.shared.reseal_suite(parts.suite())
    }

    fn subject(&self) -> Option<&SubjectId> {
        match &*self.scope {
            Scope::Subject(subject) => Some(subject),
            _ => None,
        }
    }
}

impl fmt::Debug for ScopedOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScopedOpener({} keys)", self.held.len())
    }
}
