//! Data keys under a new domain key: how much longer that takes than the store alone.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use phi_keys::{Change, EphemeralKeyring, KeyRow, KeyStore, KeyUse, Keys, MemoryKeyStore, Scope, Slot, SqliteKeyStore};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::NAME;
use crate::Result;
use crate::measure::Effort;
use crate::report::{Better, Report, Row};

/// As many rows as one transaction of ours has.
const BATCH: NonZeroU32 = NonZeroU32::MIN.saturating_add(500 - 1);
const ROUNDS: usize = 3;
const STORE: &str = "the store alone";
const TENANT: &str = "default";

pub(crate) async fn run(report: &mut Report, effort: Effort) -> Result<()> {
    let rows = if effort.is_quick() { 20_000 } else { 100_000 };
    eprintln!("rewrapping {rows} data keys …");
    let folder = tempfile::tempdir()?;
    let options = SqliteConnectOptions::new().filename(folder.path().join("keys.db")).create_if_missing(true);
    let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
    let store = SqliteKeyStore::new(SqlitePoolOptions::new().max_connections(1).connect_with(options).await?);
    let kek = Arc::new(EphemeralKeyring::generate()?);
    fill(&store, &kek, rows).await?;
    let keys = Keys::builder(store.clone()).kek(kek).build().await?;

    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let before = all(&store).await?;
        let _ = keys.rotate_domain_key(KeyUse::Data).await?;
        let began = Instant::now();
        let rewrapped = keys.rewrap_data_keys().await?.rewrapped;
        ours.push(began.elapsed().as_secs_f64());
        if rewrapped != u64::from(rows) {
            return Err(format!("{rewrapped} of {rows} data keys were rewrapped").into());
        }
        let began = Instant::now();
        swap(&store, &before).await?;
        limit.push(began.elapsed().as_secs_f64());
    }
    let (ours, limit) = (median(ours), median(limit));
    let workload = format!("rewrap of {rows} data keys");
    let row = |system: &str, version: &str, seconds: f64, notes: &str| {
        Row::new(&workload, system, version, "wall time", seconds, "s", Better::Lower).with_notes(notes.to_owned())
    };
    report.row(row(NAME, &crate::version(NAME), ours, "SQLite, WAL, synchronous FULL; 500 rows a transaction"));
    report.row(row(STORE, "", limit, "the same pages read, and swapped for rows that were made before"));
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

async fn all(store: &SqliteKeyStore) -> Result<HashMap<Option<[u8; 32]>, KeyRow>> {
    let rows = store.data_rows(TENANT, None, NonZeroU32::MAX).await?;
    Ok(rows.into_iter().map(|row| (row.slot.scope, row)).collect())
}

/// Reads page after page and puts what was made before in the place of what is there.
async fn swap(store: &SqliteKeyStore, rows: &HashMap<Option<[u8; 32]>, KeyRow>) -> Result<()> {
    let mut after = None;
    loop {
        let page = store.data_rows(TENANT, after.as_ref(), BATCH).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.clone());
        let mut change = Change::new();
        for row in page {
            let other = rows.get(&row.slot.scope).ok_or("a row that was not there before")?;
            change = change.replace(row, other.clone());
        }
        store.commit(&change).await?;
    }
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
