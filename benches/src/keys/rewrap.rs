//! Data keys under a new domain key: how much longer that takes than the store alone.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use phi_keys::{Change, EphemeralKeyring, KeyStore, KeyUse, Keys, MemoryKeyStore, Scope, Slot, SqliteKeyStore};
use sqlx::Row as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};

use super::NAME;
use crate::Result;
use crate::measure::Effort;
use crate::report::{Better, Report, Row};

/// As many rows as one transaction of ours has.
const BATCH: i64 = 500;
const ROUNDS: usize = 3;
const STORE: &str = "the store alone";
const TENANT: &str = "default";

pub(crate) async fn run(report: &mut Report, effort: Effort) -> Result<()> {
    let rows = if effort.is_quick() { 20_000 } else { 100_000 };
    eprintln!("rewrapping {rows} data keys …");
    let folder = tempfile::tempdir()?;
    let options = SqliteConnectOptions::new().filename(folder.path().join("keys.db")).create_if_missing(true);
    let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    let store = SqliteKeyStore::new(pool.clone());
    let kek = Arc::new(EphemeralKeyring::generate()?);
    fill(&store, &kek, rows).await?;
    let keys = Keys::builder(store.clone()).kek(kek).build().await?;

    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let before = all(&pool).await?;
        let _ = keys.rotate_domain_key(KeyUse::Data).await?;
        let began = Instant::now();
        let rewrapped = keys.rewrap_data_keys().await?.rewrapped;
        ours.push(began.elapsed().as_secs_f64());
        if rewrapped != u64::from(rows) {
            return Err(format!("{rewrapped} of {rows} data keys were rewrapped").into());
        }
        let began = Instant::now();
        swap(&pool, &before).await?;
        limit.push(began.elapsed().as_secs_f64());
    }
    let (ours, limit) = (median(ours), median(limit));
    let workload = format!("rewrap of {rows} data keys");
    let row = |system: &str, version: &str, seconds: f64, notes: &str| {
        Row::new(&workload, system, version, "wall time", seconds, "s", Better::Lower).with_notes(notes.to_owned())
    };
    report.row(row(NAME, &crate::version(NAME), ours, "SQLite, WAL, synchronous FULL; 500 rows a transaction"));
    report.row(row(
        STORE,
        "",
        limit,
        "the statements alone: the same pages read, and swapped for bytes that were made before",
    ));
    report.bar(&workload, &format!("{NAME} ÷ ({STORE})"), ours / limit, "×", 1.25);
    Ok(())
}

/// Puts a store with so many data keys together; each by itself would wait for the disk.
async fn fill(store: &SqliteKeyStore, kek: &Arc<EphemeralKeyring>, rows: u32) -> Result<()> {
    let memory = Arc::new(MemoryKeyStore::new());
    let keys = Keys::builder(Arc::clone(&memory)).kek(Arc::clone(kek)).build().await?;
    for number in 0..rows {
        keys.data_key(&Scope::group(number.to_string())).await?;
    }
    store.prepare().await?;
    let mut first = memory.slot(&Slot::root()).await?;
    first.extend(memory.domain_rows().await?.into_iter().filter(|row| row.slot != Slot::root()));
    store.commit(&first.into_iter().fold(Change::new(), Change::insert)).await?;
    let everything = NonZeroU32::new(rows).ok_or("no rows")?;
    for page in memory.data_rows(TENANT, None, everything).await?.chunks(1_000) {
        store.commit(&page.iter().cloned().fold(Change::new(), Change::insert)).await?;
    }
    Ok(())
}

/// What a rewrap writes into a row.
struct Made {
    parent: Vec<u8>,
    wrapped: Vec<u8>,
    mac: Vec<u8>,
    more: Vec<u8>,
}

/// The rows as they are now, by scope.
async fn all(pool: &SqlitePool) -> Result<HashMap<Vec<u8>, Made>> {
    let rows = sqlx::query("SELECT scope, parent, wrapped, mac, more FROM phi_keys_row WHERE kind = 2");
    let made = |row: &SqliteRow| Made { parent: row.get(1), wrapped: row.get(2), mac: row.get(3), more: row.get(4) };
    Ok(rows.fetch_all(pool).await?.iter().map(|row| (row.get(0), made(row))).collect())
}

/// Reads page after page and puts what was made before in the place of what is there, if it is still what was read.
async fn swap(pool: &SqlitePool, made: &HashMap<Vec<u8>, Made>) -> Result<()> {
    let (mut key_use, mut scope, mut version) = (0_i64, Vec::new(), 0_i64);
    loop {
        let page = sqlx::query(
            "SELECT key_use, scope, version, full_id, parent, state, created, wrapped, mac, more FROM phi_keys_row
             WHERE kind = 2 AND tenant = ?1 AND (key_use, scope, version) > (?2, ?3, ?4)
             ORDER BY key_use, scope, version LIMIT ?5",
        );
        let page = page.bind(TENANT).bind(key_use).bind(&scope).bind(version).bind(BATCH).fetch_all(pool).await?;
        let Some(last) = page.last() else { return Ok(()) };
        (key_use, scope, version) = (last.get(0), last.get(1), last.get(2));
        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
        for row in &page {
            let other = made.get(row.get::<&[u8], _>(1)).ok_or("a row that was not there before")?;
            let update = sqlx::query(
                "UPDATE phi_keys_row SET parent = ?1, wrapped = ?2, mac = ?3, more = ?4
                 WHERE kind = 2 AND tenant = ?5 AND key_use = ?6 AND scope = ?7 AND version = ?8 AND mac = ?9",
            );
            let update =
                update.bind(&other.parent).bind(&other.wrapped).bind(&other.mac).bind(&other.more).bind(TENANT);
            let update = update.bind(row.get::<i64, _>(0)).bind(row.get::<&[u8], _>(1));
            let update = update.bind(row.get::<i64, _>(2)).bind(row.get::<&[u8], _>(8));
            if update.execute(&mut *transaction).await?.rows_affected() != 1 {
                return Err("a row is not what was read".into());
            }
        }
        transaction.commit().await?;
    }
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
