//! The Patient resource, as far as it identifies somebody.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::fault::FaultKind;
use super::identifier::{Identifier, Identifiers};

#[derive(Deserialize)]
pub(crate) struct Resource {
    text: Option<Narrative>,
    #[serde(default)]
    extension: Vec<Extension>,
    #[serde(default)]
    identifier: Vec<Coded>,
    #[serde(default)]
    name: Vec<HumanName>,
    #[serde(default)]
    telecom: Vec<ContactPoint>,
    #[serde(rename = "birthDate")]
    birth_date: Option<String>,
    #[serde(rename = "deceasedDateTime")]
    deceased: Option<String>,
    #[serde(default)]
    address: Vec<Address>,
    #[serde(default)]
    photo: Vec<Attachment>,
    #[serde(default)]
    contact: Vec<Contact>,
}

#[derive(Deserialize)]
struct Narrative {
    div: Option<String>,
}

#[derive(Deserialize)]
struct Extension {
    url: Option<String>,
    #[serde(default)]
    extension: Vec<Self>,
    #[serde(rename = "valueString")]
    string: Option<String>,
    #[serde(rename = "valueAddress")]
    address: Option<Address>,
    #[serde(rename = "valueDecimal")]
    decimal: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Coded {
    #[serde(rename = "type")]
    kind: Option<Concept>,
    system: Option<String>,
    value: Option<String>,
}

#[derive(Deserialize)]
struct Concept {
    #[serde(default)]
    coding: Vec<Coding>,
}

#[derive(Deserialize)]
struct Coding {
    code: Option<String>,
}

#[derive(Deserialize)]
struct HumanName {
    #[serde(rename = "use")]
    usage: Option<String>,
    text: Option<String>,
    family: Option<String>,
    #[serde(default)]
    given: Vec<String>,
    #[serde(default)]
    prefix: Vec<String>,
    #[serde(default)]
    suffix: Vec<String>,
}

#[derive(Deserialize)]
struct ContactPoint {
    system: Option<String>,
    value: Option<String>,
}

#[derive(Deserialize)]
struct Address {
    #[serde(default)]
    extension: Vec<Extension>,
    text: Option<String>,
    #[serde(default)]
    line: Vec<String>,
    city: Option<String>,
    district: Option<String>,
    state: Option<String>,
    #[serde(rename = "postalCode")]
    postal_code: Option<String>,
    country: Option<String>,
}

#[derive(Deserialize)]
struct Attachment {
    url: Option<String>,
    data: Option<String>,
    title: Option<String>,
}

#[derive(Deserialize)]
struct Contact {
    name: Option<HumanName>,
    #[serde(default)]
    telecom: Vec<ContactPoint>,
    address: Option<Address>,
}

impl Resource {
    /// Everything that identifies the patient, except the resource's own id.
    pub(crate) fn identifiers(&self) -> Result<Identifiers, FaultKind> {
        let mut found = Identifiers::default();
        for name in &self.name {
            let maiden = name.usage.as_deref() == Some("maiden");
            found.add(if maiden { Identifier::MaidenName } else { Identifier::Name }, &name.line());
        }
        for address in &self.address {
            found.add(Identifier::Address, &address.line());
            address.extension.iter().for_each(|extension| extension.collect(&mut found));
        }
        self.extension.iter().for_each(|extension| extension.collect(&mut found));
        for (kind, date) in [(Identifier::BirthDate, &self.birth_date), (Identifier::DeathDate, &self.deceased)] {
            if let Some(date) = date {
                if !starts_with_date(date) {
                    return Err(FaultKind::BadDate);
                }
                found.add(kind, date);
            }
        }
        self.telecom.iter().for_each(|point| point.collect(&mut found));
        self.identifier.iter().for_each(|identifier| identifier.collect(&mut found));
        for photo in &self.photo {
            for part in [&photo.title, &photo.url, &photo.data].into_iter().flatten() {
                found.add(Identifier::Photo, part);
            }
        }
        for contact in &self.contact {
            found.add(Identifier::Contact, &contact.line());
        }
        if let Some(div) = self.text.as_ref().and_then(|text| text.div.as_deref()) {
            found.add(Identifier::Narrative, &div.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        Ok(found)
    }
}

impl Extension {
    fn collect(&self, found: &mut Identifiers) {
        let name = self.url.as_deref().and_then(|url| url.rsplit('/').next()).unwrap_or_default();
        match (name, &self.string, &self.address) {
            ("patient-mothersMaidenName", Some(text), _) => found.add(Identifier::MothersMaidenName, text),
            ("patient-birthPlace", _, Some(place)) => found.add(Identifier::BirthPlace, &place.line()),
            ("geolocation", ..) => {
                let part = |wanted: &str| {
                    let part = self.extension.iter().find(|part| part.url.as_deref() == Some(wanted));
                    part.and_then(|part| part.decimal.as_ref()).map(|number| number.get().to_owned())
                };
                let parts: Vec<_> = [part("latitude"), part("longitude")].into_iter().flatten().collect();
                found.add(Identifier::Geolocation, &parts.join(", "));
            }
            _ => {}
        }
    }
}

impl Coded {
    /// Sorted by HL7 v2 table 0203, or by the system's name where the type is missing. Only the first record number and
    /// social security number are searchable; further ones are kept as other identifiers.
    fn collect(&self, found: &mut Identifiers) {
        let Some(value) = &self.value else { return };
        let system = self.system.as_deref().unwrap_or_default();
        let codes = self.kind.iter().flat_map(|kind| &kind.coding).filter_map(|coding| coding.code.as_deref());
        let kind = codes.into_iter().find_map(|code| match code {
            "MR" => Some(Identifier::Mrn),
            "SS" => Some(Identifier::Ssn),
            "DL" => Some(Identifier::Licence),
            "PPN" => Some(Identifier::Passport),
            "MB" | "MA" | "MC" | "SN" => Some(Identifier::HealthPlan),
            _ => None,
        });
        let kind = kind.or_else(|| system.ends_with("/us-ssn").then_some(Identifier::Ssn));
        match kind {
            Some(kind @ (Identifier::Mrn | Identifier::Ssn)) if found.get(kind).is_some() => {
                found.add(Identifier::OtherId, value);
            }
            Some(kind) => found.add(kind, value),
            None => found.add(Identifier::OtherId, value),
        }
    }
}

impl ContactPoint {
    fn collect(&self, found: &mut Identifiers) {
        let Some(value) = &self.value else { return };
        let kind = match self.system.as_deref() {
            Some("email") => Identifier::Email,
            Some("fax") => Identifier::Fax,
            Some("url") => Identifier::Web,
            // Pagers, text messages and what names no system are numbers to call.
            _ => Identifier::Phone,
        };
        found.add(kind, value);
    }
}

impl HumanName {
    fn line(&self) -> String {
        let parts = self.prefix.iter().chain(&self.given).chain(&self.family).chain(&self.suffix);
        let line = parts.map(String::as_str).collect::<Vec<_>>().join(" ");
        if line.is_empty() { self.text.clone().unwrap_or_default() } else { line }
    }
}

impl Address {
    fn line(&self) -> String {
        let parts = [&self.city, &self.district, &self.state, &self.postal_code, &self.country];
        let parts = self.line.iter().chain(parts.into_iter().flatten());
        let line = parts.map(String::as_str).collect::<Vec<_>>().join(", ");
        if line.is_empty() { self.text.clone().unwrap_or_default() } else { line }
    }
}

impl Contact {
    fn line(&self) -> String {
        let name = self.name.iter().map(HumanName::line);
        let telecom = self.telecom.iter().filter_map(|point| point.value.clone());
        let address = self.address.iter().map(Address::line);
        name.chain(telecom).chain(address).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
    }
}

/// Whether a FHIR `date` or `dateTime` starts with `YYYY`, `YYYY-MM` or `YYYY-MM-DD`.
fn starts_with_date(text: &str) -> bool {
    let date = text.split('T').next().unwrap_or_default();
    let digits = |part: &str, len: usize| part.len() == len && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = date.split('-');
    let year = parts.next().is_some_and(|year| digits(year, 4));
    year && parts.clone().count() <= 2 && parts.all(|part| digits(part, 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Identifiers {
        serde_json::from_str::<Resource>(json).unwrap().identifiers().unwrap()
    }

    #[test]
    fn every_kind_of_identifier_is_found() {
        let found = read(include_str!("../../tests/fixtures/patient.json"));
        for (kind, value) in [
            (Identifier::Name, "Dr. Wilhelmina Octavia Fairweather-Quill III"),
            (Identifier::MaidenName, "Wilhelmina Underhollow"),
            (Identifier::MothersMaidenName, "Perpetua Stonecropper"),
            (Identifier::Address, "77 Larkspur Crescent, Apt 9, Tumbledown, Larch County, Massachusetts, 02139, US"),
            (Identifier::BirthPlace, "Fogharbour, Maine, US"),
            (Identifier::Geolocation, "42.376043, -71.118680"),
            (Identifier::BirthDate, "1931-02-28"),
            (Identifier::DeathDate, "2024-05-06T07:08:09+00:00"),
            (Identifier::Phone, "555-0142\n555-0143"),
            (Identifier::Fax, "555-0144"),
            (Identifier::Email, "w.fairweather-quill@mail.example"),
            (Identifier::Web, "https://fairweather-quill.example"),
            (Identifier::Ssn, "987-65-4321"),
            (Identifier::Mrn, "MRN-7340021"),
            (Identifier::OtherId, "MRN-7340022\nLOY-55120"),
            (Identifier::HealthPlan, "1EG4-TE5-MK73"),
            (Identifier::Licence, "S99955120"),
            (Identifier::Passport, "X12345678X"),
            (Identifier::Photo, "portrait of W. F.-Q.\nhttps://photos.example/wfq.jpg\n/9j/4AAQSkZJRg=="),
            (Identifier::Contact, "Barnaby Fairweather-Quill, 555-0145, 12 Elder Row, Tumbledown"),
            (Identifier::Narrative, "<div>Wilhelmina, seen by her neighbours</div>"),
        ] {
            assert_eq!(found.get(kind).map(|value| value.expose().as_str()), Some(value), "{kind:?}");
        }
    }

    #[test]
    fn a_name_or_address_may_be_text_only() {
        let found = read(r#"{"name":[{"text":"Ada L."}],"address":[{"text":"by the sea"}]}"#);
        assert_eq!(found.get(Identifier::Name).unwrap().expose(), "Ada L.");
        assert_eq!(found.get(Identifier::Address).unwrap().expose(), "by the sea");
    }

    #[test]
    fn dates_have_one_of_three_forms() {
        for good in ["1931", "1931-02", "1931-02-28", "2024-05-06T07:08:09Z"] {
            assert!(starts_with_date(good), "{good}");
        }
        for bad in ["", "31", "28.02.1931", "1931-2-28", "1931-02-28-01", "19310228", "1931-02-2x"] {
            assert!(!starts_with_date(bad), "{bad}");
        }
    }
}
