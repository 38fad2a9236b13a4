//! The values of one event, span or record: visited once, cleaned, and put back in the shape they came in.

use std::{
    cell::Cell,
    error::Error,
    fmt::{self, Write as _},
    ops::Range,
    sync::Arc,
};

use tracing_core::{
    Field,
    callsite::Identifier,
    field::{DebugValue, FieldSet, Value, ValueSet, Visit, debug},
};

use super::plan::{FieldPlan, Plan, Plans};
use crate::{Class, count, engine, engine::label::Labels, policy::Treatment, sql::redact_sql};

/// Longest chain of sources that is copied.
const LONGEST_CHAIN: usize = 32;
/// Largest buffer that a thread keeps for its next event.
const KEPT_BYTES: usize = 64 << 10;

const UNDECLARED: &str = "[undeclared]";
const PHI: &str = "[PHI]";

/// A clean value, as the kind that it was visited as.
enum Kind {
    Str(Range<usize>),
    /// What `Debug`, `Display` or a replacement wrote, to be printed as it is.
    Text(Range<usize>),
    Fixed(&'static str),
    Bytes(Box<[u8]>),
    I64(i64),
    U64(u64),
    I128(i128),
    U128(u128),
    F64(f64),
    Bool(bool),
    Error(Box<CleanError>),
}

/// Clean values with the texts that they point into.
#[derive(Default)]
pub(super) struct Values {
    text: String,
    values: Vec<(Field, Kind)>,
    changed: bool,
    /// Something was formatted: a second formatting by a layer could give another text than the one that was scanned.
    formatted: bool,
}

impl Values {
    /// Runs `work` with the buffer of this thread. It is taken out meanwhile, because a `Debug` implementation that
    /// logs comes back here.
    pub(super) fn with<T>(work: impl FnOnce(&mut Self) -> T) -> T {
        thread_local!(static SPARE: Cell<Option<Box<Values>>> = const { Cell::new(None) });
        let mut values = SPARE.try_with(Cell::take).ok().flatten().unwrap_or_default();
        let result = work(&mut values);
        values.clear();
        if values.text.capacity() <= KEPT_BYTES {
            let _ = SPARE.try_with(|spare| spare.set(Some(values)));
        }
        result
    }

    fn clear(&mut self) {
        self.text.clear();
        self.values.clear();
        self.changed = false;
        self.formatted = false;
    }

    /// Whether the original can be passed on: it holds nothing but plain values, and all of them are clean.
    pub(super) const fn same_as_original(&self) -> bool {
        !self.changed && !self.formatted
    }

    /// Hands the values on as a set over all `fields` of a callsite.
    pub(super) fn over<T>(&self, fields: &FieldSet, callsite: &Identifier, hand: impl FnOnce(&ValueSet<'_>) -> T) -> T {
        match fields.len() {
            0..=8 => self.over_at_most::<8, T>(fields, callsite, hand),
            9..=32 => self.over_at_most::<32, T>(fields, callsite, hand),
            length => {
                let mut clean: Vec<Option<Clean<'_>>> = (0..length).map(|_| None).collect();
                self.place(&mut clean, callsite);
                let all: Vec<Option<&dyn Value>> = clean.iter().map(|c| c.as_ref().map(Clean::value)).collect();
                hand(&fields.value_set_all(&all))
            }
        }
    }

    fn over_at_most<const N: usize, T>(
        &self,
        fields: &FieldSet,
        callsite: &Identifier,
        hand: impl FnOnce(&ValueSet<'_>) -> T,
    ) -> T {
        let mut clean: [Option<Clean<'_>>; N] = [const { None }; N];
        self.place(&mut clean, callsite);
        let mut all: [Option<&dyn Value>; N] = [None; N];
        for (slot, value) in all.iter_mut().zip(&clean) {
            *slot = value.as_ref().map(Clean::value);
        }
        hand(&fields.value_set_all(all.get(..fields.len()).unwrap_or(&all)))
    }

    /// Puts each value at the place of its field; a field of another callsite has none and is dropped.
    fn place<'a>(&'a self, places: &mut [Option<Clean<'a>>], callsite: &Identifier) {
        for (field, kind) in &self.values {
            if field.callsite() == *callsite
                && let Some(place) = places.get_mut(field.index())
            {
                *place = Some(self.clean(kind));
            }
        }
    }

    /// Hands the values on as sets of a few fields: a record comes without the list of all of them.
    pub(super) fn in_pieces(&self, mut hand: impl FnMut(&ValueSet<'_>)) {
        for piece in self.values.chunks(32) {
            match piece.len() {
                0 => {}
                1 => self.piece::<1>(piece, &mut hand),
                2..=8 => self.piece::<8>(piece, &mut hand),
                _ => self.piece::<32>(piece, &mut hand),
            }
        }
    }

    fn piece<const N: usize>(&self, piece: &[(Field, Kind)], hand: &mut impl FnMut(&ValueSet<'_>)) {
        let Some((first, _)) = piece.first() else { return };
        let mut clean: [Option<Clean<'_>>; N] = [const { None }; N];
        for (slot, (_, kind)) in clean.iter_mut().zip(piece) {
            *slot = Some(self.clean(kind));
        }
        // Pairs without a value fill up the array; nobody visits them.
        let mut pairs: [(&Field, Option<&dyn Value>); N] = [(first, None); N];
        for ((slot, (field, _)), value) in pairs.iter_mut().zip(piece).zip(&clean) {
            *slot = (field, value.as_ref().map(Clean::value));
        }
        // Explicit pairs bring their own fields, so that the set itself need not name any.
        hand(&FieldSet::new(&[], first.callsite()).value_set(&pairs));
    }

    fn clean<'a>(&'a self, kind: &'a Kind) -> Clean<'a> {
        let text = |range: &Range<usize>| self.text.get(range.clone()).unwrap_or_default();
        match kind {
            Kind::Str(range) => Clean::Str(text(range)),
            Kind::Text(range) => Clean::Text(debug(Verbatim(text(range)))),
            Kind::Fixed(text) => Clean::Text(debug(Verbatim(text))),
            Kind::Bytes(bytes) => Clean::Bytes(bytes),
            Kind::I64(v) => Clean::I64(*v),
            Kind::U64(v) => Clean::U64(*v),
            Kind::I128(v) => Clean::I128(*v),
            Kind::U128(v) => Clean::U128(*v),
            Kind::F64(v) => Clean::F64(*v),
            Kind::Bool(v) => Clean::Bool(*v),
            Kind::Error(error) => Clean::Error(&**error),
        }
    }
}

/// A value that `tracing` can visit.
enum Clean<'a> {
    Str(&'a str),
    Text(DebugValue<Verbatim<'a>>),
    Bytes(&'a [u8]),
    I64(i64),
    U64(u64),
    I128(i128),
    U128(u128),
    F64(f64),
    Bool(bool),
    Error(&'a (dyn Error + 'static)),
}

impl Clean<'_> {
    fn value(&self) -> &dyn Value {
        match self {
            Self::Str(v) => v,
            Self::Text(v) => v,
            Self::Bytes(v) => v,
            Self::I64(v) => v,
            Self::U64(v) => v,
            Self::I128(v) => v,
            Self::U128(v) => v,
            Self::F64(v) => v,
            Self::Bool(v) => v,
            Self::Error(v) => v,
        }
    }
}

/// Prints a text as it is: the quotes of a `Debug` form are in it already.
struct Verbatim<'a>(&'a str);

impl fmt::Debug for Verbatim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// An error and its sources, copied after cleaning.
struct CleanError {
    display: String,
    debug: String,
    source: Option<Box<Self>>,
}

impl fmt::Display for CleanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.display)
    }
}

impl fmt::Debug for CleanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.debug)
    }
}

impl Error for CleanError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Visits raw values and leaves clean ones. A kind of value that `tracing` may add later arrives at `record_debug`.
pub(super) struct Cleaner<'a> {
    pub(super) values: &'a mut Values,
    pub(super) plans: &'a Plans,
    pub(super) known: Known<'a>,
}

/// Where the plans of the fields come from.
pub(super) enum Known<'a> {
    Plan(&'a Plan),
    /// A record names its span's callsite only through its fields.
    Span(Option<Arc<Plan>>),
}

impl Cleaner<'_> {
    /// The plan of a field whose value may be looked at; the others are settled here, unseen.
    fn shown(&mut self, field: &Field) -> Option<FieldPlan> {
        let plan = match &mut self.known {
            Known::Plan(plan) => self.plans.field(Some(plan), field),
            Known::Span(plan) => {
                if plan.is_none() {
                    *plan = self.plans.of_span(&field.callsite());
                }
                self.plans.field(plan.as_deref(), field)
            }
        };
        let fixed = match plan.treatment {
            Treatment::Scan | Treatment::Sql => return Some(plan),
            Treatment::Phi => {
                count::declared();
                PHI
            }
            Treatment::Undeclared => {
                count::undeclared();
                UNDECLARED
            }
        };
        self.put_changed(field, Kind::Fixed(fixed));
        None
    }

    fn put(&mut self, field: &Field, kind: Kind) {
        self.values.values.push((field.clone(), kind));
    }

    fn put_changed(&mut self, field: &Field, kind: Kind) {
        self.values.changed = true;
        self.put(field, kind);
    }

    /// Cleans what was written to the buffer since `start`.
    fn clean_since(&mut self, start: usize, plan: FieldPlan) -> Range<usize> {
        let text = self.values.text.get(start..).unwrap_or_default();
        if let Some(clean) = clean_text(text, plan) {
            self.values.text.truncate(start);
            self.values.text.push_str(&clean);
            self.values.changed = true;
        }
        start..self.values.text.len()
    }

    fn number(&mut self, field: &Field, value: impl fmt::Display, kind: Kind) {
        let Some(plan) = self.shown(field) else { return };
        let class = match plan.labels {
            // Without its leading zeros a number no longer has the length to be recognised by.
            Labels::SSN => Class::Ssn,
            Labels::MRN => Class::Mrn,
            Labels::PHONE | Labels::DATE => {
                let text = value.to_string();
                return match engine::redact(&text, plan.labels, 0) {
                    Some(clean) => self.put_text(field, &clean),
                    None => self.put(field, kind),
                };
            }
            _ => return self.put(field, kind),
        };
        count::found(class);
        self.put_changed(field, Kind::Fixed(class.label()));
    }

    fn put_text(&mut self, field: &Field, clean: &str) {
        let start = self.values.text.len();
        self.values.text.push_str(clean);
        self.put_changed(field, Kind::Text(start..self.values.text.len()));
    }

    fn owned(&mut self, value: fmt::Arguments<'_>, plan: FieldPlan) -> String {
        let mut text = String::new();
        if text.write_fmt(value).is_err() {
            text.push_str("[formatting failed]");
        }
        match clean_text(&text, plan) {
            Some(clean) => {
                self.values.changed = true;
                clean
            }
            None => text,
        }
    }

    fn error(&mut self, error: &(dyn Error + 'static), plan: FieldPlan, depth: usize) -> Box<CleanError> {
        Box::new(CleanError {
            display: self.owned(format_args!("{error}"), plan),
            debug: self.owned(format_args!("{error:?}"), plan),
            source: error.source().filter(|_| depth < LONGEST_CHAIN).map(|source| self.error(source, plan, depth + 1)),
        })
    }
}

/// The text without what must not be shown, or `None` if it is clean.
fn clean_text(text: &str, plan: FieldPlan) -> Option<String> {
    if plan.treatment != Treatment::Sql {
        return engine::redact(text, plan.labels, 0);
    }
    match redact_sql(text) {
        std::borrow::Cow::Borrowed(_) => engine::redact(text, plan.labels, 0),
        std::borrow::Cow::Owned(bare) => Some(engine::redact(&bare, plan.labels, 0).unwrap_or(bare)),
    }
}

impl Visit for Cleaner<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.number(field, value, Kind::F64(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field, value, Kind::I64(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field, value, Kind::U64(value));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.number(field, value, Kind::I128(value));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.number(field, value, Kind::U128(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        if self.shown(field).is_some() {
            self.put(field, Kind::Bool(value));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let Some(plan) = self.shown(field) else { return };
        let start = self.values.text.len();
        self.values.text.push_str(value);
        let range = self.clean_since(start, plan);
        self.put(field, Kind::Str(range));
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        let Some(plan) = self.shown(field) else { return };
        match clean_text(&String::from_utf8_lossy(value), plan) {
            Some(clean) => self.put_text(field, &clean),
            None => self.put(field, Kind::Bytes(value.into())),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let Some(plan) = self.shown(field) else { return };
        self.values.formatted = true;
        let error = self.error(value, plan, 0);
        self.put(field, Kind::Error(error));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let Some(plan) = self.shown(field) else { return };
        self.values.formatted = true;
        let start = self.values.text.len();
        if write!(self.values.text, "{value:?}").is_err() {
            self.values.text.push_str("[formatting failed]");
        }
        let range = self.clean_since(start, plan);
        self.put(field, Kind::Text(range));
    }
}
