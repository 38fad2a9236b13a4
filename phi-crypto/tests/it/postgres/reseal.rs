//! The job on PostgreSQL: keys of every kind, rows that others change, and a connection that is cut.

use std::num::NonZeroU32;

use phi_crypto::reseal::{Column, LeftBecause, ResealError, ResealJob, ResealJobBuilder, RowKey, Table};
use phi_crypto::{BlindIndex, Field, IndexSpec, Opened, Opener, Sealed, Sealer, Suite, Tag, Transform};
use phi_types::NoRecorder;
use sqlx::AssertSqlSafe;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use super::server::Server;
use crate::support::scope;

const NAME: Field = Field::new("Patient", "name");
const ROWS: i32 = 30;

const fn by_name(version: u8) -> IndexSpec {
    BlindIndex::exact("Patient", "name", "by_name", Transform::TrimLowercase).version(version)
}

/// One row's key, as text, in each of the kinds.
fn id(kind: &str, number: i32) -> String {
    match kind {
        "UUID" => format!("00000000-0000-4000-8000-{:012x}", number * 7919 % 104_729),
        "TEXT" => format!("row {number}"),
        _ => (number - 10).to_string(),
    }
}

/// A table with keys of this kind, with a name for each row, of a patient of its own.
async fn fill(server: &Server, kind: &str) {
    let create =
        format!("CREATE TABLE patient (id {kind} PRIMARY KEY, who TEXT, name BYTEA, name_tag BYTEA, note BYTEA)");
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&server.pool).await.unwrap();
    let index = by_name(1).open(&server.keys).await.unwrap();
    for number in 0..ROWS {
        let (id, who) = (id(kind, number), format!("p{number}"));
        let sealer = server.sealer.for_scope(&scope(&who)).await.unwrap();
        let name: Sealed<String> = sealer.seal(&format!("Name {number}"), &NAME.record_id(&id)).unwrap();
        sqlx::query(AssertSqlSafe(
            format!("INSERT INTO patient VALUES ($1::{kind}, $2, $3, $4, NULL)").replace("$1::", "$1::text::"),
        ))
        .bind(&id)
        .bind(&who)
        .bind(name)
        .bind(index.tag(&format!("Name {number}")).unwrap())
        .execute(&server.pool)
        .await
        .unwrap();
    }
}

fn table(kind: &str) -> Table {
    let key = match kind {
        "UUID" => RowKey::uuid("id"),
        "TEXT" => RowKey::text("id"),
        _ => RowKey::integer("id"),
    };
    Table::new("patient", key).subject("who").column(Column::new("name", NAME).index("name_tag", by_name(2)))
}

fn job(server: &Server, opener: Opener) -> ResealJobBuilder {
    let sealer = Sealer::builder(server.keys.clone()).suite(Suite::ChaCha20Poly1305).build();
    ResealJob::builder("suite 2", sealer, opener, NoRecorder).rows_per_chunk(NonZeroU32::new(7).unwrap())
}

/// Opens every row and compares; says how many are in the second suite with a tag of the second version.
async fn check(server: &Server) -> usize {
    let rows: Vec<(String, String, Sealed<String>, Tag)> =
        sqlx::query_as("SELECT id::text, who, name, name_tag FROM patient").fetch_all(&server.pool).await.unwrap();
    let mut done = 0;
    for (id, who, name, tag) in rows {
        let opener = server.opener.for_scope(&scope(&who)).await.unwrap();
        let opened = opener.open(&name, &NAME.record_id(&id)).unwrap();
        let index = by_name(tag.version()).open(&server.keys).await.unwrap();
        assert_eq!(index.tag(opened.expose()).unwrap(), Some(tag));
        assert_eq!(name.as_bytes()[0], tag.version(), "value and tag change together");
        done += usize::from(tag.version() == 2);
    }
    done
}

#[tokio::test]
async fn a_job_reseals_rows_with_keys_of_every_kind_in_postgres() {
    for kind in ["TEXT", "VARCHAR(40)", "INT", "BIGINT", "UUID"] {
        let Some(server) = Server::with_schema("reseal").await else { return };
        let plain = if kind.starts_with("VARCHAR") { "TEXT" } else { kind };
        fill(&server, plain).await;
        if plain != kind {
            let alter = format!("ALTER TABLE patient ALTER COLUMN id TYPE {kind}");
            sqlx::raw_sql(AssertSqlSafe(alter)).execute(&server.pool).await.unwrap();
        }
        // A second process goes on where the first one stopped.
        for chunks in [2, 1, 100] {
            let mut job =
                job(&server, server.opener.clone()).table(table(plain)).open(server.pool.clone()).await.unwrap();
            let before = job.references().await.unwrap();
            assert_eq!((before.by_key.len(), before.by_key.values().sum::<u64>(), before.not_sealed), (30, 30, 0));
            for _ in 0..chunks {
                if job.next_chunk().await.unwrap().is_none() {
                    break;
                }
            }
        }
        let job = job(&server, server.opener.clone()).table(table(plain)).open(server.pool.clone()).await.unwrap();
        let counts = job.progress().counts;
        assert_eq!((counts.rows, counts.resealed, counts.tags, counts.unreadable), (30, 30, 30, 0), "{kind}");
        assert_eq!(check(&server).await, 30, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_changes_a_row_meanwhile_wins_in_postgres() {
    let Some(server) = Server::with_schema("reseal_meanwhile").await else { return };
    fill(&server, "INT").await;
    // A transaction that holds the row until after the job has come to it.
    let sealer = server.sealer.for_scope(&scope("p3")).await.unwrap();
    let written: Sealed<String> = sealer.seal("New Name", &NAME.record_id(-7_i64)).unwrap();
    let tag = by_name(1).open(&server.keys).await.unwrap().tag("New Name").unwrap();
    let (pool, begun) = (server.pool.clone(), std::sync::atomic::AtomicBool::new(false));
    let observer = move |_: &Opened<'_>| {
        if begun.swap(true, std::sync::atomic::Ordering::SeqCst) {
            return;
        }
        let (pool, written) = (pool.clone(), written.clone());
        block_in_place(|| {
            Handle::current().block_on(async {
                let mut transaction = pool.begin().await.unwrap();
                let update =
                    sqlx::query("UPDATE patient SET name = $1, name_tag = $2 WHERE id = -7").bind(written).bind(tag);
                update.execute(&mut *transaction).await.unwrap();
                sqlx::query("DELETE FROM patient WHERE id = -5").execute(&mut *transaction).await.unwrap();
                tokio::spawn(async move {
                    // The job waits for this transaction, whichever of the two comes first.
                    sqlx::query("SELECT pg_sleep(0.2)").execute(&mut *transaction).await.unwrap();
                    transaction.commit().await.unwrap();
                });
            });
        });
    };
    let opener = Opener::builder(server.keys.clone()).observer(observer).build();
    let mut job = job(&server, opener).table(table("INT")).open(server.pool.clone()).await.unwrap();
    let counts = job.run().await.unwrap().counts;
    assert_eq!((counts.rows, counts.resealed, counts.contended), (30, 29, 0));
    assert_eq!(check(&server).await, 29);
    let name: Sealed<String> =
        sqlx::query_scalar("SELECT name FROM patient WHERE id = -7").fetch_one(&server.pool).await.unwrap();
    let opened = server.opener.for_scope(&scope("p3")).await.unwrap().open(&name, &NAME.record_id(-7_i64)).unwrap();
    assert_eq!((name.as_bytes()[0], opened.expose().as_str()), (2, "New Name"));
}

/// The server ends the job's connection in the middle of its transaction, at the row and at the checkpoint.
const CUT: &str = "CREATE SEQUENCE written;
    CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('written') IN (1, 5, 8, 14, 22, 40) THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER cut BEFORE UPDATE ON patient FOR EACH ROW EXECUTE FUNCTION cut();
    CREATE TRIGGER cut AFTER UPDATE ON phi_crypto_reseal FOR EACH ROW EXECUTE FUNCTION cut()";

#[tokio::test]
async fn a_job_whose_connection_is_cut_goes_on_in_postgres() {
    let Some(server) = Server::with_schema("reseal_cut").await else { return };
    fill(&server, "BIGINT").await;
    let open = async || {
        let job = job(&server, server.opener.clone()).rows_per_chunk(NonZeroU32::new(3).unwrap());
        job.table(table("BIGINT")).open(server.pool.clone()).await.unwrap()
    };
    open().await;
    server.run(CUT).await;
    let mut cut = 0;
    while let Err(error) = open().await.run().await {
        assert!(matches!(error, ResealError::Database(_)), "{error:?}");
        check(&server).await;
        cut += 1;
        assert!(cut <= 6);
    }
    assert_eq!((cut, check(&server).await), (6, 30));
    assert_eq!(open().await.progress().counts.rows, 30, "each row is counted once");
}

#[tokio::test]
async fn a_column_of_another_type_is_named_and_a_plaintext_is_left_in_postgres() {
    let Some(server) = Server::with_schema("reseal_types").await else { return };
    fill(&server, "TEXT").await;
    let wrong = Table::new("patient", RowKey::text("id")).subject("who").column(Column::new("who", NAME));
    let mut job_of_text = job(&server, server.opener.clone()).table(wrong).open(server.pool.clone()).await.unwrap();
    let refused = job_of_text.next_chunk().await;
    assert!(matches!(refused, Err(ResealError::Column { table: "patient", column: "who", .. })), "{refused:?}");

    server.run("UPDATE patient SET name = convert_to(repeat('Ada Lovelace ', 9), 'UTF8') WHERE id = 'row 4'").await;
    server.run("UPDATE patient SET name = 'short' WHERE id = 'row 5'").await;
    let mut job =
        job(&server, server.opener.clone()).table(table("TEXT")).restart().open(server.pool.clone()).await.unwrap();
    assert_eq!(job.references().await.unwrap().not_sealed, 2);
    let mut left = Vec::new();
    while let Some(progress) = job.next_chunk().await.unwrap() {
        left.extend(progress.left);
    }
    let keys: Vec<_> = left.iter().map(|row| (row.expose_key(), row.reason)).collect();
    assert_eq!(keys, [("row 4", LeftBecause::NotSealed), ("row 5", LeftBecause::NotSealed)]);
    assert_eq!(job.progress().counts.resealed, 28);
}
