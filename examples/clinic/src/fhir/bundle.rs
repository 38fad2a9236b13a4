//! One bundle, read within limits and sorted by patient.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Read};

use phi_types::Phi;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::compact::compact;
use super::fault::{Fault, FaultKind};
use super::identifier::{Identifier, Identifiers};
use super::{patient, resource_types};

/// The largest bundle that is read. It is held in memory once as text and once sealed.
pub(crate) const MAX_BYTES: u64 = 16 << 20;
/// The most entries of one bundle, and so the most rows of one transaction.
pub(crate) const MAX_ENTRIES: usize = 20_000;

/// A checked bundle. `shared` holds what concerns no patient: organizations, practitioners, locations.
#[derive(Debug, Default)]
pub(crate) struct Bundle {
    pub(crate) patients: Vec<Patient>,
    pub(crate) shared: Vec<Document>,
}

/// A patient with everything of the bundle that is theirs, the Patient resource itself included.
#[derive(Debug)]
pub(crate) struct Patient {
    pub(crate) entry: usize,
    pub(crate) identifiers: Identifiers,
    pub(crate) documents: Vec<Document>,
}

/// A resource as it was given, without white space. Sealed whole, because dates, references and display names occur
/// anywhere in it.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) kind: &'static str,
    pub(crate) body: Phi<Vec<u8>>,
}

#[derive(Deserialize)]
struct RawBundle<'a> {
    #[serde(borrow, rename = "resourceType")]
    resource_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    entry: Option<Vec<RawEntry<'a>>>,
}

#[derive(Deserialize)]
struct RawEntry<'a> {
    #[serde(borrow, rename = "fullUrl")]
    full_url: Option<Cow<'a, str>>,
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
}

/// What every resource may say about itself and its patient.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, rename = "resourceType")]
    resource_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    subject: Option<&'a RawValue>,
    #[serde(borrow)]
    patient: Option<&'a RawValue>,
    #[serde(borrow)]
    beneficiary: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(borrow)]
    reference: Option<Cow<'a, str>>,
}

/// Where a resource belongs.
#[derive(Clone, Copy)]
enum Owner {
    Patient(usize),
    Nobody,
}

impl Bundle {
    /// Reads and checks a whole bundle; at most [`MAX_BYTES`] + 1 bytes are taken from `input`.
    pub(crate) fn read(input: impl Read) -> io::Result<Result<(Self, Vec<u8>), Fault>> {
        let mut bytes = Vec::new();
        input.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Ok(Err(FaultKind::Oversized.whole()));
        }
        Ok(Self::parse(&bytes).map(|bundle| (bundle, bytes)))
    }

    /// Checks a whole bundle.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let raw: RawBundle<'_> = serde_json::from_slice(bytes).map_err(|error| match json_fault(&error) {
            FaultKind::NotFhir { .. } => FaultKind::NotBundle.whole(),
            other => other.whole(),
        })?;
        if raw.resource_type.as_deref() != Some("Bundle") {
            return Err(FaultKind::NotBundle.whole());
        }
        let entries = raw.entry.unwrap_or_default();
        if entries.is_empty() {
            return Err(FaultKind::NotBundle.whole());
        }
        if entries.len() > MAX_ENTRIES {
            return Err(FaultKind::TooManyEntries.whole());
        }
        let mut bundle = Self::default();
        let mut owners = HashMap::new();
        let mut rest = Vec::new();
        // Patients first: a record may stand before the Patient it refers to.
        for (index, entry) in entries.iter().enumerate() {
            let number = index + 1;
            // Serde would also read a struct from an array.
            let resource = entry.resource.filter(|resource| resource.get().starts_with('{'));
            let resource = resource.ok_or_else(|| FaultKind::NoResource.at(number))?;
            let head: Head<'_> = from_raw(resource, number)?;
            let kind = head.resource_type.as_deref().and_then(resource_types::known);
            let kind = kind.ok_or_else(|| FaultKind::UnknownType.at(number))?;
            let body = compact(resource.get()).map_err(|fault| fault.at(number))?;
            let document = Document { kind, body: Phi::new(body) };
            let owner = if kind == "Patient" {
                let patient = patient_of(resource, entry, &head, number)?;
                bundle.patients.push(Patient { documents: vec![document], ..patient });
                Owner::Patient(bundle.patients.len() - 1)
            } else {
                rest.push((number, head_reference(&head, number)?, document));
                Owner::Nobody
            };
            for name in names_of(kind, entry, &head) {
                if let Some(previous) = owners.insert(name, owner)
                    && (matches!(owner, Owner::Patient(_)) || matches!(previous, Owner::Patient(_)))
                {
                    return Err(FaultKind::DuplicatePatient.at(number));
                }
            }
        }
        let only_patient = bundle.patients.len() == 1;
        for (number, reference, document) in rest {
            let owner = match reference.as_deref() {
                Some(reference) => resolve(&owners, reference).ok_or_else(|| FaultKind::ForeignPatient.at(number))?,
                None => Owner::Nobody,
            };
            let home = match owner {
                Owner::Patient(index) => bundle.patients.get_mut(index),
                // What comes in one patient's bundle is part of what identifies that patient's care.
                Owner::Nobody if only_patient => bundle.patients.first_mut(),
                Owner::Nobody => None,
            };
            home.map_or(&mut bundle.shared, |patient| &mut patient.documents).push(document);
        }
        Ok(bundle)
    }
}

fn patient_of(resource: &RawValue, entry: &RawEntry<'_>, head: &Head<'_>, number: usize) -> Result<Patient, Fault> {
    let parsed: patient::Resource = from_raw(resource, number)?;
    let mut identifiers = parsed.identifiers().map_err(|fault| fault.at(number))?;
    let source = head.id.as_deref().or_else(|| entry.full_url.as_deref().map(last_part));
    let source = source.map(str::trim).filter(|id| !id.is_empty()).ok_or_else(|| FaultKind::NoPatientId.at(number))?;
    identifiers.add(Identifier::SourceId, source);
    Ok(Patient { entry: number, identifiers, documents: Vec::new() })
}

/// The names by which other entries can refer to this one.
fn names_of(kind: &str, entry: &RawEntry<'_>, head: &Head<'_>) -> Vec<String> {
    let relative = head.id.as_deref().map(|id| format!("{kind}/{id}"));
    let mut names: Vec<_> = entry.full_url.as_deref().map(str::to_owned).into_iter().chain(relative).collect();
    names.dedup();
    names
}

/// Whom a reference means: an entry of the bundle, or nobody when it names something that is not a patient.
fn resolve(owners: &HashMap<String, Owner>, reference: &str) -> Option<Owner> {
    let relative = || {
        let (rest, id) = reference.rsplit_once('/')?;
        Some(format!("{}/{id}", last_part(rest)))
    };
    if let Some(owner) = owners.get(reference).or_else(|| owners.get(&relative()?)) {
        return Some(*owner);
    }
    let other_type = relative().is_some_and(|name| !name.starts_with("Patient/"));
    // `#contained` is inside the resource itself.
    (other_type || reference.starts_with('#')).then_some(Owner::Nobody)
}

fn head_reference(head: &Head<'_>, number: usize) -> Result<Option<String>, Fault> {
    for value in [head.patient, head.subject, head.beneficiary].into_iter().flatten() {
        // Some resource types use these names for a list or a code, which says nothing about a patient.
        if let Some('{') = value.get().trim_start().chars().next() {
            let reference: Reference<'_> = from_raw(value, number)?;
            if let Some(reference) = reference.reference {
                return Ok(Some(reference.into_owned()));
            }
        }
    }
    Ok(None)
}

fn last_part(reference: &str) -> &str {
    reference.rsplit(['/', ':']).next().unwrap_or(reference)
}

fn from_raw<'a, T: Deserialize<'a>>(raw: &'a RawValue, number: usize) -> Result<T, Fault> {
    serde_json::from_str(raw.get()).map_err(|error| json_fault(&error).at(number))
}

/// Only the place is kept of a JSON error: its text can quote the input.
fn json_fault(error: &serde_json::Error) -> FaultKind {
    let (line, column) = (error.line(), error.column());
    match error.classify() {
        serde_json::error::Category::Eof => FaultKind::Truncated,
        serde_json::error::Category::Data => FaultKind::NotFhir { line, column },
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => FaultKind::NotJson { line, column },
    }
}

#[cfg(test)]
#[path = "bundle_tests.rs"]
mod tests;
