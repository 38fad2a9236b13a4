//! From an activity to the bytes of an entry.

use phi_types::{Activity, ActorKind, Detail};

use super::{EntryError, MAX_ENTRY, Pseudonyms, VERSION, WriterId, is_name, tag};

/// Version, writer, sequence and epoch stand at fixed places so that a writer can number an entry when it is committed.
pub(crate) const HEADER: usize = 1 + 16 + 8 + 16;

/// An entry that has no writer and no number yet.
#[derive(Debug)]
pub(crate) struct Unnumbered(Vec<u8>);

impl Unnumbered {
    pub(crate) fn number(&self, writer: &WriterId, sequence: u64) -> Vec<u8> {
        let rest = self.0.get(1 + 16 + 8..).unwrap_or_default();
        [&[VERSION][..], writer.as_bytes(), &sequence.to_be_bytes(), rest].concat()
    }
}

/// Turns an activity into the bytes of an entry, with every id of or about a patient as a pseudonym.
pub(crate) fn encode(activity: &Activity, pseudonyms: &Pseudonyms) -> Result<Unnumbered, EntryError> {
    let mut fields = Fields::default();
    fields.put(tag::AT, &activity.at.as_unix_micros().to_be_bytes());
    fields.put(tag::KIND, name(&activity.kind)?);
    // Action codes are ASCII letters.
    fields.put(tag::ACTION, &[u8::try_from(activity.action.code()).map_err(|_| EntryError::Value(tag::ACTION))?]);
    fields.put(tag::OUTCOME, &[activity.outcome.code()]);
    if let Some(actor) = &activity.actor {
        let value = match actor.kind() {
            ActorKind::Human => [&[tag::HUMAN], actor.id().as_bytes()].concat(),
            ActorKind::Service => [&[tag::SERVICE], actor.id().as_bytes()].concat(),
            ActorKind::PatientProxy => [&[tag::PATIENT_PROXY][..], pseudonyms.actor(actor).as_bytes()].concat(),
            // A kind that this version cannot name must not be written as another one.
            _ => return Err(EntryError::Value(tag::ACTOR)),
        };
        fields.put(tag::ACTOR, &value);
    }
    if let Some(subject) = &activity.subject {
        fields.put(tag::SUBJECT, pseudonyms.subject(subject).as_bytes());
    }
    if let Some(purpose) = activity.purpose {
        fields.put(tag::PURPOSE, purpose.code().as_bytes());
    }
    if let Some(resource) = &activity.resource {
        let pseudonym = pseudonyms.resource(&resource.kind, &resource.id);
        fields.put(tag::RESOURCE, &[pseudonym.as_bytes(), name(&resource.kind)?].concat());
    }
    if let Some(session) = &activity.session {
        fields.put(tag::SESSION, session.as_bytes());
    }
    if !activity.details.is_empty() {
        fields.put(tag::DETAILS, &details(activity)?);
    }
    let mut bytes = vec![0; HEADER - 16];
    bytes.extend_from_slice(pseudonyms.epoch());
    bytes.push(fields.count);
    bytes.extend_from_slice(&fields.bytes);
    if bytes.len() > MAX_ENTRY { Err(EntryError::TooLong) } else { Ok(Unnumbered(bytes)) }
}

fn name(name: &str) -> Result<&[u8], EntryError> {
    if is_name(name) { Ok(name.as_bytes()) } else { Err(EntryError::Name) }
}

fn details(activity: &Activity) -> Result<Vec<u8>, EntryError> {
    let mut bytes = vec![u8::try_from(activity.details.len()).map_err(|_| EntryError::Details)?];
    for (given, detail) in &activity.details {
        let name = name(given)?;
        // A name is at most 128 bytes.
        bytes.push(u8::try_from(name.len()).map_err(|_| EntryError::Name)?);
        bytes.extend_from_slice(name);
        match detail {
            Detail::Text(text) => value(&mut bytes, tag::TEXT, text.as_bytes()),
            Detail::Count(count) => value(&mut bytes, tag::COUNT, &count.to_be_bytes()),
            Detail::Flag(flag) => value(&mut bytes, tag::FLAG, &[u8::from(*flag)]),
            Detail::Time(time) => value(&mut bytes, tag::TIME, &time.as_unix_micros().to_be_bytes()),
            Detail::Bytes(content) => value(&mut bytes, tag::BYTES, content),
            _ => return Err(EntryError::Value(tag::DETAILS)),
        }
    }
    Ok(bytes)
}

/// `u8 tag ‖ u32be length ‖ value`. A length that does not fit saturates and is then refused by the limit of the entry.
fn value(bytes: &mut Vec<u8>, tag: u8, value: &[u8]) {
    bytes.push(tag);
    bytes.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(value);
}

#[derive(Default)]
struct Fields {
    count: u8,
    bytes: Vec<u8>,
}

impl Fields {
    /// Called in the order of the tags, at most once each, so the count stays at ten.
    fn put(&mut self, tag: u8, content: &[u8]) {
        self.count = self.count.saturating_add(1);
        value(&mut self.bytes, tag, content);
    }
}
