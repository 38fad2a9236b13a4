//! The published test vectors of every format, computed from fixed keys and compared with what is checked in.

use phi_keys::PublicKey;
use phi_types::{Action, Activity, Actor, Outcome, Purpose, Resource, SubjectId, Timestamp};
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use crate::entry::{Pseudonyms, encode};
use crate::keys::WriterKey;
use crate::tree::{NodeReader, Tiles, TreeBuilder, consistency, inclusion};
use crate::{Checkpoint, EntryError, Event, Hash, Proof, VerifierKey, WriterId};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/phi-audit-v1.json");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn activities() -> Vec<(&'static str, Activity)> {
    let at = Timestamp::from_unix_micros(1_767_225_600_123_456);
    let new = |kind: &'static str, action, outcome| Activity::new(kind, action, outcome, at);
    vec![
        ("least", new("x", Action::Execute, Outcome::Success)),
        (
            "read",
            new("record.read", Action::Read, Outcome::Success)
                .by(Actor::human("dr.osei@clinic.example").unwrap())
                .about(SubjectId::new("patient-7431").unwrap())
                .for_purpose(Purpose::Treatment)
                .on(Resource::new("Patient", "mrn-00412"))
                .in_session("s-20260101-0001"),
        ),
        (
            "proxy",
            new("record.refused", Action::Read, Outcome::Refused)
                .by(Actor::patient_proxy("grace.hopper").unwrap())
                .about(SubjectId::new("zoë-1").unwrap()),
        ),
        (
            "details",
            Activity::new("key.rewrap", Action::Update, Outcome::Failed, Timestamp::MIN)
                .by(Actor::service("rotation-job").unwrap())
                .with("text", "Überlauf")
                .with("empty", "")
                .with("count", u64::MAX)
                .with("yes", true)
                .with("no", false)
                .with("time", Timestamp::MAX)
                .with("bytes", vec![0_u8, 255])
                .with("bytes", Vec::new()),
        ),
    ]
}

fn entries() -> Value {
    let (epoch, key, writer_key) = ([0xee; 16], [0x11; 32], [0x22; 32]);
    let pseudonyms = Pseudonyms::new(epoch, &key);
    let mac_key = WriterKey::new(&writer_key);
    let cases = activities().into_iter().zip(0..).map(|((name, activity), sequence)| {
        let writer = WriterId::from_bytes([0xaa; 16]);
        let entry = encode(&activity, &pseudonyms).unwrap().number(&writer, sequence);
        assert!(Event::decode(&entry).is_ok());
        json!({
            "name": name,
            "at_micros": activity.at.as_unix_micros(),
            "kind": activity.kind,
            "action": activity.action.to_string(),
            "outcome": activity.outcome.code(),
            "actor": activity.actor.as_ref().map(|actor| [actor.kind().as_str(), actor.id()]),
            "subject": activity.subject.as_ref().map(SubjectId::expose),
            "purpose": activity.purpose.map(Purpose::code),
            "resource": activity.resource.as_ref().map(|resource| [&*resource.kind, &*resource.id]),
            "session": activity.session,
            "details": activity.details.len(),
            "sequence": sequence,
            "entry": hex(&entry),
            "leaf": Hash::leaf(&entry).to_string(),
            "mac": hex(&mac_key.mac(&writer, sequence, &entry)),
        })
    });
    json!({
        "epoch": hex(&epoch),
        "pseudonym_key": hex(&key),
        "writer": hex(&[0xaa; 16]),
        "writer_key": hex(&writer_key),
        "cases": cases.collect::<Vec<_>>(),
    })
}

/// Bytes that are no entry, with the reason of this implementation.
fn invalid() -> Value {
    let pseudonyms = Pseudonyms::new([0xee; 16], &[0x11; 32]);
    let [_, (_, read), _, (_, details)] = activities().try_into().unwrap();
    let entry = |activity| encode(&activity, &pseudonyms).unwrap().number(&WriterId::from_bytes([0xaa; 16]), 1);
    let (read, details) = (entry(read), entry(details));
    let change = |from: &[u8], at: usize, byte: u8| {
        let mut changed = from.to_vec();
        changed[at] = byte;
        changed
    };
    // The first field begins behind version, writer, sequence, epoch and count.
    let fields = 1 + 16 + 8 + 16 + 1;
    let flag = details.windows(8).position(|window| window == b"\x03yes\x03\0\0\0").unwrap() + 9;
    let cases = [
        ("nothing", Vec::new()),
        ("version 0", change(&read, 0, 0)),
        ("version 2", change(&read, 0, 2)),
        ("cut", read[..read.len() - 1].to_vec()),
        ("trailing byte", [&read[..], &[0]].concat()),
        ("one field too few in the count", change(&read, fields - 1, read[fields - 1] - 1)),
        ("one field too many in the count", change(&read, fields - 1, read[fields - 1] + 1)),
        ("no time", change(&read, fields, 2)),
        ("unknown tag", change(&read, fields, 99)),
        ("time of seven bytes", [&change(&read, fields + 4, 7)[..fields + 12], &read[fields + 13..]].concat()),
        ("unknown action", change(&read, read.windows(6).position(|w| w == [3, 0, 0, 0, 1, b'R']).unwrap() + 5, b'X')),
        ("unknown outcome", change(&read, read.windows(6).position(|w| w == [4, 0, 0, 0, 1, 0]).unwrap() + 5, 1)),
        ("space in the kind", change(&read, read.windows(6).position(|w| w == b"record").unwrap(), b' ')),
        ("flag of two", change(&details, flag, 2)),
    ];
    let cases = cases.into_iter().map(|(name, bytes)| {
        let error: EntryError = Event::decode(&bytes).expect_err(name);
        json!({ "name": name, "entry": hex(&bytes), "error": format!("{error:?}") })
    });
    Value::Array(cases.collect())
}

/// Every node of a tree of which all leaves are known.
struct Known(Tiles);

impl NodeReader for Known {
    fn node(&mut self, level: u32, index: u64) -> Result<Hash, crate::tree::MissingNode> {
        self.0.node(level, index)
    }
}

fn tree() -> Value {
    let leaves: Vec<_> = (0..300_u32).map(|number| Hash::leaf(&number.to_be_bytes())).collect();
    let mut builder = TreeBuilder::default();
    let mut roots = vec![builder.root().unwrap()];
    for leaf in &leaves {
        builder.append(leaf);
        roots.push(builder.root().unwrap());
    }
    let mut known = Known(Tiles::new(builder.take_changed()));
    let text = |hashes: Vec<Hash>| hashes.iter().map(ToString::to_string).collect::<Vec<_>>();
    let sizes = [0_usize, 1, 2, 3, 7, 8, 255, 256, 257, 300];
    let inclusions = [(0_u64, 1_u64), (0, 2), (2, 3), (4, 7), (255, 256), (255, 257), (256, 257), (0, 300), (299, 300)];
    let consistencies = [(0_u64, 300_u64), (1, 2), (3, 7), (4, 8), (256, 300), (257, 300), (300, 300)];
    json!({
        "leaf": "entry of leaf i is i as u32, big endian",
        "roots": sizes.map(|size| json!({ "size": size, "root": roots[size].to_string() })),
        "inclusion": inclusions.map(|(index, size)| json!({
            "index": index, "size": size, "proof": text(inclusion(&mut known, index, size).unwrap()),
        })),
        "consistency": consistencies.map(|(old, new)| json!({
            "old": old, "new": new, "proof": text(consistency(&mut known, old, new).unwrap()),
        })),
    })
}

fn checkpoint() -> Value {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[0x33; 32]).unwrap();
    let public = PublicKey::Ed25519(pair.public_key().as_ref().try_into().unwrap());
    let key = VerifierKey::new("clinic.example/audit", public).unwrap();
    let leaves: Vec<_> = (0..7_u32).map(|number| Hash::leaf(&number.to_be_bytes())).collect();
    let mut builder = TreeBuilder::default();
    leaves.iter().for_each(|leaf| builder.append(leaf));
    let text = Checkpoint::text(key.name(), 7, &builder.root().unwrap());
    let note = key.note(&text, pair.sign(text.as_bytes()).as_ref().try_into().unwrap());
    let mut tiles = Tiles::new(builder.take_changed());
    let checkpoint = Checkpoint::open(&note, &key).unwrap();
    let proof = Proof::new(4, inclusion(&mut tiles, 4, 7).unwrap(), checkpoint);
    proof.verify(&4_u32.to_be_bytes()).unwrap();
    json!({ "seed": hex(&[0x33; 32]), "verifier_key": key.to_string(), "note": note, "proof": proof.to_string() })
}

fn all() -> Value {
    json!({ "entries": entries(), "invalid_entries": invalid(), "tree": tree(), "checkpoint": checkpoint() })
}

#[test]
fn formats_are_those_that_were_published() {
    let stored: Value = serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap();
    assert_eq!(stored, all());
}

#[test]
#[ignore = "writes the file that the test above reads; the formats of version 1 are frozen"]
fn write() {
    std::fs::write(FILE, format!("{:#}\n", all())).unwrap();
}

#[test]
fn writer_keys_are_plain_hmac_keys() {
    let mac = WriterKey::new(&[0x22; 32]).mac(&WriterId::from_bytes([1; 16]), 2, b"entry");
    let message = [&b"phi-audit/pending/v1"[..], &[1; 16], &2_u64.to_be_bytes(), b"entry"].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[0x22; 32]);
    assert_eq!(mac, hmac::sign(&key, &message).as_ref());
}
