//! Patients with an index of every kind, and what searches must find, on whichever database.

use phi_crypto::{BlindIndex, CompoundSpec, IndexSpec, PartitionedSpec, Tag, Tags, Transform};
use phi_keys::Keys;

const BY_PHONE: IndexSpec = BlindIndex::exact("Patient", "phone", "by_phone", Transform::e164(1));
const BY_FAMILY_3: IndexSpec = BlindIndex::exact("Patient", "family", "by_family_3", Transform::First(3)).bits(16);
const BY_NAME_AND_YEAR: CompoundSpec<2> = BlindIndex::compound(
    "Patient",
    "by_name_and_year",
    &[("family", Transform::TrimLowercase), ("birth", Transform::Year)],
);
const BY_AREA: PartitionedSpec = BlindIndex::exact("Patient", "zip", "by_area", Transform::Zip3).partitioned(4);

/// id, phone, family, birth, zip.
const PATIENTS: [(&str, &str, &str, Option<&str>, &str); 7] = [
    ("ada", "(617) 555-0123", "Lovelace", Some("1815-12-10"), "02139"),
    ("ann", "+1 617 555 0123", "lovelace", Some("18151210"), "02142-0001"),
    ("bob", "617-555-0199", "Lovell", Some("1928-03-25"), "02139"),
    ("eve", "", "Li", None, "02139"),
    ("grace", "none", "Hopper", Some("1906-12-09"), "10027"),
    ("jane", "+49 30 901820", "Lovelace", Some("1990-01-01"), "02140"),
    ("tom", "617 555 0100", "Lovelace", None, "K1A 0B1"),
];

/// The columns of tags, in the order in which [`Row`] holds them.
pub(crate) const COLUMNS: [&str; 4] = ["phone_tag", "family_3_tag", "name_and_year_tag", "area_tag"];

pub(crate) struct Row {
    pub(crate) id: &'static str,
    pub(crate) tags: [Option<Tag>; 4],
}

pub(crate) async fn rows(keys: &Keys) -> Vec<Row> {
    let (phone, family) = (BY_PHONE.open(keys).await.unwrap(), BY_FAMILY_3.open(keys).await.unwrap());
    let (both, area) = (BY_NAME_AND_YEAR.open(keys).await.unwrap(), BY_AREA.open(keys).await.unwrap());
    let row = |(id, number, name, birth, zip)| Row {
        id,
        tags: [
            phone.tag(number).unwrap(),
            family.tag(name).unwrap(),
            both.tag([Some(name), birth]).unwrap(),
            area.tag(zip, id).unwrap(),
        ],
    };
    PATIENTS.into_iter().map(row).collect()
}

/// A column, what to look for in it, and who is found.
pub(crate) async fn searches(keys: &Keys) -> Vec<(&'static str, Tags, Vec<&'static str>)> {
    let (phone, family) = (BY_PHONE.open(keys).await.unwrap(), BY_FAMILY_3.open(keys).await.unwrap());
    let (both, area) = (BY_NAME_AND_YEAR.open(keys).await.unwrap(), BY_AREA.open(keys).await.unwrap());
    vec![
        ("phone_tag", phone.search("1.617.555.0123").unwrap(), vec!["ada", "ann"]),
        ("phone_tag", phone.search("011 49 30 901820").unwrap(), vec!["jane"]),
        ("phone_tag", phone.search("none").unwrap(), vec![]),
        ("family_3_tag", family.search("LOVEL").unwrap(), vec!["ada", "ann", "bob", "jane", "tom"]),
        ("family_3_tag", family.search("Lo").unwrap(), vec![]),
        ("name_and_year_tag", both.search(["Lovelace", "1815"]).unwrap(), vec!["ada", "ann"]),
        ("name_and_year_tag", both.search(["Lovelace", "1990"]).unwrap(), vec!["jane"]),
        ("name_and_year_tag", both.search(["Li", ""]).unwrap(), vec![]),
        ("area_tag", area.search("02199").unwrap(), vec!["ada", "ann", "bob", "eve", "jane"]),
        ("area_tag", area.search("10001-0001").unwrap(), vec!["grace"]),
        ("area_tag", area.search("").unwrap(), vec![]),
    ]
}

pub(crate) const OLD: IndexSpec = BlindIndex::exact("Patient", "ssn", "by_ssn", Transform::Exact);
pub(crate) const DURING: IndexSpec =
    BlindIndex::exact("Patient", "ssn", "by_ssn", Transform::Digits).bits(64).replaces(&OLD);
pub(crate) const AFTER: IndexSpec =
    BlindIndex::exact("Patient", "ssn", "by_ssn", Transform::Digits).bits(64).version(2);
