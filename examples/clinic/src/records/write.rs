//! Storing a bundle, whole or not at all.

use phi_crypto::{Sealed, Tag};
use phi_keys::Scope;
use phi_types::{Action, Activity, Actor, Clock, Outcome, Recorder, SubjectId};
use ring::digest::{SHA256, digest};
use sqlx::{QueryBuilder, Sqlite, Transaction};

use super::Records;
use super::place::{self, BY_CONTENT, BY_MRN, BY_SOURCE, BY_SSN};
use crate::failure::{Doing, Failure};
use crate::fhir::{Bundle, Document, Fault, FaultKind, Identifier, Patient};
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
    id: String,
    source_tag: Option<Tag>,
    mrn_tag: Option<Tag>,
    ssn_tag: Option<Tag>,
    fields: Vec<(Identifier, Sealed<String>)>,
    documents: Vec<SealedDocument>,
}

struct SealedDocument {
    id: String,
    kind: &'static str,
    body: Sealed<Vec<u8>>,
}

/// The numbers of the tables as the bundle fills them, each known before the transaction begins: keys and audit entries
/// are written by connections of their own, which a transaction here would keep waiting.
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
        let mut patients = Vec::with_capacity(bundle.patients.len());
        for patient in &bundle.patients {
            match self.seal_patient(patient).await? {
                Ok(sealed) => patients.push(sealed),
                Err(fault) => return Ok(Stored::Refused(fault)),
            }
        }
        let shared = self.seal_documents(&Scope::group(place::SHARED), &bundle.shared).await?;
        let mut subjects = Vec::with_capacity(patients.len());
        for patient in &patients {
            let subject = SubjectId::new(patient.id.as_str()).doing("naming a patient")?;
            record_import(&subject, patient.documents.len() as u64, recorder, clock).await?;
            subjects.push(subject);
        }

        let doing = "storing a bundle";
        let mut tx = self.db.begin_with("BEGIN IMMEDIATE").await.doing(doing)?;
        sqlx::query("INSERT INTO clinic_bundles (tag) VALUES (?)")
            .bind(content)
            .execute(&mut *tx)
            .await
            .doing(doing)?;
        for patient in patients {
            let id = patient.id.clone();
            insert_patient(&mut tx, &patient).await?;
            insert_documents(&mut tx, Some(&id), &patient.documents).await?;
        }
        insert_documents(&mut tx, None, &shared).await?;
        tx.commit().await.doing(doing)?;
        Ok(Stored::New(subjects))
    }

    async fn seal_patient(&self, patient: &Patient) -> Result<Result<SealedPatient, Fault>, Failure> {
        let tag = async |spec: phi_crypto::IndexSpec, kind| {
            let index = spec.open(&self.keys).await.doing("opening an index")?;
            let value = patient.identifiers.get(kind);
            let tag = value.map(|value| index.tag(value.expose())).transpose();
            Ok::<_, Failure>(tag.doing("computing a tag")?.flatten())
        };
        let source_tag = tag(BY_SOURCE, Identifier::SourceId).await?;
        let mrn_tag = tag(BY_MRN, Identifier::Mrn).await?;
        let ssn_tag = tag(BY_SSN, Identifier::Ssn).await?;
        if self.exists("SELECT 1 FROM clinic_patients WHERE source_tag = ?", source_tag).await? {
            return Ok(Err(FaultKind::AlreadyImported.at(patient.entry)));
        }
        if self.exists("SELECT 1 FROM clinic_patients WHERE mrn_tag = ?", mrn_tag).await? {
            return Ok(Err(FaultKind::MrnTaken.at(patient.entry)));
        }

        let id = random::record_id()?.to_string();
        let subject = SubjectId::new(id.as_str()).doing("naming a patient")?;
        let scope = Scope::subject(&subject);
        let sealer = self.sealer.for_scope(&scope).await.doing("obtaining a patient's key")?;
        let items: Vec<_> =
            patient.identifiers.iter().map(|(kind, value)| (value, place::identifier(kind, &id))).collect();
        let sealed = sealer.seal_many(&items).doing("sealing identifiers")?;
        let fields = patient.identifiers.iter().map(|(kind, _)| kind).zip(sealed).collect();
        let documents = self.seal_documents(&scope, &patient.documents).await?;
        Ok(Ok(SealedPatient { id, source_tag, mrn_tag, ssn_tag, fields, documents }))
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

    /// Whether a row has this tag; nothing has the tag that is none.
    async fn exists(&self, query: &'static str, tag: Option<Tag>) -> Result<bool, Failure> {
        let row = sqlx::query(query).bind(tag).fetch_optional(&self.db).await;
        row.map(|row| row.is_some()).doing("looking for a tag")
    }
}

/// Who imports: the clinic itself, by an account name of its own.
async fn record_import(
    subject: &SubjectId,
    documents: u64,
    recorder: &dyn Recorder,
    clock: &dyn Clock,
) -> Result<(), Failure> {
    let actor = Actor::service("clinic-import").doing("naming the import")?;
    let activity = Activity::new("patient.import", Action::Create, Outcome::Success, clock.now())
        .by(actor)
        .about(subject.clone())
        .with("documents", documents);
    recorder.record(activity).await.doing("recording an import")
}

async fn insert_patient(tx: &mut Transaction<'_, Sqlite>, patient: &SealedPatient) -> Result<(), Failure> {
    let mut query = QueryBuilder::new("INSERT INTO clinic_patients (id, source_tag, mrn_tag, ssn_tag");
    for (kind, _) in &patient.fields {
        query.push(", ").push(kind.column());
    }
    query.push(") VALUES (").push_bind(&patient.id);
    for tag in [patient.source_tag, patient.mrn_tag, patient.ssn_tag] {
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
