//! The published vectors, by this crate and by an independent program.

use std::process::Command;

use phi_session::{Aal, AuthEvent, Method, PublicId, Row, Stamp, Token, TokenKey};
use phi_types::{Actor, ActorKind, Timestamp};
use serde_json::Value;
use zeroize::Zeroizing;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn time(value: &Value) -> Timestamp {
    Timestamp::from_unix_micros(value.as_i64().unwrap())
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn event(value: &Value) -> AuthEvent {
    let byte = |name: &str| u8::try_from(value[name].as_u64().unwrap()).unwrap();
    AuthEvent::new(
        Aal::from_level(byte("level")).unwrap(),
        Method::from_code(byte("method")).unwrap(),
        time(&value["at"]),
    )
}

fn key(case: &Value) -> TokenKey {
    let digits = case["token_key"].as_str().unwrap();
    let byte = |n: usize| u8::from_str_radix(&digits[2 * n..2 * n + 2], 16).unwrap();
    TokenKey::from_bytes(Zeroizing::new(std::array::from_fn(byte))).unwrap()
}

#[test]
fn this_crate_makes_the_published_values() {
    let vectors: Value = serde_json::from_str(include_str!("../vectors/v1.json")).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() >= 8);
    for case in cases {
        let (name, key, expected) = (&case["name"], key(case), &case["expected"]);
        let token_hash = key.hash(&Token::parse(case["token"].as_str().unwrap()).unwrap());
        assert_eq!(hex(token_hash.as_bytes()), expected["token_hash"], "{name}");
        let columns = &case["row"];
        let kind = ActorKind::from_text(columns["user_kind"].as_str().unwrap()).unwrap();
        let row = Row {
            public_id: PublicId::parse(columns["public_id"].as_str().unwrap()).unwrap(),
            token_hash,
            user: Actor::new(kind, columns["user_id"].as_str().unwrap()).unwrap(),
            tenant: text(&columns["tenant"]),
            role: text(&columns["role"]),
            created: time(&columns["created"]),
            absolute_deadline: time(&columns["absolute_deadline"]),
            auth: columns["auth"].as_array().unwrap().iter().map(event).collect(),
            grant: text(&columns["grant"]),
            version: columns["version"].as_u64().unwrap(),
            mac: [0; 32],
        };
        assert_eq!(hex(&key.row_mac(&row)), expected["row_mac"], "{name}");
        let stamp = &case["stamp"];
        let stamp = Stamp {
            last_activity: time(&stamp["last_activity"]),
            idle_deadline: time(&stamp["idle_deadline"]),
            mac: [0; 32],
        };
        assert_eq!(hex(&key.stamp_mac(&row, &stamp)), expected["stamp_mac"], "{name}");
    }
}

#[test]
fn an_independent_program_makes_them_too() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/verify_vectors.py");
    let Some(python) = crate::component::python() else { return };
    let output = Command::new(python).arg(script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
