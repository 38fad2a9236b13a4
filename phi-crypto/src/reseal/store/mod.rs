//! The job's statements, on either database.

#[cfg(feature = "postgres")]
mod postgres;
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;

use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

use phi_keys::KeyId;

use self::sql::Statements;
use super::layout::Layout;
use super::{Counts, ResealError};

/// The version of the checkpoint's table.
const VERSION: i64 = 1;

/// The database of the tables that a job works on, which also holds its checkpoint.
#[derive(Clone)]
#[non_exhaustive]
pub enum Database {
    /// SQLite.
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::SqlitePool),
    /// PostgreSQL.
    #[cfg(feature = "postgres")]
    Postgres(sqlx::PgPool),
}

#[cfg(feature = "sqlite")]
impl From<sqlx::SqlitePool> for Database {
    fn from(pool: sqlx::SqlitePool) -> Self {
        Self::Sqlite(pool)
    }
}

#[cfg(feature = "postgres")]
impl From<sqlx::PgPool> for Database {
    fn from(pool: sqlx::PgPool) -> Self {
        Self::Postgres(pool)
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => "Sqlite",
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => "Postgres",
        })
    }
}

/// The key of a row. A UUID is its text.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Key {
    Text(String),
    Integer(i64),
}

impl Key {
    pub(super) fn to_text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Integer(number) => number.to_string(),
        }
    }
}

/// A row as it was read, or is known to be: the written columns, then those read as text, by the places of the layout.
pub(super) struct Row {
    pub(super) key: Key,
    pub(super) written: Vec<Option<Vec<u8>>>,
    pub(super) texts: Vec<Option<String>>,
}

/// A row as it is to be, which happens only where it is still as it was read.
pub(super) struct Update {
    pub(super) row: Arc<Row>,
    pub(super) new: Vec<Option<Vec<u8>>>,
    /// Values and tags that change.
    pub(super) resealed: u64,
    pub(super) tags: u64,
    /// Where the scope of the row stands in the list of the chunk, when a tag is set where there was none.
    pub(super) fills: Option<usize>,
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) job: String,
    /// Counted up by every change: two processes cannot both take the job further.
    pub(super) revision: i64,
    /// What was declared, hashed.
    pub(super) plan: Vec<u8>,
    pub(super) table: usize,
    /// The key of the last row that was looked at, as text.
    pub(super) cursor: Option<String>,
    pub(super) counts: Counts,
    pub(super) rows_total: u64,
}

/// The tables and their statements.
#[derive(Debug)]
pub(super) struct Store {
    database: Database,
    statements: Vec<Statements>,
}

macro_rules! on_either {
    ($self:expr, $function:ident($($argument:expr),*)) => {
        match &$self.database {
            #[cfg(feature = "sqlite")]
            Database::Sqlite(pool) => sqlite::$function(pool, $($argument),*).await,
            #[cfg(feature = "postgres")]
            Database::Postgres(pool) => postgres::$function(pool, $($argument),*).await,
        }
    };
}

impl Store {
    pub(super) fn new(database: Database, layouts: &[Layout]) -> Self {
        let statements = layouts.iter().map(|layout| Statements::new(&database, layout)).collect();
        Self { database, statements }
    }

    /// Makes the table of checkpoints where it is missing.
    pub(super) async fn prepare(&self) -> Result<(), ResealError> {
        let found = on_either!(self, prepare())?;
        if found > VERSION { Err(ResealError::Newer { found, supported: VERSION }) } else { Ok(()) }
    }

    pub(super) async fn load(&self, job: &str) -> Result<Option<Checkpoint>, ResealError> {
        on_either!(self, load(job))
    }

    /// Puts the first checkpoint in, unless there is one.
    pub(super) async fn create(&self, checkpoint: &Checkpoint) -> Result<(), ResealError> {
        on_either!(self, create(checkpoint))
    }

    /// Rows of a table.
    pub(super) async fn count(&self, at: usize) -> Result<u64, ResealError> {
        let rows = on_either!(self, count(&self.at(at)?.count))?;
        Ok(u64::try_from(rows).unwrap_or_default())
    }

    /// The next rows behind a key, in the order of keys.
    pub(super) async fn page(
        &self,
        at: usize,
        layout: &Layout,
        behind: Option<&Key>,
        limit: i64,
    ) -> Result<Vec<Arc<Row>>, ResealError> {
        let statements = self.at(at)?;
        let statement = if behind.is_some() { &statements.next } else { &statements.first };
        on_either!(self, page(statement, layout, behind, limit))
    }

    /// One row, where it is still there.
    pub(super) async fn one(&self, at: usize, layout: &Layout, key: &Key) -> Result<Option<Arc<Row>>, ResealError> {
        let rows = on_either!(self, page(&self.at(at)?.one, layout, Some(key), 1))?;
        Ok(rows.into_iter().next())
    }

    /// Changes rows, each only where it is as it was read, and the checkpoint where all of them were: in one transaction.
    /// Says which rows were changed.
    pub(super) async fn commit(
        &self,
        at: usize,
        updates: &[Update],
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Vec<bool>, ResealError> {
        let none = String::new();
        let statement = self.statements.get(at).map_or(&none, |statements| &statements.update);
        on_either!(self, commit(statement, updates, checkpoint))
    }

    /// How many values each key has in each column; those without a key are not sealed.
    pub(super) async fn references(&self) -> Result<BTreeMap<Option<KeyId>, u64>, ResealError> {
        let mut sum = BTreeMap::new();
        for statement in self.statements.iter().flat_map(|statements| &statements.references) {
            for (kid, rows) in on_either!(self, references(statement))? {
                let kid = kid.and_then(|kid| <[u8; 16]>::try_from(kid).ok()).map(KeyId::from_bytes);
                *sum.entry(kid).or_insert(0) += u64::try_from(rows).unwrap_or_default();
            }
        }
        Ok(sum)
    }

    fn at(&self, at: usize) -> Result<&Statements, ResealError> {
        // A checkpoint never names a table that the job does not have.
        self.statements.get(at).ok_or(ResealError::OtherTables)
    }
}

impl Checkpoint {
    /// The counts in the order of the columns.
    fn numbers(&self) -> [i64; 7] {
        let Counts { rows, resealed, tags, contended, unreadable, shredded } = self.counts;
        [rows, resealed, tags, contended, unreadable, shredded, self.rows_total]
            .map(|count| i64::try_from(count).unwrap_or(i64::MAX))
    }

    fn of_numbers(
        job: &str,
        (revision, table): (i64, i64),
        plan: Vec<u8>,
        cursor: Option<String>,
        numbers: [i64; 7],
    ) -> Self {
        let [rows, resealed, tags, contended, unreadable, shredded, rows_total] =
            numbers.map(|count| u64::try_from(count).unwrap_or_default());
        let counts = Counts { rows, resealed, tags, contended, unreadable, shredded };
        Self {
            job: job.to_owned(),
            revision,
            plan,
            table: usize::try_from(table).unwrap_or(usize::MAX),
            cursor,
            counts,
            rows_total,
        }
    }

    fn table_number(&self) -> i64 {
        i64::try_from(self.table).unwrap_or(i64::MAX)
    }
}
