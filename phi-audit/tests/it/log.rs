//! The log in everyday use.

use core::time::Duration;

use phi_audit::{
    Checkpoint, Error, Freshness, Proof, Query, SqliteAuditStore, Verification, verify_consistency, verify_store,
};
use phi_types::{Action, Activity, Actor, Outcome, Timestamp};

use crate::support::{Clinic, read, subject};

#[tokio::test]
async fn what_is_recorded_is_found_proven_and_verified() {
    let (clinic, key) = Clinic::filled(600).await;
    let report = clinic.verify(&key).await;
    assert_eq!(report.findings, []);
    assert_eq!((report.size, report.unsigned(), report.pending, report.writers), (602, 0, 0, 1));
    assert_eq!(report.freshness, Freshness::NotProven);
    let log = clinic.open().await;
    let page = log.query(&Query::new().subject(&subject(3)).limit(10)).await.unwrap();
    assert_eq!(page.events.len(), 10);
    for found in page.events {
        let entry = log.entry(found.index).await.unwrap();
        let text = log.prove(found.index).await.unwrap().to_string();
        let proof = Proof::open(&text, &key).unwrap();
        proof.verify(&entry).unwrap();
        assert_eq!(proof.index(), found.index);
        assert!(proof.verify(&[&entry[..], b"x"].concat()).is_err());
        assert!(
            Proof::open(&text.replacen("index ", "index 1", 1), &key).is_ok_and(|moved| moved.verify(&entry).is_err())
        );
    }
    let report = log.verify().await.unwrap();
    // The first process ended without saying so.
    assert_eq!((report.writers, report.unknown_ends), (2, 2));
    assert!(matches!(log.status().await.unwrap().verification, Verification::Consistent { .. }));
    log.close().await.unwrap();
    assert_eq!(log.verify().await.unwrap().unknown_ends, 1);
}

#[tokio::test]
async fn an_older_checkpoint_is_shown_to_be_extended() {
    let clinic = Clinic::new().await;
    let log = clinic.open().await;
    let old = log.checkpoint().await.unwrap();
    for number in 0..10 {
        log.recorder().record(read(number)).await.unwrap();
    }
    let new = log.checkpoint().await.unwrap();
    assert!(new.size() > old.size());
    let (proof, newest) = log.prove_consistency(old.size()).await.unwrap();
    assert_eq!(newest, new);
    verify_consistency((old.size(), old.root()), (new.size(), new.root()), &proof).unwrap();
    let store = SqliteAuditStore::new(clinic.pool.clone());
    let report = verify_store(&store, log.verifier_key(), Some(old.clone()), &mut |_, _| {}).await.unwrap();
    assert_eq!((report.freshness, report.is_consistent()), (Freshness::AtLeast(old.size()), true));
    assert!(matches!(log.prove_consistency(new.size() + 1).await, Err(Error::NotSigned { .. })));
    assert!(matches!(log.prove(new.size()).await, Err(Error::NotSigned { .. })));
    assert!(matches!(log.entry(new.size()).await, Err(Error::NotSigned { .. })));
}

#[tokio::test]
async fn nothing_new_is_not_signed_again_but_a_heartbeat_is() {
    let clinic = Clinic::new().await;
    let log = clinic.open().await;
    let first = log.checkpoint().await.unwrap();
    assert_eq!(log.checkpoint().await.unwrap(), first);
    let beat = log.heartbeat().await.unwrap();
    assert_eq!(beat.size(), first.size() + 1);
    let mark = std::fs::read_to_string(clinic.mark()).unwrap();
    assert_eq!(Checkpoint::open(&mark, log.verifier_key()).unwrap(), beat);
}

#[tokio::test]
async fn queries_combine_and_turn_pages() {
    let (clinic, _) = Clinic::filled(100).await;
    let log = clinic.open().await;
    let all = |query: Query| {
        let log = log.clone();
        async move {
            let (mut query, mut numbers) = (query.limit(7), Vec::new());
            loop {
                let page = log.query(&query).await.unwrap();
                assert!(page.events.len() <= 7);
                assert!(page.events.windows(2).all(|pair| pair[0].index > pair[1].index), "newest first");
                numbers.extend(page.events.iter().filter_map(|found| match found.event.detail("number") {
                    Some(phi_types::Detail::Count(number)) => Some(*number),
                    _ => None,
                }));
                match page.next {
                    Some(next) => query = query.before(next),
                    None => return numbers,
                }
            }
        }
    };
    let expected = |keep: &dyn Fn(u64) -> bool| (0..100).rev().filter(|number| keep(*number)).collect::<Vec<_>>();
    assert_eq!(all(Query::new()).await, expected(&|_| true));
    assert_eq!(all(Query::new().subject(&subject(3))).await, expected(&|number| number % 7 == 3));
    let osei = Actor::human("dr.1@clinic.example").unwrap();
    assert_eq!(all(Query::new().actor(&osei)).await, expected(&|number| number % 3 == 1));
    assert_eq!(all(Query::new().session("s2").subject(&subject(0))).await, expected(&|n| n % 5 == 2 && n % 7 == 0));
    let start = Timestamp::from_unix_seconds(1_767_225_600);
    let between = Query::new()
        .kind("record.read")
        .from(start.saturating_add(Duration::from_secs(20)))
        .until(start.saturating_add(Duration::from_secs(30)));
    assert_eq!(all(between).await, expected(&|number| (20..30).contains(&number)));
    assert_eq!(all(Query::new().kind("record.delete")).await, expected(&|_| false));
}

#[tokio::test]
async fn a_patient_proxy_is_found_but_not_stored() {
    let clinic = Clinic::new().await;
    let log = clinic.open().await;
    let proxy = Actor::patient_proxy("grace.hopper").unwrap();
    let activity =
        Activity::new("record.read", Action::Read, Outcome::Success, Timestamp::UNIX_EPOCH).by(proxy.clone());
    log.recorder().record(activity).await.unwrap();
    log.checkpoint().await.unwrap();
    assert_eq!(log.query(&Query::new().actor(&proxy)).await.unwrap().events.len(), 1);
    log.close().await.unwrap();
    clinic.pool.close().await;
    for file in std::fs::read_dir(clinic.folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"hopper"));
    }
}

#[tokio::test]
async fn two_processes_share_one_log() {
    let clinic = Clinic::new().await;
    let (a, b) = (clinic.open().await, clinic.open().await);
    for number in 0..40 {
        let log = if number % 2 == 0 { &a } else { &b };
        log.recorder().record(read(number)).await.unwrap();
        if number % 3 == 0 {
            let (one, two) = tokio::join!(a.checkpoint(), b.checkpoint());
            one.unwrap();
            two.unwrap();
        }
    }
    a.checkpoint().await.unwrap();
    b.checkpoint().await.unwrap();
    let report = a.verify().await.unwrap();
    assert_eq!((report.findings, report.writers, report.size), (vec![], 2, 43 + 1));
    assert_eq!(b.status().await.unwrap().missing, 0);
}

#[tokio::test]
async fn an_invalid_name_is_refused_and_nothing_else_suffers() {
    let clinic = Clinic::new().await;
    let log = clinic.open().await;
    let bad = Activity::new("Ada Lovelace", Action::Read, Outcome::Success, Timestamp::UNIX_EPOCH);
    let error = log.recorder().record(bad).await.unwrap_err();
    assert!(!format!("{error:?} {error}").contains("Ada"));
    log.recorder().record(read(1)).await.unwrap();
}
