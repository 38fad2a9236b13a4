//! From a row as it was read to the row as it is to be.

use std::collections::BTreeMap;
use std::sync::Arc;

use phi_keys::f1::{self, Parts};
use phi_keys::overlap::give_way;
use phi_keys::{KeyId, Scope};
use phi_types::SubjectId;
use zeroize::Zeroizing;

use super::layout::{Layout, ScopeAt, Sealed, Tags};
use super::progress::LeftBecause;
use super::store::{Row, Update};
use super::{Counts, LeftRow, ResealError};
use crate::index::Opened;
use crate::{Context, IndexError, OpenError, Opener, RecordId, ScopedOpener, ScopedSealer, SealError, Sealer};

/// What is to be done to the rows of a chunk.
#[derive(Default)]
pub(super) struct Renewal {
    pub(super) updates: Vec<Update>,
    pub(super) left: Vec<LeftRow>,
    /// Rows, and those that do not open; what changes is counted when it has changed.
    pub(super) counts: Counts,
    pub(super) scopes: Vec<Scope>,
}

/// Why a row, or all of the chunk, was not renewed.
enum Stop {
    Row(&'static str, LeftBecause),
    /// A lease ended: with new leases it will work.
    Again,
    Job(ResealError),
}

/// The keys of one scope.
enum Held {
    Keys {
        sealer: ScopedSealer,
        opener: ScopedOpener,
        missing: Vec<KeyId>,
    },
    /// None of the keys that the rows name opens anything for this scope.
    Nothing,
    Shredded,
}

/// How many scopes are worked on without giving way: few, since a database that has answered waits for its next statement.
const STRETCH: usize = 4;

/// The rows of a chunk as they are to be; `None` when leases ended on the way.
pub(super) async fn renew(
    (sealer, opener): (&Sealer, &Opener),
    layout: &Layout,
    indexes: &[Opened],
    rows: &[Arc<Row>],
) -> Result<Option<Renewal>, ResealError> {
    let mut renewal = Renewal::default();
    let mut by_scope: Vec<(Vec<&Arc<Row>>, Vec<KeyId>)> = Vec::new();
    let mut places: BTreeMap<(bool, String), usize> = BTreeMap::new();
    for row in rows {
        renewal.counts.rows += 1;
        let Some((is_subject, name)) = scope_of(layout, row) else {
            renewal.leave(layout, row, first_column(layout), LeftBecause::Place);
            continue;
        };
        let scope = match is_subject {
            false => Scope::group(name.as_str()),
            true => match SubjectId::new(name.as_str()) {
                Ok(subject) => Scope::Subject(subject),
                Err(_) => {
                    renewal.leave(layout, row, first_column(layout), LeftBecause::Place);
                    continue;
                }
            },
        };
        let at = *places.entry((is_subject, name)).or_insert_with(|| {
            renewal.scopes.push(scope);
            by_scope.push((Vec::new(), Vec::new()));
            by_scope.len() - 1
        });
        if let Some((rows, kids)) = by_scope.get_mut(at) {
            rows.push(row);
            for kid in row.written.iter().take(layout.sealed.len()).flatten().filter_map(|value| f1::parse(value).ok())
            {
                if !kids.contains(&kid.kid()) {
                    kids.push(kid.kid());
                }
            }
        }
    }
    let scopes = core::mem::take(&mut renewal.scopes);
    warm((sealer, opener), &scopes, &by_scope).await;
    for (at, (scope, (rows, kids))) in scopes.iter().zip(by_scope).enumerate() {
        if at % STRETCH == 0 {
            give_way().await;
        }
        let held = match hold(sealer, opener, scope, &kids).await {
            Ok(held) => held,
            Err(phi_keys::Error::ShredUnderWay) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        for row in rows {
            match renew_row(layout, indexes, row, &held, at) {
                Ok(Some(update)) => renewal.updates.push(update),
                Ok(None) => {}
                Err(Stop::Row(column, reason)) => renewal.leave(layout, row, column, reason),
                Err(Stop::Again) => return Ok(None),
                Err(Stop::Job(error)) => return Err(error),
            }
            if matches!(held, Held::Shredded) {
                renewal.counts.shredded += 1;
            }
        }
    }
    renewal.scopes = scopes;
    Ok(Some(renewal))
}

impl Renewal {
    fn leave(&mut self, layout: &Layout, row: &Row, column: &'static str, reason: LeftBecause) {
        self.counts.unreadable += 1;
        self.left.push(LeftRow { table: layout.table, column, reason, key: row.key.to_text() });
    }
}

fn first_column(layout: &Layout) -> &'static str {
    layout.sealed.first().map_or("", |sealed| sealed.column)
}

/// Whether a row is of a patient, and of which or of which group.
fn scope_of(layout: &Layout, row: &Row) -> Option<(bool, String)> {
    let text = |at: usize| row.texts.get(at).and_then(Clone::clone);
    match layout.scope {
        ScopeAt::Group(group) => Some((false, group.to_owned())),
        ScopeAt::Subject(at) => Some((true, text(at)?)),
        ScopeAt::SubjectOrGroup(at, group) => Some(text(at).map_or_else(|| (false, group.to_owned()), |id| (true, id))),
    }
}

/// Brings the keys of all scopes into memory, with one reading for those to open with and one for those to seal with. What
/// cannot be had is asked for again when its scope's turn comes, and the answer is acted on there.
async fn warm((sealer, opener): (&Sealer, &Opener), scopes: &[Scope], by_scope: &[(Vec<&Arc<Row>>, Vec<KeyId>)]) {
    let of = scopes.iter().zip(by_scope);
    let kids: Vec<_> = of.flat_map(|(scope, (_, kids))| kids.iter().map(move |kid| (scope, Some(*kid)))).collect();
    let opens = opener.keys().data_key_many(&kids).await;
    // A scope that nothing opens may be none, and must get no key.
    let there = kids.iter().zip(&opens).filter(|(_, key)| key.is_ok());
    let mut active: Vec<_> = there.map(|((scope, _), _)| (*scope, None)).collect();
    active.dedup();
    sealer.keys().data_key_many(&active).await;
}

/// Asks for each key once. A key that cannot be had for good is noted; whatever may pass stops the job.
async fn hold(sealer: &Sealer, opener: &Opener, scope: &Scope, kids: &[KeyId]) -> Result<Held, phi_keys::Error> {
    let (mut opener, mut missing) = match opener.for_kids(scope, kids.iter().copied()).await {
        Ok(opener) => (opener, Vec::new()),
        Err(phi_keys::Error::Shredded) => return Ok(Held::Shredded),
        Err(error) if is_for_good(&error) => (opener.for_kids(scope, []).await?, kids.to_vec()),
        Err(error) => return Err(error),
    };
    if !missing.is_empty() {
        for kid in core::mem::take(&mut missing) {
            match opener.prefetch([kid]).await {
                Ok(()) => {}
                Err(phi_keys::Error::Shredded) => return Ok(Held::Shredded),
                Err(error) if is_for_good(&error) => missing.push(kid),
                Err(error) => return Err(error),
            }
        }
    }
    if missing.len() == kids.len() {
        // A sealer would make a key for a scope that may be none.
        return Ok(Held::Nothing);
    }
    match sealer.for_scope(scope).await {
        Ok(sealer) => Ok(Held::Keys { sealer, opener, missing }),
        Err(phi_keys::Error::Shredded) => Ok(Held::Shredded),
        Err(error) => Err(error),
    }
}

const fn is_for_good(error: &phi_keys::Error) -> bool {
    matches!(
        error,
        phi_keys::Error::UnknownKey
            | phi_keys::Error::WrongScope
            | phi_keys::Error::State(_)
            | phi_keys::Error::RowRejected(_)
            | phi_keys::Error::RowOutdated { .. }
            | phi_keys::Error::KeyRejected(_)
    )
}

/// The row as it is to be, or `None` when it is so already.
fn renew_row(
    layout: &Layout,
    indexes: &[Opened],
    row: &Arc<Row>,
    held: &Held,
    scope: usize,
) -> Result<Option<Update>, Stop> {
    let (values, tags) = row.written.split_at_checked(layout.sealed.len()).unwrap_or_default();
    let mut work = Work { layout, row, held, plaintexts: values.iter().map(|_| None).collect() };
    let mut update =
        Update { row: Arc::clone(row), new: Vec::with_capacity(row.written.len()), resealed: 0, tags: 0, fills: None };
    for (at, (sealed, value)) in layout.sealed.iter().zip(values).enumerate() {
        let renewed = match value {
            None => None,
            Some(value) => work.reseal(at, sealed, value)?,
        };
        update.resealed += u64::from(renewed.is_some());
        update.new.push(renewed.or_else(|| value.clone()));
    }
    for ((column, tag), index) in layout.tags.iter().zip(tags).zip(indexes) {
        let wanted = work.tag(column, index, tag.as_deref())?;
        if wanted != *tag {
            update.tags += 1;
            if tag.is_none() {
                update.fills = Some(scope);
            }
        }
        update.new.push(wanted);
    }
    Ok((update.resealed > 0 || update.tags > 0).then_some(update))
}

/// One row under work. What was opened once is not opened again.
struct Work<'a> {
    layout: &'a Layout,
    row: &'a Row,
    held: &'a Held,
    plaintexts: Vec<Option<Zeroizing<Vec<u8>>>>,
}

impl<'a> Work<'a> {
    /// The value under the newest key, or `None` when it is so already.
    fn reseal(&mut self, at: usize, sealed: &'a Sealed, value: &[u8]) -> Result<Option<Vec<u8>>, Stop> {
        let parts = f1::parse(value).map_err(|_| Stop::Row(sealed.column, LeftBecause::NotSealed))?;
        let sealer = match self.held {
            Held::Keys { sealer, .. } => sealer,
            Held::Nothing => return Err(Stop::Row(sealed.column, LeftBecause::Key)),
            Held::Shredded => return Ok(None),
        };
        if sealer.is_current(&parts) {
            return Ok(None);
        }
        self.open(at, sealed, &parts, value)?;
        let context = self.context(sealed)?;
        let Some(Some(plaintext)) = self.plaintexts.get(at) else { return Ok(None) };
        let mut out = Vec::with_capacity(value.len());
        match sealer.seal_into(plaintext, &context, &mut out) {
            Ok(()) => Ok(Some(out)),
            Err(SealError::LeaseEnded) => Err(Stop::Again),
            Err(SealError::Context(_)) => Err(Stop::Row(sealed.column, LeftBecause::Place)),
            Err(error) => Err(Stop::Job(ResealError::Seal(error))),
        }
    }

    /// The tag that the row should have: the one that it has, where that is of the newest version and nothing was opened
    /// that could contradict it.
    fn tag(&mut self, column: &'a Tags, index: &Opened, stored: Option<&[u8]>) -> Result<Option<Vec<u8>>, Stop> {
        if matches!(self.held, Held::Shredded) {
            // A tag outlives the key of its patient: it has no business here.
            return Ok(None);
        }
        let present = column.sources.iter().all(|at| matches!(self.row.written.get(*at), Some(Some(_))));
        if !present {
            return Ok(None);
        }
        let opened = column.sources.iter().all(|at| matches!(self.plaintexts.get(*at), Some(Some(_))));
        // The version of a tag says nothing about the key that the index domain had.
        let current = |stored: &&[u8]| stored.first() == Some(&column.declared.version) && !index.is_rotated();
        if let Some(stored) = stored.filter(current).filter(|_| !opened) {
            return Ok(Some(stored.to_vec()));
        }
        for at in &column.sources {
            if let (Some(sealed), Some(Some(value))) = (self.layout.sealed.get(*at), self.row.written.get(*at)) {
                let parts = f1::parse(value).map_err(|_| Stop::Row(sealed.column, LeftBecause::NotSealed))?;
                self.open(*at, sealed, &parts, value)?;
            }
        }
        let mut texts = Vec::with_capacity(column.sources.len());
        for at in &column.sources {
            let Some(Some(plaintext)) = self.plaintexts.get(*at) else { return Ok(None) };
            texts.push(core::str::from_utf8(plaintext).map_err(|_| Stop::Row(column.column, LeftBecause::NotText))?);
        }
        let row = self.row.texts.get(column.record_id).and_then(Option::as_deref);
        if row.is_none() && column.declared.partitions > 1 {
            return Err(Stop::Row(column.column, LeftBecause::Place));
        }
        match index.tag(&texts, row.map(RecordId::from).as_ref()) {
            Ok(tag) => Ok(tag.map(|tag| tag.as_bytes().to_vec())),
            Err(IndexError::LeaseEnded) => Err(Stop::Again),
            Err(error) => Err(Stop::Job(ResealError::Index(error))),
        }
    }

    fn open(&mut self, at: usize, sealed: &'a Sealed, parts: &Parts<'_>, value: &[u8]) -> Result<(), Stop> {
        if matches!(self.plaintexts.get(at), Some(Some(_))) {
            return Ok(());
        }
        let Held::Keys { opener, missing, .. } = self.held else {
            return Err(Stop::Row(sealed.column, LeftBecause::Key));
        };
        if missing.contains(&parts.kid()) {
            return Err(Stop::Row(sealed.column, LeftBecause::Key));
        }
        let context = self.context(sealed)?;
        let mut plaintext = Zeroizing::new(Vec::with_capacity(value.len()));
        let left = |reason| Err(Stop::Row(sealed.column, reason));
        match opener.open_into(value, &context, &mut plaintext) {
            Ok(_) => {}
            Err(OpenError::LeaseEnded) => return Err(Stop::Again),
            Err(OpenError::NotSealed(_)) => return left(LeftBecause::NotSealed),
            Err(OpenError::UnknownKey { .. }) => return left(LeftBecause::Key),
            Err(OpenError::Context(_)) => return left(LeftBecause::Place),
            Err(OpenError::NotApproved(_)) => return left(LeftBecause::NotApproved),
            Err(_) => return left(LeftBecause::Refused),
        }
        if let Some(place) = self.plaintexts.get_mut(at) {
            *place = Some(plaintext);
        }
        Ok(())
    }

    fn context(&self, sealed: &'a Sealed) -> Result<Context<'a>, Stop> {
        let row: &'a Row = self.row;
        let text = |at: usize| {
            let text = row.texts.get(at).and_then(Option::as_deref);
            text.ok_or(Stop::Row(sealed.column, LeftBecause::Place))
        };
        let mut context = match sealed.record_id {
            Some(at) => sealed.field.record_id(text(at)?),
            None => sealed.field.without_record(),
        };
        if let Some(at) = sealed.row_version {
            let version = text(at)?.parse().map_err(|_| Stop::Row(sealed.column, LeftBecause::Place))?;
            context = context.row_version(version);
        }
        for (key, at) in &sealed.pairs {
            context = context.pair(key, text(*at)?);
        }
        Ok(context)
    }
}
