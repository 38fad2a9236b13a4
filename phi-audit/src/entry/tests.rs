use phi_types::{Action, Activity, Actor, ActorKind, Detail, Outcome, Purpose, Resource, SubjectId, Timestamp};
use proptest::prelude::*;

use super::*;

fn pseudonyms() -> Pseudonyms {
    Pseudonyms::new([0xee; 16], &[7; 32])
}

fn full() -> Activity {
    Activity::new("record.read", Action::Read, Outcome::Success, Timestamp::from_unix_seconds(1_767_225_600))
        .by(Actor::human("dr.osei@clinic.example").unwrap())
        .about(SubjectId::new("patient-7431").unwrap())
        .for_purpose(Purpose::Treatment)
        .on(Resource::new("Patient", "mrn-00412"))
        .in_session("s-1")
        .with("text", "value")
        .with("count", 3_u64)
        .with("flag", true)
        .with("time", Timestamp::from_unix_seconds(1))
        .with("bytes", vec![1_u8, 2, 3])
}

fn bytes(activity: &Activity) -> Vec<u8> {
    encode(activity, &pseudonyms()).unwrap().number(&WriterId::from_bytes([9; 16]), 42)
}

#[test]
fn an_event_is_read_as_it_was_written() {
    let event = Event::decode(&bytes(&full())).unwrap();
    assert_eq!((event.writer, event.sequence, event.epoch), (WriterId::from_bytes([9; 16]), 42, [0xee; 16]));
    assert_eq!((event.kind.as_str(), event.action, event.outcome), ("record.read", Action::Read, Outcome::Success));
    assert_eq!(event.actor.as_ref().unwrap().to_string(), "human:dr.osei@clinic.example");
    assert_eq!(event.subject, Some(pseudonyms().subject(&SubjectId::new("patient-7431").unwrap())));
    assert_eq!(event.resource.as_ref().unwrap().0, "Patient");
    assert_eq!((event.purpose, event.session.as_deref()), (Some(Purpose::Treatment), Some("s-1")));
    assert_eq!(event.detail("count"), Some(&Detail::Count(3)));
    assert_eq!(event.details.len(), 5);
}

#[test]
fn no_id_of_or_about_a_patient_is_in_the_bytes() {
    let entry = bytes(&full().by(Actor::patient_proxy("grace.hopper").unwrap()));
    for secret in [&b"7431"[..], b"00412", b"hopper"] {
        assert!(!entry.windows(secret.len()).any(|window| window == secret));
    }
    let Some(EventActor::Pseudonymous(ActorKind::PatientProxy, _)) = Event::decode(&entry).unwrap().actor else {
        panic!()
    };
}

#[test]
fn no_boundary_between_values_can_move() {
    let pseudonyms = pseudonyms();
    assert_ne!(pseudonyms.resource("Patient", "1x"), pseudonyms.resource("Patient1", "x"));
    assert_ne!(pseudonyms.subject(&SubjectId::new("a").unwrap()).as_bytes(), pseudonyms.resource("", "a").as_bytes());
    let time = Timestamp::UNIX_EPOCH;
    let activity =
        |a: &'static str, b: &'static str| Activity::new("x", Action::Read, Outcome::Success, time).with(a, b);
    assert_ne!(bytes(&activity("ab", "c")), bytes(&activity("a", "bc")));
    // The collision of a separator-based encoding: the separator within a value.
    assert_ne!(bytes(&activity("actor", "alice\u{1f}read")), bytes(&activity("actor", "alice").with("read", "")));
}

#[test]
fn names_and_sizes_are_bounded() {
    let activity = |kind: &'static str| Activity::new(kind, Action::Read, Outcome::Success, Timestamp::UNIX_EPOCH);
    let refused = |activity: &Activity| encode(activity, &pseudonyms()).unwrap_err();
    assert_eq!(refused(&activity("")), EntryError::Name);
    assert_eq!(refused(&activity("Ada Lovelace")), EntryError::Name);
    assert_eq!(refused(&activity("x").with("John Doe", "x")), EntryError::Name);
    assert_eq!(refused(&activity("x").on(Resource::new("Zoë", "1"))), EntryError::Name);
    let many = (0..256).fold(activity("x"), |activity, _| activity.with("n", 1_u64));
    assert_eq!(refused(&many), EntryError::Details);
    assert_eq!(refused(&activity("x").with("big", vec![0; MAX_ENTRY])), EntryError::TooLong);
    let overhead = bytes(&activity("x").with("big", Vec::new())).len();
    let largest = bytes(&activity("x").with("big", vec![0; MAX_ENTRY - overhead]));
    assert_eq!(largest.len(), MAX_ENTRY);
    assert!(Event::decode(&largest).is_ok());
    assert_eq!(Event::decode(&[&largest[..], &[0]].concat()), Err(EntryError::TooLong));
}

#[test]
fn every_flipped_bit_is_another_event_or_none() {
    let entry = bytes(&full());
    let event = Event::decode(&entry).unwrap();
    for bit in 0..entry.len() * 8 {
        let mut changed = entry.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_ne!(Event::decode(&changed).as_ref(), Ok(&event), "bit {bit}");
    }
    for length in 0..entry.len() {
        assert!(Event::decode(&entry[..length]).is_err());
    }
    assert_eq!(Event::decode(&[&entry[..], &[0]].concat()), Err(EntryError::Trailing));
}

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,20}"
}

fn name() -> impl Strategy<Value = String> {
    "[!-~]{1,20}"
}

prop_compose! {
    fn activity()(
        kind in name(),
        action in prop::sample::select(Action::ALL.to_vec()),
        outcome in prop::sample::select(Outcome::ALL.to_vec()),
        at in any::<i64>(),
        actor in prop::option::of((0_u8..3, "[a-z.]{1,20}")),
        subject in prop::option::of("[a-z0-9]{1,20}"),
        purpose in prop::option::of(prop::sample::select(Purpose::ALL.to_vec())),
        resource in prop::option::of((name(), text())),
        session in prop::option::of(text()),
        details in prop::collection::vec((name(), detail()), 0..5),
    ) -> Activity {
        let mut activity = Activity::new(kind, action, outcome, Timestamp::from_unix_micros(at));
        activity.actor = actor.map(|(kind, id)| {
            let kinds = [ActorKind::Human, ActorKind::Service, ActorKind::PatientProxy];
            Actor::shared_by_name(kinds[usize::from(kind)], id).unwrap()
        });
        activity.subject = subject.map(|id| SubjectId::new(id).unwrap());
        activity.purpose = purpose;
        activity.resource = resource.map(|(kind, id)| Resource::new(kind, id));
        activity.session = session;
        activity.details = details.into_iter().map(|(name, detail)| (name.into(), detail)).collect();
        activity
    }
}

fn detail() -> impl Strategy<Value = Detail> {
    prop_oneof![
        text().prop_map(Detail::from),
        any::<u64>().prop_map(Detail::from),
        any::<bool>().prop_map(Detail::from),
        any::<i64>().prop_map(|micros| Detail::from(Timestamp::from_unix_micros(micros))),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Detail::from),
    ]
}

proptest! {
    #[test]
    fn what_was_written_is_read(activity in activity()) {
        let event = Event::decode(&bytes(&activity)).unwrap();
        prop_assert_eq!(event.kind, activity.kind.as_ref());
        prop_assert_eq!((event.action, event.outcome, event.at), (activity.action, activity.outcome, activity.at));
        prop_assert_eq!(event.purpose, activity.purpose);
        prop_assert_eq!(event.session.as_ref(), activity.session.as_ref());
        prop_assert_eq!(event.subject, activity.subject.as_ref().map(|subject| pseudonyms().subject(subject)));
        prop_assert_eq!(event.actor, activity.actor.as_ref().map(|actor| EventActor::stored(actor, &pseudonyms())));
        let details: Vec<_> = activity.details.iter().map(|(name, detail)| (name.to_string(), detail.clone())).collect();
        prop_assert_eq!(event.details, details);
    }

    #[test]
    fn different_activities_have_different_bytes(a in activity(), b in activity()) {
        prop_assert_eq!(a == b, bytes(&a) == bytes(&b));
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(mut entry in prop::collection::vec(any::<u8>(), 0..300), start in any::<bool>()) {
        if start && let Some(first) = entry.first_mut() {
            *first = VERSION;
        }
        let _ = Event::decode(&entry);
    }

    #[test]
    fn no_mutation_makes_the_decoder_panic(
        activity in activity(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut entry = bytes(&activity);
        for (place, byte) in changes {
            let place = place.index(entry.len());
            entry[place] = byte;
        }
        let _ = Event::decode(&entry);
        let _ = Event::decode(&entry[..cut.index(entry.len())]);
    }
}
