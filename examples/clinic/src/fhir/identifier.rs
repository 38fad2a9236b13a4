//! What identifies a patient, by the list of 45 CFR 164.514(b)(2)(i).

use std::collections::BTreeMap;

use phi_types::Phi;

/// One kind of identifier that a Patient resource can carry. Each is a sealed column of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Identifier {
    Name,
    MaidenName,
    MothersMaidenName,
    Address,
    BirthPlace,
    Geolocation,
    BirthDate,
    DeathDate,
    Phone,
    Fax,
    Email,
    Ssn,
    Mrn,
    HealthPlan,
    Licence,
    Passport,
    Web,
    Photo,
    OtherId,
    Contact,
    Narrative,
    SourceId,
}

impl Identifier {
    pub(crate) const ALL: [Self; 22] = [
        Self::Name,
        Self::MaidenName,
        Self::MothersMaidenName,
        Self::Address,
        Self::BirthPlace,
        Self::Geolocation,
        Self::BirthDate,
        Self::DeathDate,
        Self::Phone,
        Self::Fax,
        Self::Email,
        Self::Ssn,
        Self::Mrn,
        Self::HealthPlan,
        Self::Licence,
        Self::Passport,
        Self::Web,
        Self::Photo,
        Self::OtherId,
        Self::Contact,
        Self::Narrative,
        Self::SourceId,
    ];

    /// The column, which is also the field that the ciphertext is bound to. Renaming one makes old values unreadable.
    pub(crate) const fn column(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::MaidenName => "maiden_name",
            Self::MothersMaidenName => "mothers_maiden_name",
            Self::Address => "address",
            Self::BirthPlace => "birth_place",
            Self::Geolocation => "geolocation",
            Self::BirthDate => "birth_date",
            Self::DeathDate => "death_date",
            Self::Phone => "phone",
            Self::Fax => "fax",
            Self::Email => "email",
            Self::Ssn => "ssn",
            Self::Mrn => "mrn",
            Self::HealthPlan => "health_plan",
            Self::Licence => "licence",
            Self::Passport => "passport",
            Self::Web => "web",
            Self::Photo => "photo",
            Self::OtherId => "other_id",
            Self::Contact => "contact",
            Self::Narrative => "narrative",
            Self::SourceId => "source_id",
        }
    }

    /// What the chart page calls it.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Name => "Name",
            Self::MaidenName => "Maiden name",
            Self::MothersMaidenName => "Mother's maiden name",
            Self::Address => "Address",
            Self::BirthPlace => "Birth place",
            Self::Geolocation => "Geolocation",
            Self::BirthDate => "Date of birth",
            Self::DeathDate => "Date of death",
            Self::Phone => "Telephone",
            Self::Fax => "Fax",
            Self::Email => "E-mail",
            Self::Ssn => "Social security number",
            Self::Mrn => "Medical record number",
            Self::HealthPlan => "Health plan number",
            Self::Licence => "Driver's licence",
            Self::Passport => "Passport",
            Self::Web => "Web address",
            Self::Photo => "Photo",
            Self::OtherId => "Other identifiers",
            Self::Contact => "Contact persons",
            Self::Narrative => "Narrative",
            Self::SourceId => "Source id",
        }
    }
}

/// The identifiers of one patient. Several values of one kind are kept as lines of one text.
#[derive(Debug, Default)]
pub(crate) struct Identifiers(BTreeMap<Identifier, Phi<String>>);

impl Identifiers {
    /// Adds a value; blank ones and repetitions are left out.
    pub(crate) fn add(&mut self, kind: Identifier, value: &str) {
        let value = value.trim();
        if value.is_empty() {
            return;
        }
        let known = self.0.entry(kind).or_default();
        if known.expose().lines().any(|line| line == value) {
            return;
        }
        let mut text = core::mem::take(known).into_exposed();
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(value);
        *known = Phi::new(text);
    }

    pub(crate) fn get(&self, kind: Identifier) -> Option<&Phi<String>> {
        self.0.get(&kind)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Identifier, &Phi<String>)> {
        self.0.iter().map(|(kind, value)| (*kind, value))
    }
}

impl FromIterator<(Identifier, Phi<String>)> for Identifiers {
    fn from_iter<I: IntoIterator<Item = (Identifier, Phi<String>)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_listed_once_and_has_a_column_of_its_own() {
        let mut columns: Vec<_> = Identifier::ALL.iter().map(|kind| kind.column()).collect();
        columns.sort_unstable();
        columns.dedup();
        assert_eq!(columns.len(), Identifier::ALL.len());
    }

    #[test]
    fn values_of_one_kind_are_lines_without_repetition() {
        let mut identifiers = Identifiers::default();
        for value in ["555-0100", " ", "555-0101 ", "555-0100"] {
            identifiers.add(Identifier::Phone, value);
        }
        assert_eq!(identifiers.get(Identifier::Phone).unwrap().expose(), "555-0100\n555-0101");
        assert!(!format!("{identifiers:?}").contains("555"));
    }
}
