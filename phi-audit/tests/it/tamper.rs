//! What somebody with write access to the database can do, and how each of it is named.

use phi_audit::{Error, Finding, Freshness, Hash, Problem, SqliteAuditStore, verify_store};
use sqlx::Row;

use crate::snapshot::{Snapshot, flips};
use crate::support::{Clinic, read};

fn named(index: u64, problem: Problem) -> impl Fn(&Finding) -> bool {
    move |finding| finding.index == Some(index) && finding.problem == problem
}

#[tokio::test]
async fn an_altered_entry_in_the_database_is_named_until_it_is_put_back() {
    let (clinic, key) = Clinic::filled(3).await;
    for row in Snapshot::of(&clinic.pool).await.entries {
        let put = async |entry: &[u8]| {
            sqlx::query("UPDATE phi_audit_entry SET entry = ? WHERE idx = ?")
                .bind(entry.to_vec())
                .bind(i64::try_from(row.index).unwrap())
                .execute(&clinic.pool)
                .await
                .unwrap();
        };
        put(&flips(&row.entry).last().unwrap()).await;
        let report = clinic.verify(&key).await;
        assert!(named(row.index, Problem::Edited)(report.first_wrong().unwrap()), "{:?}", report.findings);
        put(&row.entry).await;
        assert!(clinic.verify(&key).await.is_consistent());
    }
}

#[tokio::test]
async fn an_altered_or_shortened_tile_and_root_in_the_database_are_named() {
    let (clinic, key) = Clinic::filled(300).await;
    for level in [0, 1] {
        let sql = "SELECT hashes FROM phi_audit_tile WHERE level = ? AND idx = 0";
        let hashes: Vec<u8> = sqlx::query_scalar(sql).bind(level).fetch_one(&clinic.pool).await.unwrap();
        let put = async |hashes: Vec<u8>| {
            let update = "UPDATE phi_audit_tile SET hashes = ? WHERE level = ? AND idx = 0";
            sqlx::query(update).bind(hashes).bind(level).execute(&clinic.pool).await.unwrap();
        };
        for wrong in [flips(&hashes).last().unwrap(), hashes[..hashes.len() - 32].to_vec()] {
            put(wrong).await;
            let problem = clinic.verify(&key).await.first_wrong().unwrap().problem.clone();
            assert!(matches!(problem, Problem::Tile { tile: 0, .. }), "{problem:?}");
        }
        put(hashes).await;
        assert!(clinic.verify(&key).await.is_consistent());
    }
    clinic.run("UPDATE phi_audit_head SET root = zeroblob(32)").await;
    assert_eq!(clinic.verify(&key).await.first_wrong().unwrap().problem, Problem::Head);
}

#[tokio::test]
async fn every_changed_column_is_named() {
    let (clinic, key) = Clinic::filled(9).await;
    for (column, value) in [
        ("writer", "zeroblob(16)"),
        ("sequence", "4711"),
        ("at", "at + 1"),
        ("kind", "'record.reae'"),
        ("actor", "'human:somebody.else'"),
        ("actor", "NULL"),
        ("subject", "zeroblob(32)"),
        ("subject", "NULL"),
        ("session", "'s9'"),
    ] {
        let before = sqlx::query("SELECT * FROM phi_audit_entry WHERE idx = 5").fetch_one(&clinic.pool).await.unwrap();
        clinic.run(&format!("UPDATE phi_audit_entry SET {column} = {value} WHERE idx = 5")).await;
        let report = clinic.verify(&key).await;
        assert_eq!(report.findings, [Finding::clone(report.first_wrong().unwrap())]);
        assert!(named(5, Problem::Column(column))(report.first_wrong().unwrap()), "{column}: {:?}", report.findings);
        sqlx::query("UPDATE phi_audit_entry SET writer = ?, sequence = ?, at = ?, kind = ?, actor = ?, subject = ?, session = ? WHERE idx = 5")
            .bind(before.get::<Vec<u8>, _>("writer"))
            .bind(before.get::<i64, _>("sequence"))
            .bind(before.get::<i64, _>("at"))
            .bind(before.get::<String, _>("kind"))
            .bind(before.get::<Option<String>, _>("actor"))
            .bind(before.get::<Option<Vec<u8>>, _>("subject"))
            .bind(before.get::<Option<String>, _>("session"))
            .execute(&clinic.pool)
            .await
            .unwrap();
        assert!(clinic.verify(&key).await.is_consistent());
    }
}

#[tokio::test]
async fn a_changed_checkpoint_in_the_database_and_one_under_another_size_are_bad_signatures() {
    let (clinic, key) = Clinic::filled(9).await;
    let (size, note): (i64, String) =
        sqlx::query_as("SELECT size, note FROM phi_audit_checkpoint ORDER BY size DESC LIMIT 1")
            .fetch_one(&clinic.pool)
            .await
            .unwrap();
    let put = async |note: String| {
        sqlx::query("UPDATE phi_audit_checkpoint SET note = ? WHERE size = ?")
            .bind(note)
            .bind(size)
            .execute(&clinic.pool)
            .await
            .unwrap();
    };
    let bad = |size: i64| Problem::BadSignature { size: u64::try_from(size).unwrap() };
    put(note.replacen("clinic", "clinik", 1)).await;
    assert_eq!(clinic.verify(&key).await.first_wrong().unwrap().problem, bad(size));
    put(note).await;
    // A genuine checkpoint under another size.
    clinic.run(&format!("UPDATE phi_audit_checkpoint SET size = size - 1 WHERE size = {size}")).await;
    assert_eq!(clinic.verify(&key).await.first_wrong().unwrap().problem, bad(size - 1));
}

#[tokio::test]
async fn a_removed_entry_is_missing() {
    let (clinic, key) = Clinic::filled(20).await;
    clinic.run("DELETE FROM phi_audit_entry WHERE idx = 7").await;
    let report = clinic.verify(&key).await;
    assert!(named(7, Problem::Missing)(report.first_wrong().unwrap()), "{:?}", report.findings);
}

#[tokio::test]
async fn a_removed_entry_whose_successors_moved_up_is_missing() {
    let (clinic, key) = Clinic::filled(20).await;
    clinic.run("DELETE FROM phi_audit_entry WHERE idx = 7").await;
    clinic.run("UPDATE phi_audit_entry SET idx = -idx WHERE idx > 7").await;
    clinic.run("UPDATE phi_audit_entry SET idx = -idx - 1 WHERE idx < 0").await;
    let report = clinic.verify(&key).await;
    assert!(named(7, Problem::Missing)(report.first_wrong().unwrap()), "{:?}", report.findings);
}

#[tokio::test]
async fn a_removed_head_of_the_log_is_missing() {
    let (clinic, key) = Clinic::filled(20).await;
    clinic.run("DELETE FROM phi_audit_entry WHERE idx < 3").await;
    let report = clinic.verify(&key).await;
    for index in 0..3 {
        assert!(report.findings.iter().any(named(index, Problem::Missing)), "{:?}", report.findings);
    }
}

#[tokio::test]
async fn a_removed_tail_is_missing_or_truncated() {
    let (clinic, key) = Clinic::filled(20).await;
    clinic.run("DELETE FROM phi_audit_entry WHERE idx >= 20").await;
    let report = clinic.verify(&key).await;
    assert!(named(20, Problem::Missing)(report.first_wrong().unwrap()), "{:?}", report.findings);
    assert!(matches!(clinic.try_open().await, Err(Error::RolledBack { .. })));
    // With the head and the tree cut to an earlier signed size, the newer checkpoint shows it.
    let size: i64 = sqlx::query_scalar("SELECT size FROM phi_audit_checkpoint ORDER BY size DESC LIMIT 1 OFFSET 1")
        .fetch_one(&clinic.pool)
        .await
        .unwrap();
    truncate(&clinic, u64::try_from(size).unwrap()).await;
    let report = clinic.verify(&key).await;
    let stored = u64::try_from(size).unwrap();
    assert!(
        named(stored, Problem::Truncated { stored, signed: 22 })(report.first_wrong().unwrap()),
        "{:?}",
        report.findings
    );
    // And without the newer checkpoint, only a copy from elsewhere does.
    let known = std::fs::read_to_string(clinic.mark()).unwrap();
    let known = phi_audit::Checkpoint::open(&known, &key).unwrap();
    clinic.run(&format!("DELETE FROM phi_audit_checkpoint WHERE size > {size}")).await;
    assert!(clinic.verify(&key).await.is_consistent());
    let store = SqliteAuditStore::new(clinic.pool.clone());
    let report = verify_store(&store, &key, Some(known), &mut |_, _| {}).await.unwrap();
    assert_eq!(report.freshness, Freshness::Refuted);
    assert_eq!(report.findings[0].problem, Problem::RolledBack { stored, known: 22 });
    assert!(matches!(clinic.try_open().await, Err(Error::RolledBack { stored: _, known: 22 })));
}

/// Cuts entries, tree and head to a size, as an attacker who knows the format would.
async fn truncate(clinic: &Clinic, size: u64) {
    clinic.run(&format!("DELETE FROM phi_audit_entry WHERE idx >= {size}")).await;
    rebuild(clinic).await;
}

/// Recomputes the tree over whatever entries are there.
async fn rebuild(clinic: &Clinic) {
    let entries: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT entry FROM phi_audit_entry ORDER BY idx").fetch_all(&clinic.pool).await.unwrap();
    let leaves: Vec<Hash> = entries.iter().map(|entry| Hash::leaf(entry)).collect();
    assert!(leaves.len() < 256, "one tile is enough here");
    let hashes: Vec<u8> = leaves.iter().flat_map(|leaf| *leaf.as_bytes()).collect();
    sqlx::query("UPDATE phi_audit_tile SET hashes = ? WHERE level = 0 AND idx = 0")
        .bind(hashes)
        .execute(&clinic.pool)
        .await
        .unwrap();
    sqlx::query("UPDATE phi_audit_head SET size = ?, root = ?")
        .bind(i64::try_from(leaves.len()).unwrap())
        .bind(root(&leaves).as_bytes().to_vec())
        .execute(&clinic.pool)
        .await
        .unwrap();
}

fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::empty(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            Hash::node(&root(left), &root(right))
        }
    }
}

#[tokio::test]
async fn swapped_entries_are_reordered() {
    let (clinic, key) = Clinic::filled(20).await;
    clinic.run("UPDATE phi_audit_entry SET idx = -1 WHERE idx = 5").await;
    clinic.run("UPDATE phi_audit_entry SET idx = 5 WHERE idx = 9").await;
    clinic.run("UPDATE phi_audit_entry SET idx = 9 WHERE idx = -1").await;
    let report = clinic.verify(&key).await;
    assert!(named(5, Problem::Reordered { belongs: 9 })(&report.findings[0]), "{:?}", report.findings);
    assert!(named(9, Problem::Reordered { belongs: 5 })(&report.findings[1]), "{:?}", report.findings);
}

#[tokio::test]
async fn a_copied_entry_is_a_duplicate_or_added() {
    let (clinic, key) = Clinic::filled(20).await;
    clinic
        .run("UPDATE phi_audit_entry SET entry = (SELECT entry FROM phi_audit_entry WHERE idx = 5) WHERE idx = 9")
        .await;
    let report = clinic.verify(&key).await;
    assert!(named(9, Problem::Duplicate)(report.first_wrong().unwrap()), "{:?}", report.findings);

    let (clinic, key) = Clinic::filled(20).await;
    clinic
        .run(
            "INSERT INTO phi_audit_entry SELECT 22, entry, zeroblob(16), 0, at, kind, actor, subject, session \
             FROM phi_audit_entry WHERE idx = 5",
        )
        .await;
    let report = clinic.verify(&key).await;
    assert!(named(22, Problem::Added)(report.first_wrong().unwrap()), "{:?}", report.findings);
}

#[tokio::test]
async fn recomputing_everything_without_the_key_is_noticed() {
    let (clinic, key) = Clinic::filled(20).await;
    // A well-formed other event in the place of a true one, with columns, tree and head made to fit.
    let entry: Vec<u8> =
        sqlx::query_scalar("SELECT entry FROM phi_audit_entry WHERE idx = 9").fetch_one(&clinic.pool).await.unwrap();
    let at = entry.windows(4).position(|window| window == b"dr.1").unwrap();
    let forged = [&entry[..at], b"dr.2", &entry[at + 4..]].concat();
    sqlx::query("UPDATE phi_audit_entry SET entry = ?, actor = 'human:dr.2@clinic.example' WHERE idx = 9")
        .bind(forged)
        .execute(&clinic.pool)
        .await
        .unwrap();
    rebuild(&clinic).await;
    let report = clinic.verify(&key).await;
    // Checkpoints were made at 2, 9, 16 and 22 entries.
    assert!(
        named(9, Problem::Rewritten { after: 9, until: 16 })(report.first_wrong().unwrap()),
        "{:?}",
        report.findings
    );
    assert!(matches!(clinic.try_open().await, Err(Error::Inconsistent { .. })));

    // Without the checkpoints nothing is signed.
    clinic.run("DELETE FROM phi_audit_checkpoint").await;
    let report = clinic.verify(&key).await;
    assert_eq!(report.first_wrong().unwrap().problem, Problem::Unsigned);
    assert!(matches!(clinic.try_open().await, Err(Error::Inconsistent { .. })), "the mark remembers");

    // Nor is it signed where nothing remembers.
    std::fs::remove_file(clinic.mark()).unwrap();
    assert!(matches!(clinic.try_open().await, Err(Error::ForgedHead { size: 22 })));

    // With checkpoints by a key of their own, neither.
    let (other, foreign) = Clinic::filled(20).await;
    assert_ne!(foreign, key);
    let note: String = sqlx::query_scalar("SELECT note FROM phi_audit_checkpoint ORDER BY size DESC LIMIT 1")
        .fetch_one(&other.pool)
        .await
        .unwrap();
    clinic.run(&format!("INSERT INTO phi_audit_checkpoint VALUES (22, '{note}')")).await;
    assert_eq!(clinic.verify(&key).await.first_wrong().unwrap().problem, Problem::BadSignature { size: 22 });
}

#[tokio::test]
async fn a_moved_boundary_between_values_is_noticed() {
    let (clinic, key) = Clinic::filled(3).await;
    // The last character of one value is given to the next one: same content when written side by side.
    let entry: Vec<u8> =
        sqlx::query_scalar("SELECT entry FROM phi_audit_entry WHERE idx = 2").fetch_one(&clinic.pool).await.unwrap();
    let kind = entry.windows(11).position(|window| window == b"record.read").unwrap();
    let mut shifted = entry.clone();
    shifted[kind - 1] -= 1;
    assert_ne!(phi_audit::Event::decode(&shifted), phi_audit::Event::decode(&entry));
    sqlx::query("UPDATE phi_audit_entry SET entry = ? WHERE idx = 2")
        .bind(shifted)
        .execute(&clinic.pool)
        .await
        .unwrap();
    assert!(named(2, Problem::Edited)(clinic.verify(&key).await.first_wrong().unwrap()));
}

/// A log with one durable event that is not in the tree yet, and that event's row.
async fn with_pending() -> (Clinic, phi_audit::AuditLog, Vec<u8>, Vec<u8>) {
    let clinic = Clinic::new().await;
    let log = clinic.open().await;
    log.recorder().record(read(1)).await.unwrap();
    let (entry, mac) =
        sqlx::query_as("SELECT entry, mac FROM phi_audit_pending").fetch_one(&clinic.pool).await.unwrap();
    (clinic, log, entry, mac)
}

/// Writer, sequence, entry and MAC.
type Waiting<'a> = (&'a [u8], i64, &'a [u8], &'a [u8]);

#[tokio::test]
async fn every_flipped_bit_of_a_pending_row_sends_it_to_quarantine() {
    let (clinic, log, entry, mac) = with_pending().await;
    let (writer, sequence): (Vec<u8>, i64) =
        sqlx::query_as("SELECT writer, sequence FROM phi_audit_pending").fetch_one(&clinic.pool).await.unwrap();
    clinic.run("DELETE FROM phi_audit_pending").await;
    let insert = async |rows: &[Waiting<'_>]| {
        let mut transaction = clinic.pool.begin().await.unwrap();
        for (writer, sequence, entry, mac) in rows {
            sqlx::query("INSERT INTO phi_audit_pending (writer, sequence, entry, mac) VALUES (?, ?, ?, ?)")
                .bind(writer.to_vec())
                .bind(sequence)
                .bind(entry.to_vec())
                .bind(mac.to_vec())
                .execute(&mut *transaction)
                .await
                .unwrap();
        }
        transaction.commit().await.unwrap();
        log.query(&phi_audit::Query::new()).await.unwrap();
        u64::try_from(rows.len()).unwrap()
    };
    let flip = |bytes: &[u8], bit: usize| {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        changed
    };
    let writers: Vec<_> = (0..128).map(|bit| flip(&writer, bit)).collect();
    let entries: Vec<_> = (0..entry.len() * 8).map(|bit| flip(&entry, bit)).collect();
    let other = |place: usize| 1_000_000 + i64::try_from(place).unwrap();
    // In one transaction, before the events about them take numbers of this writer.
    let rows: Vec<_> = writers
        .iter()
        .map(|changed| (&changed[..], sequence, &entry[..], &mac[..]))
        .chain((0..62).map(|bit| (&writer[..], sequence ^ (1 << bit), &entry[..], &mac[..])))
        .chain(entries.iter().enumerate().map(|(place, changed)| (&writer[..], other(place), &changed[..], &mac[..])))
        .collect();
    let mut altered = insert(&rows).await;
    // Where entry and row agree, only the MAC can tell. Every row is a round of its own here, so this is a sample; the
    // unit test of the MAC flips every bit.
    for bit in (0..mac.len()).map(|byte| byte * 8 + byte % 8) {
        altered += insert(&[(&writer, sequence, &entry, &flip(&mac, bit))]).await;
    }
    for bit in (25..entry.len()).step_by(9).map(|byte| byte * 8 + byte % 8) {
        altered += insert(&[(&writer, sequence, &flip(&entry, bit), &mac)]).await;
    }
    altered += insert(&[(&writer, sequence, &entry, &[])]).await;
    let status = log.status().await.unwrap();
    assert_eq!((status.quarantined, status.pending > 0), (altered, true), "each is set aside, and an event says so");
    let reasons: Vec<String> = sqlx::query_scalar("SELECT DISTINCT reason FROM phi_audit_quarantine ORDER BY reason")
        .fetch_all(&clinic.pool)
        .await
        .unwrap();
    assert_eq!(reasons, ["forged", "malformed", "unknown-key"]);
    let found = log.query(&phi_audit::Query::new().kind("record.read")).await.unwrap();
    assert_eq!(found.events, []);
    // The true row is still welcome.
    insert(&[(&writer, sequence, &entry, &mac)]).await;
    assert_eq!(log.query(&phi_audit::Query::new().kind("record.read")).await.unwrap().events.len(), 1);
}

#[tokio::test]
async fn a_replayed_pending_row_does_not_enter_twice() {
    let (clinic, log, entry, mac) = with_pending().await;
    let (writer, sequence): (Vec<u8>, i64) =
        sqlx::query_as("SELECT writer, sequence FROM phi_audit_pending").fetch_one(&clinic.pool).await.unwrap();
    log.checkpoint().await.unwrap();
    let before = log.status().await.unwrap().size;
    sqlx::query("INSERT INTO phi_audit_pending (writer, sequence, entry, mac) VALUES (?, ?, ?, ?)")
        .bind(writer)
        .bind(sequence)
        .bind(entry)
        .bind(mac)
        .execute(&clinic.pool)
        .await
        .unwrap();
    log.checkpoint().await.unwrap();
    let status = log.status().await.unwrap();
    assert_eq!((status.size, status.pending, status.quarantined), (before, 0, 0));
}

#[tokio::test]
async fn a_removed_pending_row_raises_the_writers_alarm() {
    let (clinic, log, ..) = with_pending().await;
    clinic.run("DELETE FROM phi_audit_pending").await;
    assert!(matches!(log.checkpoint().await, Err(Error::AcknowledgedMissing { count: 1 })));
    assert_eq!(log.status().await.unwrap().missing, 1);
    let alarm = log.query(&phi_audit::Query::new().kind("audit.missing")).await.unwrap();
    assert_eq!(alarm.events.len(), 1);
    log.checkpoint().await.unwrap();
    // The alarm itself carries the next number, so everybody else sees the gap.
    let report = log.verify().await.unwrap();
    assert!(
        matches!(report.first_wrong().unwrap().problem, Problem::Gap { first: 2, last: 2, claimed: false, .. }),
        "{report:?}"
    );
}

#[tokio::test]
async fn an_altered_pending_row_raises_the_writers_alarm() {
    let (clinic, log, ..) = with_pending().await;
    clinic.run("UPDATE phi_audit_pending SET mac = zeroblob(32)").await;
    assert!(matches!(log.checkpoint().await, Err(Error::AcknowledgedMissing { count: 1 })));
    let status = log.status().await.unwrap();
    assert_eq!((status.quarantined, status.missing), (1, 1));
    assert_eq!(log.query(&phi_audit::Query::new().kind("audit.quarantine")).await.unwrap().events.len(), 1);
    let report = log.verify().await.unwrap();
    assert!(matches!(report.first_wrong().unwrap().problem, Problem::Gap { claimed: true, .. }), "{report:?}");
}

#[tokio::test]
async fn a_column_that_is_no_text_is_named() {
    let (clinic, key) = Clinic::filled(9).await;
    for column in ["kind", "actor", "session"] {
        let right: String =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT {column} FROM phi_audit_entry WHERE idx = 5")))
                .fetch_one(&clinic.pool)
                .await
                .unwrap();
        clinic.run(&format!("UPDATE phi_audit_entry SET {column} = CAST(x'ff' AS TEXT) WHERE idx = 5")).await;
        let report = clinic.verify(&key).await;
        assert!(named(5, Problem::Column(column))(report.first_wrong().unwrap()), "{column}: {:?}", report.findings);
        clinic.run(&format!("UPDATE phi_audit_entry SET {column} = '{right}' WHERE idx = 5")).await;
    }
    clinic.run("UPDATE phi_audit_checkpoint SET note = CAST(x'ff' AS TEXT) WHERE size = 2").await;
    assert_eq!(clinic.verify(&key).await.first_wrong().unwrap().problem, Problem::BadSignature { size: 2 });
}

#[tokio::test]
async fn a_head_that_promises_too_much_does_not_keep_the_verifier_busy() {
    let (clinic, key) = Clinic::filled(9).await;
    clinic.run("UPDATE phi_audit_head SET size = 1 << 62").await;
    let bait = "INSERT INTO phi_audit_entry SELECT (1 << 62) - 1, entry, zeroblob(16), 0, at, kind, actor, subject, session \
                FROM phi_audit_entry WHERE idx = 5";
    for sql in ["SELECT 1", bait] {
        clinic.run(sql).await;
        let report = tokio::time::timeout(core::time::Duration::from_secs(20), clinic.verify(&key)).await.unwrap();
        assert!(named(11, Problem::Missing)(report.first_wrong().unwrap()), "{:?}", report.findings);
    }
    let known = phi_audit::Checkpoint::open(&std::fs::read_to_string(clinic.mark()).unwrap(), &key).unwrap();
    clinic.run("DELETE FROM phi_audit_entry WHERE idx > 8").await;
    clinic.run("UPDATE phi_audit_tile SET hashes = substr(hashes, 1, 9 * 32)").await;
    let store = SqliteAuditStore::new(clinic.pool.clone());
    let report = verify_store(&store, &key, Some(known), &mut |_, _| {}).await.unwrap();
    assert_eq!(report.freshness, Freshness::Refuted);
    assert!(named(9, Problem::Missing)(report.first_wrong().unwrap()), "{:?}", report.findings);
}

#[tokio::test]
async fn a_row_that_was_held_back_is_late_and_no_duplicate() {
    let (clinic, log, ..) = with_pending().await;
    clinic.run("CREATE TABLE kept AS SELECT writer, sequence, entry, mac FROM phi_audit_pending").await;
    clinic.run("DELETE FROM phi_audit_pending").await;
    log.recorder().record(read(2)).await.unwrap();
    log.checkpoint().await.unwrap_err();
    clinic.run("INSERT INTO phi_audit_pending (writer, sequence, entry, mac) SELECT * FROM kept").await;
    log.checkpoint().await.unwrap();
    let report = log.verify().await.unwrap();
    let [gap, late] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert!(matches!(gap, Finding { index: Some(2), problem: Problem::Gap { first: 2, last: 2, .. }, .. }), "{gap:?}");
    assert!(matches!(late, Finding { index: Some(4), problem: Problem::Late { sequence: 2, .. }, .. }), "{late:?}");
}

#[tokio::test]
async fn an_entry_before_the_first_is_added() {
    let (clinic, key) = Clinic::filled(9).await;
    clinic
        .run(
            "INSERT INTO phi_audit_entry SELECT -1, entry, zeroblob(16), 0, at, kind, actor, subject, session \
             FROM phi_audit_entry WHERE idx = 5",
        )
        .await;
    let report = clinic.verify(&key).await;
    assert!(named(u64::MAX, Problem::Added)(report.first_wrong().unwrap()), "{:?}", report.findings);
}

#[tokio::test]
async fn entries_that_somebody_put_into_the_tree_are_not_signed() {
    let (clinic, log, ..) = with_pending().await;
    // In the tree, but not under a checkpoint yet.
    log.query(&phi_audit::Query::new()).await.unwrap();
    let entry: Vec<u8> =
        sqlx::query_scalar("SELECT entry FROM phi_audit_entry WHERE idx = 2").fetch_one(&clinic.pool).await.unwrap();
    // Another actor, by a writer that never was.
    let at = entry.windows(4).position(|window| window == b"dr.1").unwrap();
    let mut forged = [&entry[..at], b"dr.2", &entry[at + 4..]].concat();
    forged[1..17].fill(7);
    forged[17..25].fill(0);
    sqlx::query(
        "INSERT INTO phi_audit_entry SELECT 3, ?, ?, 0, at, kind, 'human:dr.2@clinic.example', subject, session \
         FROM phi_audit_entry WHERE idx = 2",
    )
    .bind(forged)
    .bind(vec![7_u8; 16])
    .execute(&clinic.pool)
    .await
    .unwrap();
    rebuild(&clinic).await;
    assert!(matches!(log.checkpoint().await, Err(Error::ForgedHead { size: 4 })));
    log.recorder().record(read(2)).await.unwrap();
    assert!(matches!(log.query(&phi_audit::Query::new()).await, Err(Error::ForgedHead { size: 4 })));
    assert!(matches!(clinic.try_open().await, Err(Error::ForgedHead { size: 4 })));
    // With the true head back, the log goes on.
    clinic.run("DELETE FROM phi_audit_entry WHERE idx = 3").await;
    rebuild(&clinic).await;
    assert_eq!(log.checkpoint().await.unwrap().size(), 4);
    assert!(log.verify().await.unwrap().is_consistent());
}
