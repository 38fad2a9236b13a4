//! What somebody who can write the database cannot do.

use phi_session::state::Presence;
use phi_session::{Aal, Change, Denied, Issued, Login, Method, Policy, SessionError, Sessions};
use phi_types::Actor;
use sqlx::SqlitePool;

use crate::support::in_sqlite;

/// Every column of a session, with its number of bits and whether it is text.
const BLOBS: [&str; 5] = ["public_id", "token_hash", "auth", "mac", "stamp_mac"];
const TEXTS: [&str; 5] = ["user_kind", "user_id", "tenant", "role", "grant_ref"];
const TIMES: [&str; 5] = ["created", "absolute_deadline", "last_activity", "idle_deadline", "version"];

async fn session(sessions: &Sessions) -> Issued {
    let user = Actor::human("dr.osei@clinic.example").unwrap();
    let login = Login::new(user, Aal::Two, Method::WebAuthn).in_tenant("north").with_role("nurse");
    let issued = sessions.login(login, None).await.unwrap();
    sessions.change(&issued.session, Change::Grant(Some("bg-7".into()))).await.unwrap()
}

/// Writes, looks, and puts back what was there.
async fn refused(sessions: &Sessions, issued: &Issued, pool: &SqlitePool, what: &str, write: &str) {
    sqlx::query("CREATE TABLE saved AS SELECT * FROM phi_session_rows").execute(pool).await.unwrap();
    let written = sqlx::query(sqlx::AssertSqlSafe(write)).execute(pool).await.unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(written.rows_affected(), 1, "{what}");
    let result = sessions.authenticate(&issued.token, Presence::Passive).await;
    assert!(matches!(result, Err(SessionError::Denied(_))), "{what}: {result:?}");
    if !what.starts_with("token_hash") {
        assert!(matches!(result, Err(SessionError::Denied(Denied::Forged | Denied::Ended(_)))), "{what}: {result:?}");
    }
    for restore in
        ["DELETE FROM phi_session_rows", "INSERT INTO phi_session_rows SELECT * FROM saved", "DROP TABLE saved"]
    {
        sqlx::query(restore).execute(pool).await.unwrap();
    }
}

#[tokio::test]
async fn a_flipped_bit_in_any_column_is_refused() {
    let (sessions, _log, _clock, pool, _folder) = in_sqlite(Policy::default()).await;
    let issued = session(&sessions).await;
    let columns: Vec<String> =
        sqlx::query_scalar("SELECT name FROM pragma_table_info('phi_session_rows')").fetch_all(&pool).await.unwrap();
    let ends = ["ended_at", "ended_reason", "ended_by", "end_reported"];
    assert_eq!(columns.len(), BLOBS.len() + TEXTS.len() + TIMES.len() + ends.len(), "every column is tried");
    for column in BLOBS.into_iter().chain(TEXTS) {
        let bytes: Vec<u8> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT CAST({column} AS BLOB) FROM phi_session_rows")))
                .fetch_one(&pool)
                .await
                .unwrap();
        let kind = if TEXTS.contains(&column) { "TEXT" } else { "BLOB" };
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let hex: String = flipped.iter().map(|byte| format!("{byte:02x}")).collect();
            let write = format!("UPDATE phi_session_rows SET {column} = CAST(x'{hex}' AS {kind})");
            refused(&sessions, &issued, &pool, &format!("{column} bit {bit}"), &write).await;
        }
    }
    for column in TIMES {
        for bit in 0..64 {
            let bit = 1_i64 << bit;
            let write = format!("UPDATE phi_session_rows SET {column} = ({column} & ~({bit})) | (~{column} & ({bit}))");
            refused(&sessions, &issued, &pool, &format!("{column} ^ {bit}"), &write).await;
        }
    }
    for (column, value) in [("ended_at", "0"), ("ended_reason", "1"), ("ended_by", "''"), ("end_reported", "1")] {
        refused(&sessions, &issued, &pool, column, &format!("UPDATE phi_session_rows SET {column} = {value}")).await;
    }
    for column in ["tenant", "role", "grant_ref"] {
        refused(&sessions, &issued, &pool, column, &format!("UPDATE phi_session_rows SET {column} = NULL")).await;
    }
    assert!(sessions.authenticate(&issued.token, Presence::Passive).await.is_ok(), "untouched, it opens");
}

#[tokio::test]
async fn a_database_writer_cannot_promote_prolong_move_or_replay() {
    let (sessions, log, _clock, pool, _folder) = in_sqlite(Policy::default()).await;
    let weak =
        sessions.login(Login::new(Actor::human("m.low").unwrap(), Aal::One, Method::Password), None).await.unwrap();
    let strong = session(&sessions).await;
    let id = weak.session.public_id();
    for (what, set) in [
        ("promote", "role = 'admin'"),
        ("become another", "user_id = 'dr.osei@clinic.example'"),
        ("prolong", "absolute_deadline = absolute_deadline + 1"),
        ("stay awake", "last_activity = last_activity + 1, idle_deadline = idle_deadline + 1"),
        (
            "take over another's rights with another's MAC",
            "(user_id, tenant, role, auth, grant_ref, version, mac) = \
             (SELECT user_id, tenant, role, auth, grant_ref, version, mac FROM phi_session_rows WHERE public_id <> x'ID')",
        ),
        (
            "take over another's stamp",
            "(last_activity, idle_deadline, stamp_mac) = \
             (SELECT last_activity, idle_deadline, stamp_mac FROM phi_session_rows WHERE public_id <> x'ID')",
        ),
    ] {
        let set = set.replace("ID", &id.to_string());
        let write = format!("UPDATE phi_session_rows SET {set} WHERE public_id = x'{id}'");
        refused(&sessions, &weak, &pool, what, &write).await;
    }
    // A row that is put back after a rotation opens nothing for the token that was rotated away.
    sqlx::query("CREATE TABLE old AS SELECT * FROM phi_session_rows").execute(&pool).await.unwrap();
    let next = sessions.change(&strong.session, Change::Role(None)).await.unwrap();
    let grant = "UPDATE phi_session_rows SET (role, mac) = (SELECT role, mac FROM old WHERE old.public_id = \
                 phi_session_rows.public_id) WHERE version = 3";
    refused(&sessions, &next, &pool, "take back a role", grant).await;
    assert!(log.kinds().contains(&"session.forged_row".to_owned()), "and the log hears of it");
}

#[tokio::test]
async fn a_damaged_row_is_listed_nowhere_and_stops_nothing() {
    let (sessions, log, clock, pool, _folder) = in_sqlite(Policy::default()).await;
    let admin = Actor::human("it.admin@clinic.example").unwrap();
    let damaged = session(&sessions).await;
    sqlx::query("UPDATE phi_session_rows SET auth = x'00'").execute(&pool).await.unwrap();
    let forged = session(&sessions).await;
    let write = "UPDATE phi_session_rows SET user_id = 'dr.else' WHERE length(auth) > 1";
    sqlx::query(write).execute(&pool).await.unwrap();
    let good = session(&sessions).await;
    assert_eq!(sessions.list_all().await.unwrap().len(), 1);
    let again = Login::new(Actor::human("dr.osei@clinic.example").unwrap(), Aal::One, Method::Password);
    sessions.login(again, Some(&damaged.token)).await.unwrap();
    assert_eq!(sessions.revoke_all(&admin).await.unwrap(), 3, "what can be read");
    for issued in [&damaged, &forged, &good] {
        assert!(sessions.authenticate(&issued.token, Presence::User).await.is_err());
    }
    clock.advance(std::time::Duration::from_secs(86_400));
    sessions.sweep().await.unwrap();
    let named = log.all().iter().any(|a| a.actor.as_ref().is_some_and(|actor| actor.id() == "dr.else"));
    assert!(!named, "a forged name never becomes a fact of the log");
}
