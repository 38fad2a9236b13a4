//! Opening many values in one call.

use core::fmt;
use std::collections::HashMap;

use phi_keys::derive::Label;
use phi_keys::f1::{self, MessageKey, Parts};
use phi_keys::{DataKey, KeyId, Scope};
use phi_types::{Phi, SubjectId};
use zeroize::Zeroizing;

use super::{OpenError, Opener, ScopedOpener, Shared};
use crate::aad::{AadBuf, ScopeAad};
use crate::{Context, Openable, Sealed, threads};

/// After so many values the leases are looked at again.
const LOOK: usize = 128;

/// Message keys that a batch keeps for one data key at a time.
const KEPT: usize = 32;

/// A value of a batch and the patient or group that it is of.
type OfScope<'a, T> = (&'a Scope, &'a Sealed<T>, Context<'a>);

impl ScopedOpener {
    /// Opens many values of this scope for less than one call each, in order. Each has its own result: one that is refused
    /// leaves the others alone. Uses the [threads](super::OpenerBuilder::threads) of the opener where the batch is large
    /// enough for them.
    ///
    /// ```
    /// # use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).build().await?;
    /// use phi_crypto::{Context, Opener, Sealer};
    /// use phi_keys::Scope;
    ///
    /// let (ward, occupant) = (Scope::group("ward 7"), Context::new("Bed", "occupant"));
    /// let row = |id: u64| occupant.record_id(id);
    /// let sealer = Sealer::builder(keys.clone()).build().for_scope(&ward).await?;
    /// let sealed = sealer.seal_many(&[("Ada Lovelace", row(1)), ("Grace Hopper", row(2))])?;
    ///
    /// let opener = Opener::builder(keys).build().for_scope(&ward).await?;
    /// let names = opener.open_many(&[(&sealed[0], row(1)), (&sealed[1], row(3))]);
    /// assert_eq!(names[0].as_ref().unwrap().expose(), "Ada Lovelace");
    /// assert!(names[1].is_err(), "the value of row 2 does not open as that of row 3");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn open_many<T: Openable + Send>(&self, items: &[(&Sealed<T>, Context<'_>)]) -> Vec<Result<Phi<T>, OpenError>> {
        let bytes = items.iter().map(|(sealed, _)| sealed.as_bytes().len()).sum();
        in_parts(items, threads::share(self.shared.threads, items.len(), bytes).get(), &|items| {
            let mut aad = AadBuf::new();
            let mut out = Vec::with_capacity(items.len());
            for items in items.chunks(LOOK) {
                let live = self.all_live();
                out.extend(items.iter().map(|(sealed, context)| self.open_next(sealed, context, &mut aad, live)));
            }
            out
        })
    }

    fn open_next<T: Openable>(
        &self,
        sealed: &Sealed<T>,
        context: &Context<'_>,
        aad: &mut AadBuf,
        all_live: bool,
    ) -> Result<Phi<T>, OpenError> {
        let parts = f1::parse(sealed.as_bytes())?;
        let aad = self.aad.write(context, aad)?;
        let mut plaintext = Zeroizing::new(parts.body().to_vec());
        let opened = self.open_under(parts, all_live, |key| key.open_named_body(&parts, aad, &mut plaintext));
        self.tell(context, parts, opened.map(drop));
        plaintext.truncate(opened?);
        Ok(Phi::new(T::from_plaintext(plaintext)?))
    }
}

impl Opener {
    /// Opens many values of many patients and groups, in order: for a list, a report or an export. Loads the keys that the
    /// values name, each once and those that are not in memory together, and opens when it has them; values whose keys cannot be had leave
    /// the others alone.
    ///
    /// Opening keeps the calling task busy for about a second per million values and [thread](super::OpenerBuilder::threads):
    /// in an application that answers others meanwhile, give it some thousand values at a time.
    ///
    /// ```
    /// # use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).build().await?;
    /// use phi_crypto::{Context, Opener, Sealer, SubjectId};
    /// use phi_keys::Scope;
    ///
    /// let (ada, grace) = (Scope::from(SubjectId::new("1")?), Scope::from(SubjectId::new("2")?));
    /// let name = |id: u64| Context::new("Patient", "name").record_id(id);
    /// let sealer = Sealer::builder(keys.clone()).build();
    /// let of_ada = sealer.for_scope(&ada).await?.seal("Ada Lovelace", &name(1))?;
    /// let of_grace = sealer.for_scope(&grace).await?.seal("Grace Hopper", &name(2))?;
    ///
    /// let opener = Opener::builder(keys).build();
    /// let names = opener.open_many(&[(&ada, &of_ada, name(1)), (&grace, &of_grace, name(2))]).await;
    /// let names = names.into_iter().collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!(names[1].expose(), "Grace Hopper");
    /// # Ok(()) }
    /// ```
    pub async fn open_many<T: Openable + Send>(&self, items: &[OfScope<'_, T>]) -> Vec<Result<Phi<T>, OpenManyError>> {
        let (mut groups, group_of) = group(items);
        let wanted: Vec<_> = groups.iter().map(|group| (group.scope, Some(group.kid))).collect();
        for (group, key) in groups.iter_mut().zip(self.0.keys.data_key_many(&wanted).await) {
            group.key = key.map_err(Some);
        }
        // Values of one key are opened together, whatever their order, so that few message keys are held at a time.
        let mut order: Vec<usize> = (0..items.len()).collect();
        let in_order = group_of.is_sorted();
        if !in_order {
            order.sort_by_key(|at| group_of.get(*at));
        }
        let bytes = items.iter().map(|(_, sealed, _)| sealed.as_bytes().len()).sum();
        let share = threads::share(self.0.threads, items.len(), bytes).get();
        let mut opened = in_parts(&order, share, &|order| {
            let values = order.iter().filter_map(|at| {
                let group = group_of.get(*at).and_then(|group| groups.get(*group))?;
                Some((group, items.get(*at)?))
            });
            open_grouped(&self.0, values)
        });
        if !in_order {
            let mut placed: Vec<_> = order.into_iter().zip(opened).collect();
            placed.sort_unstable_by_key(|(at, _)| *at);
            opened = placed.into_iter().map(|(_, opened)| opened).collect();
        }
        opened
    }
}

/// The values of one key.
struct Group<'a> {
    scope: &'a Scope,
    kid: KeyId,
    /// The key, or why it cannot be had; `None` before it was asked for.
    key: Result<DataKey, Option<phi_keys::Error>>,
}

/// The keys that values name, and of each value which it is.
fn group<'a, T>(items: &[OfScope<'a, T>]) -> (Vec<Group<'a>>, Vec<usize>) {
    let (mut groups, mut group_of) = (Vec::<Group<'a>>::new(), Vec::with_capacity(items.len()));
    let mut known = HashMap::new();
    for (scope, sealed, _) in items {
        let kid = sealed.kid();
        let last = groups.last().filter(|last| last.kid == kid && last.scope == *scope);
        group_of.push(match last {
            Some(_) => groups.len() - 1,
            None => *known.entry((kid, *scope)).or_insert_with(|| {
                groups.push(Group { scope, kid, key: Err(None) });
                groups.len() - 1
            }),
        });
    }
    (groups, group_of)
}

/// Opens values that come key by key.
fn open_grouped<'v, 'a: 'v, T: Openable + 'a>(
    shared: &Shared,
    values: impl Iterator<Item = (&'v Group<'a>, &'v OfScope<'a, T>)>,
) -> Vec<Result<Phi<T>, OpenManyError>> {
    let mut now: Option<Pass<'_, '_>> = None;
    let opened = values.map(|(group, (_, sealed, context))| {
        let pass = match &mut now {
            Some(pass) if core::ptr::eq(pass.group, group) => pass,
            _ => now.insert(Pass::new(shared, group)),
        };
        pass.open(sealed, context)
    });
    opened.collect()
}

/// The values of one key, while they are opened.
struct Pass<'s, 'a> {
    shared: &'s Shared,
    group: &'s Group<'a>,
    scope: ScopeAad,
    aad: AadBuf,
    keys: Vec<MessageKey>,
    /// Where the next message key goes once there are as many as are kept.
    next: usize,
    /// Values that may be opened before the lease is looked at again.
    looked: usize,
}

impl<'s, 'a> Pass<'s, 'a> {
    fn new(shared: &'s Shared, group: &'s Group<'a>) -> Self {
        let scope = ScopeAad::of(&shared.aad, group.scope);
        Self { shared, group, scope, aad: AadBuf::new(), keys: Vec::new(), next: 0, looked: 0 }
    }

    fn open<T: Openable>(&mut self, sealed: &Sealed<T>, context: &Context<'_>) -> Result<Phi<T>, OpenManyError> {
        let subject = match self.group.scope {
            Scope::Subject(subject) => Some(subject),
            _ => None,
        };
        let data = match &self.group.key {
            Ok(data) => data,
            Err(why) => {
                let why = why.clone().unwrap_or(phi_keys::Error::UnknownKey);
                if matches!(why, phi_keys::Error::WrongScope | phi_keys::Error::UnknownKey) {
                    let kid = self.group.kid;
                    self.shared.tell(context, subject, None, Err(OpenError::UnknownKey { kid }));
                }
                return Err(OpenManyError::Key(why));
            }
        };
        Ok(self.open_under(data, subject, sealed, context)?)
    }

    fn open_under<T: Openable>(
        &mut self,
        data: &DataKey,
        subject: Option<&SubjectId>,
        sealed: &Sealed<T>,
        context: &Context<'_>,
    ) -> Result<Phi<T>, OpenError> {
        let parts = f1::parse(sealed.as_bytes())?;
        if self.looked == 0 {
            if !data.is_live() {
                return Err(OpenError::LeaseEnded);
            }
            self.looked = LOOK;
        }
        self.looked -= 1;
        let at = self.key(data, &parts)?;
        let aad = self.scope.write(context, &mut self.aad)?;
        let key = self.keys.get(at).ok_or(OpenError::Refused)?;
        let mut plaintext = Zeroizing::new(parts.body().to_vec());
        let opened = key.open_named_body(&parts, aad, &mut plaintext).map_err(|_| OpenError::Refused);
        if self.shared.observer.is_some() {
            self.shared.tell(context, subject, self.shared.reseal_suite(parts.suite()), opened.map(drop));
        }
        plaintext.truncate(opened?);
        Ok(Phi::new(T::from_plaintext(plaintext)?))
    }

    /// Where the message key of a value is, after it was derived if need be.
    fn key(&mut self, data: &DataKey, parts: &Parts<'_>) -> Result<usize, OpenError> {
        if let Some(known) = self.keys.iter().position(|key| key.is_named_by(parts)) {
            return Ok(known);
        }
        let (suite, salt) = (parts.suite(), parts.salt());
        let derived = data.derive(Label::FIELD, &f1::key_info(suite, &salt)).map_err(|_| OpenError::LeaseEnded)?;
        let key =
            MessageKey::from_derived_on(data.backend(), &derived, data.kid(), suite, salt).map_err(OpenError::from)?;
        let at = self.next;
        match self.keys.get_mut(at) {
            Some(place) => *place = key,
            None => self.keys.push(key),
        }
        self.next = (at + 1) % KEPT;
        Ok(at)
    }
}

/// What `work` makes of the parts of a list, in order: on this thread where the list is one part, on one each where not.
fn in_parts<I: Sync, R: Send>(items: &[I], share: usize, work: &(impl Fn(&[I]) -> Vec<R> + Sync)) -> Vec<R> {
    if items.len() <= share {
        return work(items);
    }
    std::thread::scope(|scope| {
        let started: Vec<_> = items.chunks(share).map(|items| scope.spawn(move || work(items))).collect();
        let mut all = Vec::with_capacity(items.len());
        for thread in started {
            match thread.join() {
                Ok(part) => all.extend(part),
                // Whatever a caller's own type panicked with goes on where the caller is.
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    })
}

/// A value of a batch that spans patients was not opened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum OpenManyError {
    /// Its key cannot be had: it does not exist, belongs to another scope, was retired or shredded, or the store or the
    /// KMS did not answer.
    Key(phi_keys::Error),
    /// It does not open under its key.
    Open(OpenError),
}

impl fmt::Display for OpenManyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key(_) => "the key of the value cannot be had",
            Self::Open(_) => "the value was not opened",
        })
    }
}

impl core::error::Error for OpenManyError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Key(source) => Some(source),
            Self::Open(source) => Some(source),
        }
    }
}

impl From<OpenError> for OpenManyError {
    fn from(source: OpenError) -> Self {
        Self::Open(source)
    }
}
