//! Where sealed values belong and how they are found. These names are bound into ciphertexts and keys: they are for ever.

use phi_crypto::{BlindIndex, Context, IndexSpec, Transform};

use crate::fhir::Identifier;

/// Search by medical record number, whatever its case.
pub(super) const BY_MRN: IndexSpec = BlindIndex::exact("Patient", "mrn", "by_mrn", Transform::TrimLowercase);
/// Search by social security number, with or without hyphens.
pub(super) const BY_SSN: IndexSpec = BlindIndex::exact("Patient", "ssn", "by_ssn", Transform::Digits);
/// Recognises a patient that was imported before by the id that the source gives it.
pub(super) const BY_SOURCE: IndexSpec = BlindIndex::exact("Patient", "source_id", "by_source", Transform::Exact);
/// Recognises a bundle that was imported before by the digest of its bytes.
pub(super) const BY_CONTENT: IndexSpec = BlindIndex::exact("Bundle", "content", "by_content", Transform::Exact);

/// The scope of resources that concern no patient.
pub(super) const SHARED: &str = "directory";

/// An identifier of a patient; the patient's own id is the record id and, by the scope, the subject.
pub(super) fn identifier(kind: Identifier, patient: &str) -> Context<'_> {
    Context::new("Patient", kind.column()).record_id(patient)
}

/// A document. Its resource type is bound too, because it stands in clear beside it.
pub(super) fn document<'a>(id: &'a str, kind: &'a str) -> Context<'a> {
    Context::new("Document", "body").record_id(id).pair("kind", kind)
}
