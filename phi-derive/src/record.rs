//! A declaration that makes sense.

use syn::spanned::Spanned as _;
use syn::{
    Data, DeriveInput, Error, Field, Fields, GenericArgument, Ident, LitStr, Path, PathArguments, Result, Type,
    Visibility,
};

use crate::attributes::{Index, OnField, OnRecord};

pub(crate) struct Declared {
    pub(crate) visibility: Visibility,
    pub(crate) name: Ident,
    pub(crate) record: LitStr,
    pub(crate) sealed: Ident,
    pub(crate) derives: Vec<Path>,
    pub(crate) id: Ident,
    pub(crate) scope: Scope,
    pub(crate) fields: Vec<Member>,
}

pub(crate) enum Scope {
    /// The field that holds the patient.
    Subject(Ident),
    Group(LitStr),
}

pub(crate) struct Member {
    pub(crate) name: Ident,
    pub(crate) visibility: Visibility,
    pub(crate) kind: Kind,
}

pub(crate) enum Kind {
    Clear(Type),
    Sealed { value: Type, optional: bool, indexes: Vec<Index> },
}

impl Declared {
    pub(crate) fn read(input: &DeriveInput) -> Result<Self> {
        let Data::Struct(data) = &input.data else { return Err(not_a_struct(&input.ident)) };
        let Fields::Named(named) = &data.fields else { return Err(not_a_struct(&input.ident)) };
        if !input.generics.params.is_empty() {
            return Err(Error::new(input.generics.span(), "a record is a struct without parameters"));
        }
        let OnRecord { record, group, sealed, derives } = OnRecord::read(&input.attrs)?;
        let record = record.ok_or_else(|| {
            let says = "name the record type for ever with #[phi(record = \"Patient\")]: renaming the struct must not lose its data";
            Error::new(input.ident.span(), says)
        })?;
        if record.value().is_empty() {
            return Err(Error::new(record.span(), "the name of the record type is empty"));
        }
        let (mut id, mut subject, mut fields) = (None, None, Vec::new());
        for field in &named.named {
            let (member, on) = read_field(field)?;
            if on.id && id.replace(member.name.clone()).is_some() {
                return Err(Error::new(member.name.span(), "this is a second record id; a record has one"));
            }
            if on.subject && subject.replace(member.name.clone()).is_some() {
                return Err(Error::new(member.name.span(), "this is a second subject; a record is of one patient"));
            }
            fields.push(member);
        }
        let id = id.ok_or_else(|| {
            Error::new(
                input.ident.span(),
                "mark the field that holds the record id with #[phi(id)]: a value is bound to its record",
            )
        })?;
        let scope = match (subject, group) {
            (Some(_), Some(group)) => {
                return Err(Error::new(
                    group.span(),
                    "the record has both a subject and a group; its key is of one of them",
                ));
            }
            (Some(subject), None) => Scope::Subject(subject),
            (None, Some(group)) => Scope::Group(group),
            (None, None) => {
                let says = "say whose key seals the record: mark the patient's id with #[phi(subject)], or name a group with #[phi(group = \"…\")]";
                return Err(Error::new(input.ident.span(), says));
            }
        };
        unique_indexes(&fields)?;
        if !fields.iter().any(|member| matches!(member.kind, Kind::Sealed { .. })) {
            return Err(Error::new(
                input.ident.span(),
                "the record seals nothing; mark what is to be sealed with #[phi(seal)]",
            ));
        }
        let sealed = sealed.unwrap_or_else(|| quote::format_ident!("Sealed{}", input.ident));
        let (visibility, name) = (input.vis.clone(), input.ident.clone());
        Ok(Self { visibility, name, record, sealed, derives, id, scope, fields })
    }

    /// Every index, with the field that it is over and whether that may be absent.
    pub(crate) fn indexes(&self) -> impl Iterator<Item = (&Ident, bool, &Index)> {
        self.fields.iter().flat_map(|member| {
            let (optional, indexes) = match &member.kind {
                Kind::Sealed { optional, indexes, .. } => (*optional, indexes.as_slice()),
                Kind::Clear(_) => (false, &[][..]),
            };
            indexes.iter().map(move |index| (&member.name, optional, index))
        })
    }
}

fn not_a_struct(name: &Ident) -> Error {
    Error::new(name.span(), "a record is a struct with named fields")
}

fn read_field(field: &Field) -> Result<(Member, OnField)> {
    let Some(name) = field.ident.clone() else { return Err(Error::new(field.span(), "a field without a name")) };
    let mut on = OnField::read(&field.attrs)?;
    let phi = sealed_type(&field.ty);
    let is_key = on.id || on.subject;
    let kind = match (on.seal, on.clear || is_key) {
        (true, true) => return Err(Error::new(name.span(), "a field is one of sealed, clear, and an id")),
        (true, false) => {
            let Some((value, optional)) = phi else {
                return Err(Error::new(
                    field.ty.span(),
                    "a sealed field is a Phi<T> or an Option<Phi<T>>, so that nothing prints it",
                ));
            };
            Kind::Sealed { value, optional, indexes: core::mem::take(&mut on.indexes) }
        }
        (false, false) => {
            return Err(Error::new(
                name.span(),
                "say what is done to this field: #[phi(seal)], or #[phi(clear)] to store it as it is",
            ));
        }
        (false, true) if phi.is_some() => {
            return Err(Error::new(name.span(), "a Phi<T> is not stored in clear; seal it"));
        }
        (false, true) if !on.indexes.is_empty() => {
            return Err(Error::new(name.span(), "only a sealed field has a blind index"));
        }
        (false, true) => Kind::Clear(field.ty.clone()),
    };
    Ok((Member { name, visibility: field.vis.clone(), kind }, on))
}

/// The `T` of `Phi<T>` or `Option<Phi<T>>`, and whether it is the latter.
fn sealed_type(field: &Type) -> Option<(Type, bool)> {
    match argument(field, "Phi") {
        Some(value) => Some((value.clone(), false)),
        None => argument(argument(field, "Option")?, "Phi").map(|value| (value.clone(), true)),
    }
}

/// The one argument of a generic type of this name.
fn argument<'a>(field: &'a Type, name: &str) -> Option<&'a Type> {
    let Type::Path(path) = field else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match (arguments.args.len(), arguments.args.first()) {
        (1, Some(GenericArgument::Type(argument))) => Some(argument),
        _ => None,
    }
}

fn unique_indexes(fields: &[Member]) -> Result<()> {
    let mut seen: Vec<&Ident> = Vec::new();
    for member in fields {
        let Kind::Sealed { indexes, .. } = &member.kind else { continue };
        for index in indexes {
            if seen.contains(&&index.constant) {
                return Err(Error::new(index.constant.span(), "this is a second index of one name"));
            }
            seen.push(&index.constant);
        }
    }
    Ok(())
}
