//! Attacks by nothing but writing rows.

use core::mem::swap;

use super::super::parts::{copies, join};
use super::super::{Must, Violation};
use super::tables::Tables;
use crate::kms::{Binding, Wrapped, WrappedError};
use crate::store::{KeyRow, KeyState};

/// What rows look like after an attack.
pub(super) struct Forgery {
    pub(super) name: &'static str,
    /// What the same is called when the rows bear valid MACs.
    pub(super) signed_name: &'static str,
    /// Whether it is refused even then.
    pub(super) signed: Signed,
    /// Whose key the attacker wants to be used.
    pub(super) wants: Wants,
    pub(super) forge: fn(&mut Tables) -> Result<(), Violation>,
}

/// What is claimed of an attacker who has the store root key as well.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Signed {
    Refused,
    /// Where every KEK names its versions.
    RefusedWhereNamed,
    NotClaimed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    Data,
    Domain,
}

macro_rules! forgery {
    ($name:literal, $signed:ident, $wants:ident, $forge:expr) => {
        Forgery {
            name: $name,
            signed_name: concat!($name, ", with valid MACs"),
            signed: Signed::$signed,
            wants: Wants::$wants,
            forge: $forge,
        }
    };
}

fn wrapped(one: &mut KeyRow, other: &mut KeyRow) {
    swap(&mut one.wrapped, &mut other.wrapped);
}

fn keys(one: &mut KeyRow, other: &mut KeyRow) {
    wrapped(one, other);
    swap(&mut one.full_id, &mut other.full_id);
}

/// Changes the label of every copy.
fn relabel(row: &mut KeyRow, label: impl Fn(&Wrapped) -> Result<Wrapped, WrappedError>) -> Result<(), Violation> {
    let mut copies = copies(row)?;
    for (carrier, _) in &mut copies {
        *carrier = label(carrier).must("a label of a few bytes is short enough")?;
    }
    row.wrapped = join(&copies)?;
    Ok(())
}

fn labelled(carrier: &Wrapped, id: &str, version: &str, binding: Binding) -> Result<Wrapped, WrappedError> {
    Wrapped::new(id, version, binding, carrier.blob().to_vec())?.with_algorithm(carrier.algorithm())
}

pub(super) const FORGERIES: &[Forgery] = &[
    forgery!("swap the wrapped domain keys of two tenants", Refused, Domain, |tables| {
        wrapped(&mut tables.here, &mut tables.there);
        Ok(())
    }),
    forgery!("swap the wrapped domain keys of two tenants, with their ids", Refused, Domain, |tables| {
        keys(&mut tables.here, &mut tables.there);
        Ok(())
    }),
    forgery!("swap the wrapped domain keys of two uses, with their ids", Refused, Domain, |tables| {
        keys(&mut tables.here, &mut tables.index);
        Ok(())
    }),
    forgery!("swap the wrapped data keys of two tenants, with their ids", Refused, Data, |tables| {
        keys(&mut tables.data, &mut tables.data_there);
        Ok(())
    }),
    forgery!("swap the wrapped data keys of two patients", Refused, Data, |tables| {
        wrapped(&mut tables.data, &mut tables.other);
        Ok(())
    }),
    forgery!("swap the wrapped data keys of two patients, with their ids", Refused, Data, |tables| {
        keys(&mut tables.data, &mut tables.other);
        Ok(())
    }),
    forgery!("give a data key another version", Refused, Data, |tables| {
        tables.data.version = 2;
        Ok(())
    }),
    forgery!("give a domain key another version", Refused, Domain, |tables| {
        tables.here.version = 2;
        Ok(())
    }),
    forgery!("relabel the KEK id", Refused, Domain, |tables| {
        let ids = copies(&tables.here)?.into_iter().map(|(carrier, _)| carrier.kek_id().to_owned()).collect::<Vec<_>>();
        relabel(&mut tables.here, |carrier| {
            let other = ids.iter().find(|id| *id != carrier.kek_id()).map_or("another", String::as_str);
            labelled(carrier, other, carrier.kek_version(), carrier.binding())
        })
    }),
    forgery!("relabel the KEK version", RefusedWhereNamed, Domain, |tables| {
        relabel(&mut tables.here, |carrier| {
            labelled(carrier, carrier.kek_id(), "conformance-no-such-version", carrier.binding())
        })
    }),
    forgery!("strip the binding mode", Refused, Domain, |tables| {
        relabel(&mut tables.here, |carrier| {
            let other = if carrier.binding() == Binding::Native { Binding::Derivation } else { Binding::Native };
            labelled(carrier, carrier.kek_id(), carrier.kek_version(), other)
        })
    }),
    forgery!("rename the algorithm", Refused, Domain, |tables| {
        relabel(&mut tables.here, |carrier| carrier.clone().with_algorithm("conformance-no-such-algorithm"))
    }),
    forgery!("cross the carriers of two KEKs", Refused, Domain, |tables| {
        let mut copies = copies(&tables.here)?;
        if let [first, second] = &mut *copies {
            swap(&mut first.1, &mut second.1);
        }
        tables.here.wrapped = join(&copies)?;
        Ok(())
    }),
    forgery!("flip the state column of a domain key", NotClaimed, Domain, |tables| {
        tables.here.state = KeyState::DecryptOnly;
        Ok(())
    }),
    forgery!("flip the state column of a data key", NotClaimed, Data, |tables| {
        tables.data.state = KeyState::DecryptOnly;
        Ok(())
    }),
];
