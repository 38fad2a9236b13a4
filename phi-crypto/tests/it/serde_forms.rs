//! `Sealed<T>` and `Json<T>` as serde values.

use phi_crypto::{Context, Json, JsonRef, Sealed};

use crate::support::Clinic;

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
struct Allergy {
    substance: String,
    severity: u8,
}

#[tokio::test]
async fn any_serde_type_is_sealed_as_json() {
    let clinic = Clinic::new().await;
    let place = Context::new("Patient", "allergies").without_record();
    let sealer = clinic.sealer("ada").await;
    let allergies = vec![Allergy { substance: "latex".into(), severity: 3 }];
    let owned: Sealed<Json<Vec<Allergy>>> = sealer.seal(&Json(allergies.clone()), &place).unwrap();
    let borrowed: Sealed<Json<Vec<Allergy>>> = sealer.seal(&JsonRef(&allergies), &place).unwrap();
    let opener = clinic.opener("ada").await;
    for sealed in [owned, borrowed] {
        assert_eq!(opener.open(&sealed, &place).unwrap().expose().0, allergies);
    }
}

#[tokio::test]
async fn a_value_of_another_shape_is_an_error_without_the_value() {
    let clinic = Clinic::new().await;
    let place = Context::new("Patient", "allergies").without_record();
    let sealed = clinic.sealer("ada").await.seal(&Json("Lovelace"), &place).unwrap();
    let as_number = Sealed::<Json<u64>>::from_bytes(sealed.into_bytes()).unwrap();
    let error = clinic.opener("ada").await.open(&as_number, &place).unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    let text = format!("{error} {error:?} {source} {source:?}");
    assert!(matches!(error, phi_crypto::OpenError::Decode(_)) && !text.contains("Lovelace"), "{text}");
}

#[tokio::test]
async fn a_sealed_value_is_text_where_people_read() {
    let clinic = Clinic::new().await;
    let sealed = clinic.sealer("ada").await.seal("Ada", &Context::new("Patient", "name").without_record()).unwrap();
    let json = serde_json::to_string(&sealed).unwrap();
    assert_eq!(json, format!("\"{}\"", sealed.to_text()));
    assert_eq!(serde_json::from_str::<Sealed<String>>(&json).unwrap(), sealed);
}

#[test]
fn a_plaintext_is_refused_by_its_kind_and_never_quoted() {
    for plain in [
        r#""Lovelace""#,
        "78051120",
        "-78051120",
        "78051120.5",
        "true",
        "[78051120]",
        r#"["Lovelace"]"#,
        r#"{"n":"Lovelace"}"#,
        "null",
    ] {
        let text = serde_json::from_str::<Sealed<String>>(plain).unwrap_err().to_string();
        assert!(!text.contains("Lovelace") && !text.contains("78051120"), "{text}");
        assert_eq!(text.contains("expected a sealed value"), plain.starts_with('{') || plain == "null", "{text}");
    }
}

#[test]
fn a_value_without_encoding_is_an_error_without_the_value() {
    use phi_crypto::Sealable as _;
    let map = std::collections::BTreeMap::from([(vec!["Lovelace"], 1)]);
    let error = Json(map).plaintext().unwrap_err();
    assert!(!format!("{error} {error:?}").contains("Lovelace"));
}
