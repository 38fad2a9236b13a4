//! Contexts as associated data, by `SPEC.md` section 2: on the stack for every context of ordinary size, and with what
//! does not change from value to value encoded once.

use std::sync::{Arc, OnceLock};

use arrayvec::ArrayVec;
use phi_keys::Scope;
use phi_types::SubjectId;

use crate::context::{ROOM, tag};
use crate::{Context, ContextError, Field};

/// Starts every encoding, so that no other protocol's bytes can be taken for a context.
const MAGIC: &[u8; 10] = b"phi/aad/v1";

/// Bytes before the value of an element: its tag and its length.
const HEAD: usize = 5;

/// Contexts up to this many bytes are encoded without touching the heap; a typical one takes about 140.
const ON_STACK: usize = 320;

/// Fields of which the beginning of their contexts is kept.
const LEADS: usize = 64;

/// Bytes that are encoded once and copied into many contexts.
#[derive(Debug, Clone)]
struct Piece {
    bytes: Box<[u8]>,
    /// The same bytes and zeros behind them, where they are that few: as many bytes are always copied, which takes no call.
    padded: Option<[u8; PIECE]>,
}

/// Longer than most that contexts begin or end with.
const PIECE: usize = 64;

impl Piece {
    fn new(bytes: &[u8]) -> Self {
        let mut padded = [0; PIECE];
        let fits = padded.get_mut(..bytes.len()).map(|place| place.copy_from_slice(bytes)).is_some();
        Self { bytes: bytes.into(), padded: fits.then_some(padded) }
    }

    /// The value of the element that the bytes are, or nothing where they are none.
    fn value(&self) -> Option<&[u8]> {
        self.bytes.get(HEAD..)
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// What a tenant's contexts begin with, encoded once for all its scopes.
#[derive(Debug)]
pub(crate) struct TenantAad {
    /// Its element; empty where no tenant is named.
    tenant: Piece,
    /// Whether the tenant exceeds 2^32 − 1 bytes.
    too_long: bool,
    /// How contexts of some fields begin, each in the place of its field; a field whose place is taken is encoded anew.
    leads: [OnceLock<Lead>; LEADS],
}

impl TenantAad {
    pub(crate) fn new(tenant: Option<&str>) -> Arc<Self> {
        let (tenant, too_long) = encoded(tag::TENANT, tenant);
        Arc::new(Self { tenant, too_long, leads: [const { OnceLock::new() }; LEADS] })
    }

    /// How contexts of so many elements in a field begin, where it is kept.
    #[inline]
    fn lead(&self, count: u8, field: &Field) -> Option<&Piece> {
        let lead = self.leads.get(field.place() % LEADS)?.get()?;
        (lead.count == count && lead.field.is_same_constant(field)).then_some(&lead.piece)
    }

    /// Starts a context, of which the buffer may hold this much already.
    fn begin(&self, count: u8, field: &Field, out: &mut Encoding) -> Result<(), ContextError> {
        if out.begins(count, field) {
            return Ok(());
        }
        if let Some(piece) = self.lead(count, field) {
            out.push_piece(piece);
        } else {
            out.lead(count, &self.tenant, field)?;
            if let Some(place) = self.leads.get(field.place() % LEADS) {
                place.get_or_init(|| Lead { count, field: *field, piece: Piece::new(out.as_slice()) });
            }
        }
        out.keep_lead(count, field);
        Ok(())
    }
}

/// One element, or nothing where there is no value; and whether the value is too long for one.
fn encoded(tag: u8, value: Option<&str>) -> (Piece, bool) {
    let mut out = Encoding::new();
    let too_long = value.is_some_and(|value| out.element(tag, value.as_bytes()).is_err());
    (Piece::new(out.as_slice()), too_long)
}

/// What contexts of so many elements in one field begin with: all before the record id.
#[derive(Debug, Clone)]
struct Lead {
    count: u8,
    field: Field,
    piece: Piece,
}

/// The elements that a scope adds to every context, encoded once.
#[derive(Debug, Clone)]
pub(crate) struct ScopeAad {
    tenant: Arc<TenantAad>,
    /// Its element; empty where the scope is no subject.
    subject: Piece,
    /// Whether an element exceeds 2^32 − 1 bytes.
    too_long: bool,
    /// Elements of a context that names its record and nothing else, where each of them can be written.
    usual: Option<u8>,
}

impl ScopeAad {
    /// What a tenant's scope adds.
    pub(crate) fn of(tenant: &Arc<TenantAad>, scope: &Scope) -> Self {
        match scope {
            Scope::Subject(subject) => Self::new(tenant, Some(subject)),
            _ => Self::new(tenant, None),
        }
    }

    pub(crate) fn new(tenant: &Arc<TenantAad>, subject: Option<&SubjectId>) -> Self {
        let (subject, too_long) = encoded(tag::SUBJECT, subject.map(SubjectId::expose));
        let too_long = too_long || tenant.too_long;
        let usual = 3 + u8::from(!tenant.tenant.is_empty()) + u8::from(!subject.is_empty());
        Self { tenant: Arc::clone(tenant), subject, too_long, usual: (!too_long).then_some(usual) }
    }

    /// Writes the associated data of a context in this scope. A buffer serves one scope: what it holds of the context
    /// before is kept where the next begins alike.
    #[inline(always)]
    pub(crate) fn write<'out>(&self, context: &Context<'_>, out: &'out mut AadBuf) -> Result<&'out [u8], ContextError> {
        if self.write_usual(context, &mut out.usual).is_some() {
            return Ok(&out.usual);
        }
        // What was written last is found by this.
        out.usual.clear();
        self.write_any(context, out.any.get_or_insert_with(Encoding::new))
    }

    /// Writes a context that names its record and nothing else, if all of it is short and its beginning is known.
    ///
    /// What it takes shows in what a value costs. So a number is put together in a register: bytes that are written one by one
    /// and read together at once keep the processor waiting.
    #[inline(always)]
    fn write_usual(&self, context: &Context<'_>, out: &mut Usual) -> Option<()> {
        let id = context.only_record()?;
        let lead = self.tenant.lead(self.usual?, &context.field)?;
        out.clear();
        append(out, &lead.padded?, lead.bytes.len())?;
        if let Some(short) = id.short() {
            let element = head(tag::RECORD_ID, short.len) | (u128::from(short.bytes) << (8 * HEAD));
            append(out, &element.to_le_bytes(), HEAD + short.len as usize)?;
        } else {
            let mut room = [0; ROOM];
            let text = id.text(&mut room);
            append(out, &head(tag::RECORD_ID, u32::try_from(text.len()).ok()?).to_le_bytes(), HEAD)?;
            out.try_extend_from_slice(text).ok()?;
        }
        append(out, &self.subject.padded?, self.subject.bytes.len())
    }

    /// Writes a context of any kind.
    fn write_any<'out>(&self, context: &Context<'_>, out: &'out mut Encoding) -> Result<&'out [u8], ContextError> {
        if let Some(element) = context.repeated() {
            return Err(ContextError::Repeated { element });
        }
        if self.too_long {
            return Err(ContextError::TooLong);
        }
        if context.named_tenant().is_some_and(|named| self.tenant.tenant.value() != Some(named.as_bytes())) {
            return Err(ContextError::OtherTenant);
        }
        // A group's key is nobody's in particular: records in it may name any subject.
        let named = context.subject.map(|subject| subject.expose().as_bytes());
        if !self.subject.is_empty() && named.is_some() && self.subject.value() != named {
            return Err(ContextError::OtherSubject);
        }
        let optional = [
            !self.tenant.tenant.is_empty(),
            context.record_id.is_some(),
            !self.subject.is_empty() || named.is_some(),
            context.row_version.is_some(),
        ];
        let count = 2 + optional.into_iter().map(usize::from).sum::<usize>() + context.pairs().len();
        let count = u8::try_from(count).map_err(|_| ContextError::TooMany)?;

        self.tenant.begin(count, &context.field, out)?;
        if let Some(id) = &context.record_id {
            out.element(tag::RECORD_ID, id.text(&mut [0; ROOM]))?;
        }
        match named {
            _ if !self.subject.is_empty() => out.push_piece(&self.subject),
            Some(subject) => out.element(tag::SUBJECT, subject)?,
            None => {}
        }
        if let Some(version) = context.row_version {
            out.element(tag::ROW_VERSION, &version.to_be_bytes())?;
        }
        for (key, value) in context.pairs() {
            out.pair(key.as_bytes(), value.as_bytes())?;
        }
        Ok(out.as_slice())
    }
}

/// The associated data of exactly what a context names.
pub(crate) fn of(context: &Context<'_>) -> Result<Vec<u8>, ContextError> {
    let mut out = Encoding::new();
    ScopeAad::new(&TenantAad::new(context.named_tenant()), context.subject)
        .write_any(context, &mut out)
        .map(<[u8]>::to_vec)
}

/// `u8 tag ‖ u32be length`, from the lowest byte on.
#[inline]
const fn head(tag: u8, length: u32) -> u128 {
    tag as u128 | ((length.swap_bytes() as u128) << 8)
}

/// Appends the first `length` of some bytes, if there is room for all of them. All are copied, for a known number takes no
/// call, and the next ones overwrite what is too much.
#[inline]
fn append<const N: usize, const M: usize>(out: &mut ArrayVec<u8, M>, bytes: &[u8; N], length: usize) -> Option<()> {
    let end = out.len() + length;
    out.try_extend_from_slice(bytes).ok()?;
    out.truncate(end);
    Some(())
}

/// Room for associated data, used again from value to value.
pub(crate) struct AadBuf {
    usual: Usual,
    /// Made when it is wanted.
    any: Option<Encoding>,
}

impl AadBuf {
    pub(crate) const fn new() -> Self {
        Self { usual: Usual::new_const(), any: None }
    }

    /// The associated data that was written last.
    #[inline]
    pub(crate) fn written(&self) -> &[u8] {
        match &self.any {
            Some(any) if self.usual.is_empty() => any.as_slice(),
            _ => &self.usual,
        }
    }
}

/// A context of the usual kind: a beginning, a record id and a subject, of at most [`PIECE`] bytes each as a rule.
type Usual = ArrayVec<u8, { 3 * PIECE + HEAD }>;

/// A context of any kind under construction.
struct Encoding {
    stack: ArrayVec<u8, ON_STACK>,
    /// Holds everything as soon as the stack part is too small.
    heap: Vec<u8>,
    /// What the buffer begins with: so many elements, the tenant and this field, in so many bytes on the stack.
    lead: Option<(u8, Field, usize)>,
}

impl Encoding {
    const fn new() -> Self {
        Self { stack: ArrayVec::new_const(), heap: Vec::new(), lead: None }
    }

    fn as_slice(&self) -> &[u8] {
        if self.heap.is_empty() { &self.stack } else { &self.heap }
    }

    /// Goes back to the beginning of a context, and says whether it is one of so many elements in this field.
    #[inline]
    fn begins(&mut self, count: u8, field: &Field) -> bool {
        self.heap.clear();
        if let Some((led, last, end)) = self.lead
            && led == count
            && last.is_same_constant(field)
        {
            self.stack.truncate(end);
            return true;
        }
        self.stack.clear();
        self.lead = None;
        false
    }

    /// Writes what stands before the record id.
    fn lead(&mut self, count: u8, tenant: &Piece, field: &Field) -> Result<(), ContextError> {
        self.push(MAGIC);
        self.push(&[count]);
        self.push_piece(tenant);
        self.element(tag::RECORD_TYPE, field.record_type().as_bytes())?;
        self.element(tag::FIELD, field.name().as_bytes())
    }

    /// Remembers what the buffer holds as the beginning of a context, if it is on the stack.
    #[inline]
    fn keep_lead(&mut self, count: u8, field: &Field) {
        if self.heap.is_empty() {
            self.lead = Some((count, *field, self.stack.len()));
        }
    }

    /// Writes `u8 tag ‖ u32be length ‖ value`.
    #[inline]
    fn element(&mut self, tag: u8, value: &[u8]) -> Result<(), ContextError> {
        let length = u32::try_from(value.len()).map_err(|_| ContextError::TooLong)?;
        let [a, b, c, d] = length.to_be_bytes();
        self.push(&[tag, a, b, c, d]);
        self.push(value);
        Ok(())
    }

    /// Writes a pair, whose value is `u32be length of key ‖ key ‖ value`.
    fn pair(&mut self, key: &[u8], value: &[u8]) -> Result<(), ContextError> {
        let length = key.len().checked_add(value.len()).and_then(|length| length.checked_add(4));
        let length = length.and_then(|length| u32::try_from(length).ok()).ok_or(ContextError::TooLong)?;
        let key_length = u32::try_from(key.len()).map_err(|_| ContextError::TooLong)?;
        self.push(&[tag::PAIR]);
        self.push(&length.to_be_bytes());
        self.push(&key_length.to_be_bytes());
        self.push(key);
        self.push(value);
        Ok(())
    }

    #[inline]
    fn push_piece(&mut self, piece: &Piece) {
        let padded = piece.padded.as_ref().filter(|_| self.heap.is_empty());
        if padded.and_then(|padded| append(&mut self.stack, padded, piece.bytes.len())).is_none() {
            self.push(&piece.bytes);
        }
    }

    #[inline]
    fn push(&mut self, bytes: &[u8]) {
        if !self.heap.is_empty() || self.stack.try_extend_from_slice(bytes).is_err() {
            self.push_to_heap(bytes);
        }
    }

    #[cold]
    fn push_to_heap(&mut self, bytes: &[u8]) {
        if self.heap.is_empty() {
            self.heap.reserve(self.stack.len().saturating_add(bytes.len()).saturating_mul(2));
            self.heap.extend_from_slice(&self.stack);
        }
        self.heap.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RecordId;

    #[test]
    fn what_is_pushed_is_what_is_read_on_both_sides_of_the_stack_limit() {
        for total in [0, 1, ON_STACK - 1, ON_STACK, ON_STACK + 1, 3 * ON_STACK] {
            let mut buffer = Encoding::new();
            let expected: Vec<u8> = (0..total).map(|i| u8::try_from(i % 251).unwrap()).collect();
            for part in expected.chunks(7) {
                buffer.push(part);
            }
            assert_eq!(buffer.as_slice(), expected, "{total}");
            assert_eq!(buffer.heap.is_empty(), total <= ON_STACK);
        }
    }

    #[test]
    fn a_buffer_that_is_used_again_holds_the_next_context_alone() {
        const LONG: &str = "a record type that fills most of the stack part of the buffer, of which it takes \
            a hundred and sixty bytes and so some more than half, whatever else there is in a context";
        let long_id = "7".repeat(ON_STACK);
        let (name, ssn, long) =
            (Context::new("Patient", "name"), Context::new("Patient", "ssn"), Context::new(LONG, LONG));
        let contexts = [
            name.record_id("1"),
            name.record_id("22"),
            name.record_id(long_id.as_str()),
            name.record_id("3"),
            name.record_id(0_u64),
            name.record_id(99_999_999_i64),
            name.record_id(100_000_000_u64),
            name.record_id(-7_i64),
            name.record_id(RecordId::uuid([0x2f; 16])),
            name.record_id(&long_id[..PIECE]),
            name.record_id(&long_id[..=PIECE]),
            // Both sides of what the usual room takes, with the subject and without.
            name.record_id(&long_id[..84]),
            name.record_id(&long_id[..85]),
            name.record_id(&long_id[..86]),
            name.record_id(&long_id[..87]),
            name.record_id(&long_id[..149]),
            name.record_id(&long_id[..150]),
            name.record_id(&long_id[..151]),
            // A beginning of 63, 64 and 65 bytes.
            Context::new("Patient", &LONG[..24]).record_id("1"),
            Context::new("Patient", &LONG[..25]).record_id("1"),
            Context::new("Patient", &LONG[..26]).record_id("1"),
            name.without_record(),
            ssn.record_id("3"),
            ssn.record_id("3").pair("a", "b"),
            ssn.record_id("4").row_version(4),
            long.record_id("1"),
            long.record_id("2"),
            name.record_id("5"),
            // Other constants of the same text.
            Context::new(String::from("Patient").leak(), "name").record_id("6"),
        ];
        let ada = SubjectId::new("ada").unwrap();
        // Elements of the subject of 8, 64 and 65 bytes.
        for subject in [ada, SubjectId::new("a".repeat(59)).unwrap(), SubjectId::new("a".repeat(60)).unwrap()] {
            let scope = ScopeAad::new(&TenantAad::new(Some("clinic")), Some(&subject));
            let mut buffer = AadBuf::new();
            for first in &contexts {
                for context in [first].into_iter().chain(&contexts) {
                    // Without the tenant and the subject that are named here the scope adds the same.
                    let named = context.clone().tenant("clinic").subject(&subject);
                    let fresh = of(&named).unwrap();
                    assert_eq!(scope.write(context, &mut AadBuf::new()).unwrap(), fresh, "{context:?}");
                    assert_eq!(scope.write(context, &mut buffer).unwrap(), fresh, "{context:?}");
                    assert_eq!(buffer.written(), fresh, "{context:?}");
                }
            }
        }
    }

    #[test]
    fn a_usual_context_takes_the_short_way_once_its_beginning_is_known_and_says_the_same() {
        let ada = SubjectId::new("ada").unwrap();
        let name = Context::new("Patient", "name");
        for subject in [Some(&ada), None] {
            for first in [name.record_id("1"), name.without_record(), name.without_record().row_version(1)] {
                let scope = ScopeAad::new(&TenantAad::new(Some("clinic")), subject);
                scope.write(&first, &mut AadBuf::new()).unwrap();
                let context = name.record_id(7431_u64);
                let (mut short, mut long) = (AadBuf::new(), Encoding::new());
                let written = scope.write(&context, &mut short).unwrap();
                assert_eq!(written, scope.write_any(&context, &mut long).unwrap());
                let is_short = short.any.is_none();
                assert_eq!(is_short, first.only_record().is_some() || first.row_version.is_some());
            }
        }
    }
}
