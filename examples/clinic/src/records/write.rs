//! Storing a bundle, whole or not at all.

use phi_crypto::Sealed;
use phi_keys::Scope;
use phi_types::{Clock, Recorder, SubjectId};
use ring::digest::{SHA256, digest};
use sqlx::{QueryBuilder, Sqlite, Transaction};

use super::Records;
use super::begun::{record_begun, record_done};
use super::place::{self, BY_CONTENT};
use super::tags::Tags;
use crate::failure::{Doing, Failure};
use crate::fhir::{Bundle, Document, Fault, Identifier, Patient};
use crate::{hex, random};

/// What became of a bundle.
#[derive(Debug)]
pub(crate) enum Stored {
    /// Its patients, by their new record ids.
    New(Vec<SubjectId>),
    /// The same bytes were imported before.
    Before,
    /// It contradicts what is stored.
    Refused(Fault),
}

struct SealedPatient {
    id: SubjectId,
    tags: Tags,
    fields: Vec<(Identifier, Sealed<String>)>,
    documents: Vec<SealedDocument>,
}

struct SealedDocument {
    id: String,
    kind: &'static str,
    body: Sealed<Vec<u8>>,
}

/// Keys are made and audit entries written outside of the transaction: they use connections of their own, which a
/// transaction here would keep waiting. So each patient's id is written down before all of it: an import that fails
/// anywhere goes on from there when the same patient is imported again.
impl Records {
    /// Seals and stores a bundle in one transaction. `bytes` are what it was read from.
    pub(crate) async fn store(
        &self,
        bundle: &Bundle,
        bytes: &[u8],
        recorder: &dyn Recorder,
        clock: &dyn Clock,
    ) -> Result<Stored, Failure> {
        let content = BY_CONTENT.open(&self.keys).await.doing("opening an index")?;
        let digest = hex::encode(digest(&SHA256, bytes).as_ref());
        let content = content.tag(&digest).doing("computing a tag")?;
        if self.exists("SELECT 1 FROM clinic_bundles WHERE tag = ?", content).await? {
            return Ok(Stored::Before);
        }
        // Everybody is checked before anybody gets a key: a refused bundle leaves nothing behind.
        let tags = match self.tags(&bundle.patients).await? {
            Ok(tags) => tags,
            Err(fault) => return Ok(Stored::Refused(fault)),
        };
        let ids = self.begin(&tags).await?;
        for id in &ids {
            record_begun(id, recorder, clock).await?;
        }
        let mut patients = Vec::with_capacity(bundle.patients.len());
        for ((patient, tags), id) in bundle.patients.iter().zip(tags).zip(&ids) {
            patients.push(self.seal_patient(patient, tags, id.clone()).await?);
        }
        let shared = self.seal_documents(&Scope::group(place::SHARED), &bundle.shared).await?;

        let doing = "storing a bundle";
        let mut tx = self.db.begin_with("BEGIN IMMEDIATE").await.doing(doing)?;
        sqlx::query("INSERT INTO clinic_bundles (tag) VALUES (?)")
            .bind(content)
            .execute(&mut *tx)
            .await
            .doing(doing)?;
        for patient in &patients {
            insert_patient(&mut tx, patient).await?;
            insert_documents(&mut tx, Some(patient.id.expose()), &patient.documents).await?;
        }
        insert_documents(&mut tx, None, &shared).await?;
        tx.commit().await.doing(doing)?;
        // From here on they are stored, whatever happens; `settle` records whom this does not get to.
        for patient in &patients {
            record_done(&patient.id, patient.documents.len() as u64, recorder, clock).await?;
        }
        self.end(&ids).await?;
        Ok(Stored::New(ids))
    }

    async fn seal_patient(&self, patient: &Patient, tags: Tags, id: SubjectId) -> Result<SealedPatient, Failure> {
        let scope = Scope::subject(&id);
        let sealer = self.sealer.for_scope(&scope).await.doing("obtaining a patient's key")?;
        let items: Vec<_> =
            patient.identifiers.iter().map(|(kind, value)| (value, place::identifier(kind, id.expose()))).collect();
        let sealed = sealer.seal_many(&items).doing("sealing identifiers")?;
        drop(items);
        let fields = patient.identifiers.iter().map(|(kind, _)| kind).zip(sealed).collect();
        let documents = self.seal_documents(&scope, &patient.documents).await?;
        Ok(SealedPatient { id, tags, fields, documents })
    }

    async fn seal_documents(&self, scope: &Scope, documents: &[Document]) -> Result<Vec<SealedDocument>, Failure> {
        if documents.is_empty() {
            return Ok(Vec::new());
        }
        let sealer = self.sealer.for_scope(scope).await.doing("obtaining a key")?;
        let ids: Vec<String> =
            documents.iter().map(|_| random::record_id().map(|id| id.to_string())).collect::<Result<_, _>>()?;
        let items: Vec<_> = documents
            .iter()
            .zip(&ids)
            .map(|(document, id)| (&document.body, place::document(id, document.kind)))
            .collect();
        let bodies = sealer.seal_many(&items).doing("sealing documents")?;
        drop(items);
        let rows = documents.iter().zip(ids).zip(bodies);
        Ok(rows.map(|((document, id), body)| SealedDocument { id, kind: document.kind, body }).collect())
    }
}

async fn insert_patient(tx: &mut Transaction<'_, Sqlite>, patient: &SealedPatient) -> Result<(), Failure> {
    let mut query = QueryBuilder::new("INSERT INTO clinic_patients (id, source_tag, mrn_tag, ssn_tag");
    for (kind, _) in &patient.fields {
        query.push(", ").push(kind.column());
    }
    query.push(") VALUES (").push_bind(patient.id.expose());
    for tag in [patient.tags.source, patient.tags.mrn, patient.tags.ssn] {
        query.push(", ").push_bind(tag);
    }
    for (_, sealed) in &patient.fields {
        query.push(", ").push_bind(sealed);
    }
    query.push(")").build().execute(&mut **tx).await.doing("storing a patient")?;
    Ok(())
}

async fn insert_documents(
    tx: &mut Transaction<'_, Sqlite>,
    patient: Option<&str>,
    documents: &[SealedDocument],
) -> Result<(), Failure> {
    for document in documents {
        sqlx::query("INSERT INTO clinic_documents (id, patient, kind, body) VALUES (?, ?, ?, ?)")
            .bind(&document.id)
            .bind(patient)
            .bind(document.kind)
            .bind(&document.body)
            .execute(&mut **tx)
            .await
            .doing("storing a document")?;
    }
    Ok(())
}
