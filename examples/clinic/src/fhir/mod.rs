//! FHIR R4 bundles: read within limits, checked whole before anything is stored, taken apart into what identifies a
//! patient and what is sealed as a document.

mod bundle;
mod compact;
mod fault;
mod identifier;
mod patient;
mod resource_types;

pub(crate) use bundle::{Bundle, Document, Patient};
pub(crate) use fault::{Fault, FaultKind};
pub(crate) use identifier::{Identifier, Identifiers};
pub(crate) use resource_types::known as resource_type;
