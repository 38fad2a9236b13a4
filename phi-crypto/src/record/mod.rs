//! Whole records: their names as constants of the code, and all their fields sealed and opened together.

mod error;
mod key;

use core::future::Future;

use phi_keys::{KeyId, Keys, Scope};

use crate::{IndexError, IndexSpec, ScopedOpener, ScopedSealer};

pub use error::RecordError;
pub use key::RecordKey;
#[cfg(feature = "derive")]
pub use phi_derive::Record;

/// A record whose fields are sealed. With feature `derive`, a struct gets it by `#[derive(Record)]`.
///
/// ```
/// # #[cfg(feature = "derive")] mod example {
/// use phi_crypto::{Opener, Phi, Record, Sealer, SubjectId, Transform};
///
/// #[derive(Record)]
/// #[phi(record = "Patient")]
/// struct Patient {
///     #[phi(id, subject)]
///     id: SubjectId,
///     #[phi(seal)]
///     name: Phi<String>,
///     #[phi(seal, index(BY_SSN = Transform::Digits))]
///     ssn: Option<Phi<String>>,
///     #[phi(clear)]
///     ward: i64,
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # pub async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore};
/// # let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).build().await?;
/// let (sealer, opener) = (Sealer::builder(keys.clone()).build(), Opener::builder(keys.clone()).build());
/// let (name, ssn) = (Phi::new("Ada Lovelace".to_owned()), Some(Phi::new("078-05-1120".to_owned())));
/// let ada = Patient { id: SubjectId::new("7431")?, name, ssn, ward: 3 };
///
/// // To be stored: `SealedPatient { id, name: Sealed<String>, ssn: Option<Sealed<String>>, ssn_tag: Option<Tag>, ward }`.
/// let stored: SealedPatient = ada.seal(&sealer.for_scope(&ada.scope()).await?, &Patient::open_indexes(&keys).await?)?;
/// assert_eq!(Patient::COLUMNS, ["id", "name", "ssn", "ssn_tag", "ward"]);
/// assert_eq!(stored.ssn_tag, Patient::BY_SSN.open(&keys).await?.tag("078051120")?);
///
/// let opener = opener.for_kids(&Patient::sealed_scope(&stored), Patient::kids(&stored)).await?;
/// assert_eq!(Patient::open(&stored, &opener)?.name.expose(), "Ada Lovelace");
/// // Or a single field, whose place cannot be named without the record.
/// assert_eq!(opener.open(&stored.name, &Patient::NAME.record_id(&stored.id))?.expose(), "Ada Lovelace");
/// # Ok(()) }
/// # }
/// # #[cfg(feature = "derive")] example::main().unwrap();
/// ```
///
/// # What the derive takes
/// Before the struct, in `#[phi(…)]`:
/// - `record = "Patient"`: the record type, for ever; renaming the struct changes nothing.
/// - `group = "directory"`: the group whose key seals the record, where it is of no one patient.
/// - `sealed = StoredPatient`: the name of the stored form, `SealedPatient` unless given; `derive(sqlx::FromRow)`: what is
///   derived for it.
///
/// Before each field, one of:
/// - `id`: the record id, which every sealed field is bound to; its type is a [`RecordKey`]. Stored in clear.
/// - `subject`: the patient, whose key seals the record, a `SubjectId`. Stored in clear; may be the `id` as well.
/// - `seal`: sealed. The field is a `Phi<T>` or an `Option<Phi<T>>`; absent is `NULL`.
/// - `clear`: stored as it is. Nothing is in clear without saying so.
///
/// Beside `seal`, any number of `index(BY_SSN = Transform::Digits)`: a constant of that name, and a column `ssn_tag`.
/// `name = "…"` (the constant's in lower case unless given), `column = …`, `bits = …`, `version = …` and
/// `replaces = OLD` are options.
///
/// # What does not compile
/// A record without an id:
/// ```compile_fail
/// #[derive(phi_crypto::Record)]
/// #[phi(record = "Bed", group = "ward")]
/// struct Bed {
///     #[phi(clear)]
///     number: i64,
///     #[phi(seal)]
///     occupant: phi_crypto::Phi<String>,
/// }
/// ```
/// The same with one:
/// ```
/// # #[cfg(feature = "derive")] mod example {
/// #[derive(phi_crypto::Record)]
/// #[phi(record = "Bed", group = "ward")]
/// struct Bed {
///     #[phi(id)]
///     number: i64,
///     #[phi(seal)]
///     occupant: phi_crypto::Phi<String>,
/// }
/// # }
/// ```
/// A sealed field that could be printed, an index over one that is no text, and a subject that is none:
/// ```compile_fail
/// #[derive(phi_crypto::Record)]
/// #[phi(record = "Bed", group = "ward")]
/// struct Bed {
///     #[phi(id)]
///     number: i64,
///     #[phi(seal)]
///     occupant: String,
/// }
/// ```
/// ```compile_fail
/// #[derive(phi_crypto::Record)]
/// #[phi(record = "Bed", group = "ward")]
/// struct Bed {
///     #[phi(id)]
///     number: i64,
///     #[phi(seal, index(BY_OCCUPANT = phi_crypto::Transform::Exact))]
///     occupant: phi_crypto::Phi<Vec<u8>>,
/// }
/// ```
/// ```compile_fail
/// #[derive(phi_crypto::Record)]
/// #[phi(record = "Bed")]
/// struct Bed {
///     #[phi(id, subject)]
///     number: i64,
///     #[phi(seal)]
///     occupant: phi_crypto::Phi<String>,
/// }
/// ```
/// A place without a record, where a [`Field`](crate::Field) is opened as it stands:
/// ```compile_fail
/// # use phi_crypto::{Field, Phi, ScopedOpener, Sealed};
/// const NAME: Field = Field::new("Patient", "name");
/// fn name(opener: &ScopedOpener, stored: &Sealed<String>) -> Option<Phi<String>> {
///     opener.open(stored, &NAME).ok()
/// }
/// ```
/// ```
/// # use phi_crypto::{Field, Phi, ScopedOpener, Sealed};
/// const NAME: Field = Field::new("Patient", "name");
/// fn name(opener: &ScopedOpener, stored: &Sealed<String>) -> Option<Phi<String>> {
///     opener.open(stored, &NAME.record_id("7431")).ok()
/// }
/// ```
pub trait Record: Sized {
    /// The name of the record type, bound into every sealed field.
    const RECORD_TYPE: &'static str;
    /// The names of the sealed fields, bound into each.
    const FIELDS: &'static [&'static str];
    /// The columns of the stored form, in its order.
    const COLUMNS: &'static [&'static str];
    /// The blind indexes.
    const INDEXES: &'static [IndexSpec];
    /// The stored form.
    type Sealed;
    /// The opened indexes.
    type Indexes;

    /// Whose key seals the record.
    fn scope(&self) -> Scope;

    /// Whose key sealed a stored record.
    fn sealed_scope(sealed: &Self::Sealed) -> Scope;

    /// The keys that open a stored record, for [`Opener::for_kids`](crate::Opener::for_kids).
    fn kids(sealed: &Self::Sealed) -> Vec<KeyId>;

    /// Opens the indexes under a tenant's key; valid while the lease of that key is.
    ///
    /// # Errors
    /// [`IndexError`] when the tenant's index key cannot be had.
    fn open_indexes(keys: &Keys) -> impl Future<Output = Result<Self::Indexes, IndexError>> + Send;

    /// Seals every field in its place and computes the tags.
    ///
    /// # Errors
    /// [`RecordError`] for the first field that cannot be sealed or indexed.
    fn seal(&self, sealer: &ScopedSealer, indexes: &Self::Indexes) -> Result<Self::Sealed, RecordError>;

    /// Opens every field. For a record of which only some fields are needed, open those: what is not opened needs no
    /// audit.
    ///
    /// # Errors
    /// [`RecordError`] for the first field that does not open.
    fn open(sealed: &Self::Sealed, opener: &ScopedOpener) -> Result<Self, RecordError>;
}
