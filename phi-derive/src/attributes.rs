//! What `#[phi(…)]` may say.

use proc_macro2::Span;
use syn::meta::ParseNestedMeta;
use syn::parse::Parse;
use syn::{Attribute, Error, Expr, Ident, LitInt, LitStr, Path, Result, Token};

/// What stands before the struct.
#[derive(Default)]
pub(crate) struct OnRecord {
    pub(crate) record: Option<LitStr>,
    pub(crate) group: Option<LitStr>,
    pub(crate) sealed: Option<Ident>,
    pub(crate) derives: Vec<Path>,
}

impl OnRecord {
    pub(crate) fn read(attributes: &[Attribute]) -> Result<Self> {
        let mut read = Self::default();
        each(attributes, |meta| {
            if meta.path.is_ident("record") {
                once(&mut read.record, &meta)
            } else if meta.path.is_ident("group") {
                once(&mut read.group, &meta)
            } else if meta.path.is_ident("sealed") {
                once(&mut read.sealed, &meta)
            } else if meta.path.is_ident("derive") {
                meta.parse_nested_meta(|derive| {
                    read.derives.push(derive.path);
                    Ok(())
                })
            } else {
                Err(meta.error("one of record, group, sealed and derive is meant"))
            }
        })?;
        Ok(read)
    }
}

/// What stands before a field.
#[derive(Default)]
pub(crate) struct OnField {
    pub(crate) id: bool,
    pub(crate) subject: bool,
    pub(crate) seal: bool,
    pub(crate) clear: bool,
    pub(crate) indexes: Vec<Index>,
}

/// One `index(NAME = transform, …)`.
pub(crate) struct Index {
    pub(crate) constant: Ident,
    pub(crate) transform: Expr,
    pub(crate) name: Option<LitStr>,
    pub(crate) column: Option<Ident>,
    pub(crate) bits: Option<LitInt>,
    pub(crate) version: Option<LitInt>,
    pub(crate) replaces: Option<Expr>,
}

impl OnField {
    pub(crate) fn read(attributes: &[Attribute]) -> Result<Self> {
        let mut read = Self::default();
        each(attributes, |meta| {
            let place = if meta.path.is_ident("id") {
                &mut read.id
            } else if meta.path.is_ident("subject") {
                &mut read.subject
            } else if meta.path.is_ident("seal") {
                &mut read.seal
            } else if meta.path.is_ident("clear") {
                &mut read.clear
            } else if meta.path.is_ident("index") {
                read.indexes.push(Index::read(&meta)?);
                return Ok(());
            } else {
                return Err(meta.error("one of id, subject, seal, clear and index is meant"));
            };
            if core::mem::replace(place, true) { Err(meta.error("this is said twice")) } else { Ok(()) }
        })?;
        Ok(read)
    }
}

impl Index {
    fn read(meta: &ParseNestedMeta<'_>) -> Result<Self> {
        let span = meta.path.get_ident().map_or_else(Span::call_site, Ident::span);
        let mut named: Option<(Ident, Expr)> = None;
        let (mut name, mut column, mut bits, mut version, mut replaces) = (None, None, None, None, None);
        meta.parse_nested_meta(|option| match named {
            None => {
                let constant = option.path.require_ident()?.clone();
                named = Some((constant, option.value()?.parse()?));
                Ok(())
            }
            Some(_) if option.path.is_ident("name") => once(&mut name, &option),
            Some(_) if option.path.is_ident("column") => once(&mut column, &option),
            Some(_) if option.path.is_ident("bits") => once(&mut bits, &option),
            Some(_) if option.path.is_ident("version") => once(&mut version, &option),
            Some(_) if option.path.is_ident("replaces") => once(&mut replaces, &option),
            Some(_) => Err(option.error("one of name, column, bits, version and replaces is meant")),
        })?;
        let (constant, transform) = named.ok_or_else(|| {
            Error::new(
                span,
                "an index is declared as index(NAME = transform), such as index(BY_SSN = Transform::Digits)",
            )
        })?;
        Ok(Self { constant, transform, name, column, bits, version, replaces })
    }
}

/// Calls `take` with every entry of every `#[phi(…)]`.
fn each(attributes: &[Attribute], mut take: impl FnMut(ParseNestedMeta<'_>) -> Result<()>) -> Result<()> {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("phi")) {
        attribute.parse_nested_meta(&mut take)?;
    }
    Ok(())
}

/// The value behind `=`, which may be given once.
fn once<T: Parse>(place: &mut Option<T>, meta: &ParseNestedMeta<'_>) -> Result<()> {
    if !meta.input.peek(Token![=]) {
        return Err(meta.error("a value is missing: name = value"));
    }
    match place.replace(meta.value()?.parse()?) {
        None => Ok(()),
        Some(_) => Err(meta.error("this is said twice")),
    }
}
