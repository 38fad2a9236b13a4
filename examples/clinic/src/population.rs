//! Made-up patients: the same seed gives the same people, as FHIR bundles, through the same door as imported ones.
//!
//! No name, number or address is anybody's: social security numbers start with 9, which is never issued, and
//! telephone numbers are of the 555-01xx range.

use serde_json::{Value, json};

const GIVEN: [&str; 12] = [
    "Alba",
    "Bertrand",
    "Cosima",
    "Dashiell",
    "Eudora",
    "Ferdinand",
    "Ginevra",
    "Horatio",
    "Isolde",
    "Jocasta",
    "Leopold",
    "Marguerite",
];
const FAMILY: [&str; 12] = [
    "Ashgrove",
    "Bellwether",
    "Cloudesley",
    "Dunnottar",
    "Ellingham",
    "Fernsby",
    "Gathercole",
    "Hollingbery",
    "Inglethorp",
    "Jolliffe",
    "Kirkbride",
    "Loveguard",
];
const STREETS: [&str; 6] =
    ["Buttercup Terrace", "Cinder Lane", "Dovecote Row", "Elderberry Close", "Foxglove Street", "Gorse Hill"];
const PLACES: [(&str, &str); 4] =
    [("Millbrook", "01299"), ("Easterhaven", "02188"), ("Thornwick", "01733"), ("Saltmarsh", "02644")];
/// SNOMED CT concepts.
const CONDITIONS: [(&str, &str); 6] = [
    ("38341003", "Hypertension"),
    ("44054006", "Diabetes mellitus type 2"),
    ("195967001", "Asthma"),
    ("36971009", "Sinusitis"),
    ("40055000", "Chronic sinusitis"),
    ("271737000", "Anemia"),
];

/// `SplitMix64`: enough to make people up, nothing else.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound.max(1)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let index = self.below(from.len() as u64);
        from.get(usize::try_from(index).ok()?)
    }

    fn pick_text(&mut self, from: &[&'static str]) -> &'static str {
        self.pick(from).copied().unwrap_or_default()
    }

    fn date(&mut self, first_year: u64, years: u64) -> String {
        let (year, month, day) = (first_year + self.below(years), 1 + self.below(12), 1 + self.below(28));
        format!("{year}-{month:02}-{day:02}")
    }

    fn uuid(&mut self) -> String {
        uuid::Builder::from_random_bytes((u128::from(self.roll()) << 64 | u128::from(self.roll())).to_be_bytes())
            .into_uuid()
            .to_string()
    }
}

/// `count` bundles of one patient each.
pub(crate) fn bundles(seed: u64, count: u64) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(move |number| bundle(&mut Dice(seed.wrapping_mul(1_000_003).wrapping_add(number)), number))
}

fn bundle(dice: &mut Dice, number: u64) -> Vec<u8> {
    let id = dice.uuid();
    let mut entries = vec![entry(&id, patient(dice, &id, number))];
    let visits = 1 + dice.below(3);
    for _ in 0..visits {
        let (encounter, condition, observation) = (dice.uuid(), dice.uuid(), dice.uuid());
        let subject = json!({ "reference": format!("urn:uuid:{id}") });
        let date = dice.date(2018, 8);
        entries.push(entry(&encounter, json!({
            "resourceType": "Encounter", "id": encounter, "status": "finished", "subject": subject,
            "class": { "code": "AMB" }, "period": { "start": format!("{date}T09:00:00Z"), "end": format!("{date}T09:20:00Z") },
        })));
        let (code, display) = dice.pick(&CONDITIONS).copied().unwrap_or_default();
        entries.push(entry(&condition, json!({
            "resourceType": "Condition", "id": condition, "subject": subject, "onsetDateTime": date,
            "code": { "coding": [{ "system": "http://snomed.info/sct", "code": code, "display": display }], "text": display },
        })));
        let pressure = 105 + dice.below(60);
        entries.push(entry(
            &observation,
            json!({
                "resourceType": "Observation", "id": observation, "status": "final", "subject": subject,
                "effectiveDateTime": date, "code": { "text": "Systolic blood pressure" },
                "valueQuantity": { "value": pressure, "unit": "mmHg" },
            }),
        ));
    }
    json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries }).to_string().into_bytes()
}

fn entry(id: &str, resource: Value) -> Value {
    json!({ "fullUrl": format!("urn:uuid:{id}"), "resource": resource })
}

fn coded(code: &str, value: String) -> Value {
    json!({ "type": { "coding": [{ "code": code }] }, "value": value })
}

fn patient(dice: &mut Dice, id: &str, number: u64) -> Value {
    let (given, family) = (dice.pick_text(&GIVEN), dice.pick_text(&FAMILY));
    let (city, zip) = dice.pick(&PLACES).copied().unwrap_or_default();
    let mrn = format!("C{:07}", dice.below(9_000) * 1_000 + number);
    let ssn = format!("9{:02}-{:02}-{:04}", dice.below(100), 10 + dice.below(60), 1 + dice.below(9_999));
    let house = 1 + dice.below(400);
    json!({
        "resourceType": "Patient", "id": id,
        "text": { "status": "generated", "div": format!("<div>{given} {family}, record {mrn}</div>") },
        "extension": [{
            "url": "http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName",
            "valueString": format!("{} {}", dice.pick_text(&GIVEN), dice.pick_text(&FAMILY)),
        }],
        "identifier": [
            coded("MR", mrn), coded("SS", ssn),
            coded("DL", format!("S999{:05}", dice.below(100_000))),
            coded("PPN", format!("X{:08}X", dice.below(100_000_000))),
            coded("MB", format!("PLAN-{:06}", dice.below(1_000_000))),
        ],
        "name": [{ "use": "official", "family": family, "given": [given] }],
        "telecom": [
            { "system": "phone", "value": format!("555-01{:02}", dice.below(100)) },
            { "system": "email", "value": format!("{}.{}.{number}@mail.example", given.to_lowercase(), family.to_lowercase()) },
        ],
        "birthDate": dice.date(1930, 90),
        "address": [{ "line": [format!("{house} {}", dice.pick_text(&STREETS))], "city": city, "state": "MA", "postalCode": zip, "country": "US" }],
        "contact": [{ "name": { "family": family, "given": [dice.pick_text(&GIVEN)] }, "telecom": [{ "system": "phone", "value": format!("555-01{:02}", dice.below(100)) }] }],
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::fhir::{Bundle, Identifier};

    #[test]
    fn the_same_seed_gives_the_same_people_and_each_can_be_imported() {
        let (first, again): (Vec<_>, Vec<_>) = (bundles(7, 25).collect(), bundles(7, 25).collect());
        assert_eq!(first, again);
        assert_ne!(first, bundles(8, 25).collect::<Vec<_>>());
        let mut records = BTreeSet::new();
        for json in &first {
            let bundle = Bundle::parse(json).unwrap();
            let patient = &bundle.patients[0];
            assert!(patient.documents.len() >= 4);
            records.insert(patient.identifiers.get(Identifier::Mrn).unwrap().expose().clone());
        }
        assert_eq!(records.len(), 25, "record numbers are distinct");
    }
}
