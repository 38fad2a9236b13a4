//! From the bytes of an entry to an event. Strict: each event has exactly one spelling.

use std::borrow::Cow;

use phi_types::{Action, Actor, ActorKind, Detail, Outcome, Purpose, Timestamp};

use super::{EntryError, Event, EventActor, MAX_ENTRY, Pseudonym, VERSION, WriterId, is_name, tag};

impl Event {
    /// Reads the bytes of an entry. Never panics, whatever the bytes are.
    ///
    /// # Errors
    /// [`EntryError`] says where the bytes leave the format.
    pub fn decode(entry: &[u8]) -> Result<Self, EntryError> {
        if entry.len() > MAX_ENTRY {
            return Err(EntryError::TooLong);
        }
        let mut reader = Reader(entry);
        if reader.byte()? != VERSION {
            return Err(EntryError::Version);
        }
        let writer = WriterId::from_bytes(reader.array()?);
        let sequence = u64::from_be_bytes(reader.array()?);
        let epoch = reader.array()?;
        let mut fields = Fields { left: reader.byte()?, next: None, reader };
        fields.advance(0)?;
        let event = Self {
            writer,
            sequence,
            epoch,
            at: timestamp(fields.required(tag::AT)?, tag::AT)?,
            kind: name(fields.required(tag::KIND)?)?,
            action: action(fields.required(tag::ACTION)?)?,
            outcome: outcome(fields.required(tag::OUTCOME)?)?,
            actor: fields.optional(tag::ACTOR)?.map(actor).transpose()?,
            subject: fields.optional(tag::SUBJECT)?.map(|value| pseudonym(value, tag::SUBJECT)).transpose()?,
            purpose: fields.optional(tag::PURPOSE)?.map(purpose).transpose()?,
            resource: fields.optional(tag::RESOURCE)?.map(resource).transpose()?,
            session: fields.optional(tag::SESSION)?.map(|value| text(value, tag::SESSION)).transpose()?,
            details: fields.optional(tag::DETAILS)?.map(details).transpose()?.unwrap_or_default(),
        };
        match fields.next {
            Some((tag, _)) => Err(EntryError::Field(tag)),
            None => fields.reader.end().map(|()| event),
        }
    }
}

/// The fields of an entry in the order of their tags.
struct Fields<'a> {
    left: u8,
    next: Option<(u8, &'a [u8])>,
    reader: Reader<'a>,
}

impl<'a> Fields<'a> {
    fn advance(&mut self, last: u8) -> Result<(), EntryError> {
        self.next = None;
        if let Some(left) = self.left.checked_sub(1) {
            let (tag, value) = (self.reader.byte()?, self.reader.value()?);
            if tag <= last {
                return Err(EntryError::Field(tag));
            }
            self.left = left;
            self.next = Some((tag, value));
        }
        Ok(())
    }

    fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, EntryError> {
        match self.next {
            Some((found, value)) if found == tag => self.advance(tag).map(|()| Some(value)),
            _ => Ok(None),
        }
    }

    fn required(&mut self, tag: u8) -> Result<&'a [u8], EntryError> {
        self.optional(tag)?.ok_or(EntryError::Field(tag))
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], EntryError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(EntryError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], EntryError> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(EntryError::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, EntryError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn value(&mut self) -> Result<&'a [u8], EntryError> {
        let length = u32::from_be_bytes(self.array()?);
        self.take(usize::try_from(length).map_err(|_| EntryError::Truncated)?)
    }

    const fn end(&self) -> Result<(), EntryError> {
        if self.0.is_empty() { Ok(()) } else { Err(EntryError::Trailing) }
    }
}

fn fixed<const N: usize>(value: &[u8], tag: u8) -> Result<[u8; N], EntryError> {
    value.try_into().map_err(|_| EntryError::Value(tag))
}

fn text(value: &[u8], tag: u8) -> Result<String, EntryError> {
    core::str::from_utf8(value).map(str::to_owned).map_err(|_| EntryError::Value(tag))
}

fn name(value: &[u8]) -> Result<String, EntryError> {
    let name = core::str::from_utf8(value).map_err(|_| EntryError::Name)?;
    if is_name(name) { Ok(name.to_owned()) } else { Err(EntryError::Name) }
}

fn timestamp(value: &[u8], tag: u8) -> Result<Timestamp, EntryError> {
    let micros = i64::from_be_bytes(fixed(value, tag)?);
    let time = Timestamp::from_unix_micros(micros);
    // Times outside RFC 3339's years would be held at the ends and so have two spellings.
    if time.as_unix_micros() == micros { Ok(time) } else { Err(EntryError::Value(tag)) }
}

fn action(value: &[u8]) -> Result<Action, EntryError> {
    let [code] = fixed(value, tag::ACTION)?;
    Action::from_code(char::from(code)).ok_or(EntryError::Value(tag::ACTION))
}

fn outcome(value: &[u8]) -> Result<Outcome, EntryError> {
    let [code] = fixed(value, tag::OUTCOME)?;
    Outcome::from_code(code).ok_or(EntryError::Value(tag::OUTCOME))
}

fn actor(value: &[u8]) -> Result<EventActor, EntryError> {
    let invalid = EntryError::Value(tag::ACTOR);
    let (kind, id) = value.split_first().ok_or(invalid)?;
    let known = |kind| {
        // Whether a shared name was allowed had to be decided when the event was written.
        Actor::shared_by_name(kind, text(id, tag::ACTOR)?).map(EventActor::Known).map_err(|_| invalid)
    };
    match *kind {
        tag::HUMAN => known(ActorKind::Human),
        tag::SERVICE => known(ActorKind::Service),
        tag::PATIENT_PROXY => Ok(EventActor::Pseudonymous(ActorKind::PatientProxy, pseudonym(id, tag::ACTOR)?)),
        _ => Err(invalid),
    }
}

fn pseudonym(value: &[u8], tag: u8) -> Result<Pseudonym, EntryError> {
    fixed(value, tag).map(Pseudonym::from_bytes)
}

fn purpose(value: &[u8]) -> Result<Purpose, EntryError> {
    Purpose::from_code(&text(value, tag::PURPOSE)?).ok_or(EntryError::Value(tag::PURPOSE))
}

fn resource(value: &[u8]) -> Result<(String, Pseudonym), EntryError> {
    let (id, kind) = value.split_first_chunk::<32>().ok_or(EntryError::Value(tag::RESOURCE))?;
    Ok((name(kind)?, Pseudonym::from_bytes(*id)))
}

fn details(value: &[u8]) -> Result<Vec<(String, Detail)>, EntryError> {
    let invalid = EntryError::Value(tag::DETAILS);
    let mut reader = Reader(value);
    let count = reader.byte()?;
    if count == 0 {
        return Err(invalid);
    }
    let mut details = Vec::new();
    for _ in 0..count {
        let length = reader.byte()?;
        let name = name(reader.take(usize::from(length))?)?;
        let kind = reader.byte()?;
        let value = reader.value()?;
        let detail = match kind {
            tag::TEXT => Detail::Text(Cow::Owned(text(value, tag::DETAILS)?)),
            tag::COUNT => Detail::Count(u64::from_be_bytes(fixed(value, tag::DETAILS)?)),
            tag::FLAG => match fixed(value, tag::DETAILS)? {
                [0] => Detail::Flag(false),
                [1] => Detail::Flag(true),
                _ => return Err(invalid),
            },
            tag::TIME => Detail::Time(timestamp(value, tag::DETAILS)?),
            tag::BYTES => Detail::Bytes(value.to_vec()),
            _ => return Err(invalid),
        };
        details.push((name, detail));
    }
    reader.end()?;
    Ok(details)
}
