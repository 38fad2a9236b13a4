//! One line about a clinical resource.

use phi_types::Phi;
use serde_json::Value;

/// Where resources say what they are about, and when.
const WHAT: [&str; 7] = ["code", "vaccineCode", "medicationCodeableConcept", "type", "category", "reasonCode", "class"];
const WHEN: [&str; 11] = [
    "effectiveDateTime",
    "onsetDateTime",
    "occurrenceDateTime",
    "performedDateTime",
    "authoredOn",
    "recordedDate",
    "started",
    "created",
    "issued",
    "period",
    "performedPeriod",
];

/// The date and the subject matter; empty where the resource names none in a usual place.
pub(super) fn of(body: &Phi<Vec<u8>>) -> (Phi<String>, Phi<String>) {
    let resource: Value = serde_json::from_slice(body.expose()).unwrap_or_default();
    let date = WHEN.iter().find_map(|name| when(resource.get(name)?)).unwrap_or_default();
    let what = WHAT.iter().find_map(|name| what(resource.get(name)?)).or_else(|| what(&resource)).unwrap_or_default();
    let value = resource.get("valueQuantity").and_then(|quantity| {
        let number = quantity.get("value")?.as_number()?;
        Some(format!(": {number} {}", quantity.get("unit").and_then(Value::as_str).unwrap_or_default()))
    });
    (Phi::new(date), Phi::new(what + &value.unwrap_or_default()))
}

fn when(value: &Value) -> Option<String> {
    let text = value.as_str().or_else(|| value.get("start")?.as_str())?;
    text.get(..10).or(Some(text)).map(str::to_owned)
}

/// A name, a text or the first display of a code, alone or first in a list.
fn what(value: &Value) -> Option<String> {
    let value = value.as_array().map_or(Some(value), |list| list.first())?;
    let coding = || value.get("coding")?.get(0)?.get("display")?.as_str();
    let named = || value.get("name")?.as_str();
    let text = value.get("text").and_then(Value::as_str).or_else(coding).or_else(named)?;
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(json: &str) -> (String, String) {
        let (date, what) = of(&Phi::new(json.as_bytes().to_vec()));
        (date.into_exposed(), what.into_exposed())
    }

    #[test]
    fn the_usual_places_are_looked_at() {
        for (json, date, what) in [
            (
                r#"{"code":{"text":"Pulse"},"effectiveDateTime":"2020-01-02T03:04:05Z","valueQuantity":{"value":70,"unit":"/min"}}"#,
                "2020-01-02",
                "Pulse: 70 /min",
            ),
            (r#"{"type":[{"coding":[{"display":"Check-up"}]}],"period":{"start":"2019-05"}}"#, "2019-05", "Check-up"),
            (r#"{"name":"City Hospital"}"#, "", "City Hospital"),
            ("no json", "", ""),
        ] {
            assert_eq!(line(json), (date.to_owned(), what.to_owned()), "{json}");
        }
    }
}
