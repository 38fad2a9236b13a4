//! Sessions in SQLite, in tables beside the application's own.
//!
//! ```
//! use phi_session::SqliteSessionStore;
//! # use sqlx::sqlite::SqlitePoolOptions;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
//! let store = SqliteSessionStore::open(pool).await?; // creates its tables
//! # let _ = store;
//! # Ok(())
//! # }
//! ```

mod codec;
mod schema;

use core::fmt;
use std::sync::Arc;

use phi_types::Timestamp;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Sqlite, SqlitePool};

use crate::store::{REPORT_GRACE, StoreFuture};
use crate::{
    EndReason, PublicId, Rotated, Row, Selector, SessionStore, Stamp, StoreError, Stored, Swept, TokenHash, Tombstone,
    Touched,
};

/// Every column of a session, in the order in which [`codec`] reads them.
macro_rules! columns {
    () => {
        "token_hash, public_id, user_kind, user_id, tenant, role, created, absolute_deadline, auth, grant_ref, version, \
         mac, last_activity, idle_deadline, stamp_mac, ended_at, ended_reason, ended_by, end_reported"
    };
}
/// Live at `?1`, as [`SessionStore`] defines it.
macro_rules! live {
    () => {
        "ended_at IS NULL AND idle_deadline > ?1 AND absolute_deadline > ?1"
    };
}

/// A session store on the caller's SQLite pool. Tables: `phi_session_schema`, `phi_session_rows`.
///
/// Every write is one statement or one immediate transaction, so it works with any number of connections and processes
/// on one database file. Give the pool a busy timeout. User ids are stored as they are: put the file where patient
/// data may lie if patients or their relatives sign in.
pub struct SqliteSessionStore {
    pool: SqlitePool,
}

impl SqliteSessionStore {
    /// Takes the pool into use and creates the tables where they are missing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when SQLite fails, [`StoreError::Newer`] when a newer version of this crate wrote
    /// the tables.
    pub async fn open(pool: SqlitePool) -> Result<Self, StoreError> {
        schema::migrate(&pool).await?;
        Ok(Self { pool })
    }

    async fn insert(
        &self,
        row: Arc<Row>,
        stamp: Stamp,
        now: Timestamp,
        limit: Option<u32>,
        evicted: Tombstone,
    ) -> Result<Vec<Stored>, StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        sqlx::query(
            "INSERT INTO phi_session_rows (token_hash, public_id, user_kind, user_id, tenant, role, created, \
             absolute_deadline, auth, grant_ref, version, mac, last_activity, idle_deadline, stamp_mac) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        )
        .bind(&row.token_hash.as_bytes()[..])
        .bind(&row.public_id.as_bytes()[..])
        .bind(row.user.kind().as_str())
        .bind(row.user.id())
        .bind(row.tenant.as_deref())
        .bind(row.role.as_deref())
        .bind(row.created.as_unix_micros())
        .bind(row.absolute_deadline.as_unix_micros())
        .bind(codec::auth(&row))
        .bind(row.grant.as_deref())
        .bind(codec::version(row.version)?)
        .bind(&row.mac[..])
        .bind(stamp.last_activity.as_unix_micros())
        .bind(stamp.idle_deadline.as_unix_micros())
        .bind(&stamp.mac[..])
        .execute(&mut *transaction)
        .await
        .map_err(|error| match error.as_database_error() {
            Some(reason) if reason.is_unique_violation() => StoreError::Exists,
            _ => failed(error),
        })?;
        let mut out = Vec::new();
        if let Some(limit) = limit {
            let rows = sqlx::query(concat!(
                "UPDATE phi_session_rows SET ended_at = ?2, ended_reason = ?3, ended_by = ?4 WHERE public_id IN \
                 (SELECT public_id FROM phi_session_rows WHERE user_kind = ?5 AND user_id = ?6 AND public_id <> ?7 AND ",
                live!(),
                " ORDER BY created DESC, public_id DESC LIMIT -1 OFFSET ?8) RETURNING ",
                columns!()
            ))
            .bind(now.as_unix_micros())
            .bind(evicted.at.as_unix_micros())
            .bind(evicted.reason.code())
            .bind(evicted.by.as_deref())
            .bind(row.user.kind().as_str())
            .bind(row.user.id())
            .bind(&row.public_id.as_bytes()[..])
            .bind(i64::from(limit.saturating_sub(1)))
            .fetch_all(&mut *transaction)
            .await
            .map_err(failed)?;
            out = readable(&rows);
        }
        transaction.commit().await.map_err(failed)?;
        Ok(out)
    }

    async fn find(&self, hash: TokenHash) -> Result<Option<Stored>, StoreError> {
        sqlx::query(concat!("SELECT ", columns!(), " FROM phi_session_rows WHERE token_hash = ?1"))
            .bind(&hash.as_bytes()[..])
            .fetch_optional(&self.pool)
            .await
            .map_err(failed)?
            .map(|row| codec::read(&row).ok_or(StoreError::Corrupt))
            .transpose()
    }

    async fn advance(
        &self,
        hash: TokenHash,
        version: u64,
        stamp: Stamp,
        now: Timestamp,
    ) -> Result<Touched, StoreError> {
        // Keeping the newer of both stamps inside the statement makes touches commute.
        let done = sqlx::query(concat!(
            "UPDATE phi_session_rows SET \
             stamp_mac = CASE WHEN last_activity < ?4 THEN ?6 ELSE stamp_mac END, \
             idle_deadline = CASE WHEN last_activity < ?4 THEN ?5 ELSE idle_deadline END, \
             last_activity = CASE WHEN last_activity < ?4 THEN ?4 ELSE last_activity END \
             WHERE token_hash = ?2 AND version = ?3 AND ",
            live!()
        ))
        .bind(now.as_unix_micros())
        .bind(&hash.as_bytes()[..])
        .bind(codec::version(version)?)
        .bind(stamp.last_activity.as_unix_micros())
        .bind(stamp.idle_deadline.as_unix_micros())
        .bind(&stamp.mac[..])
        .execute(&self.pool)
        .await
        .map_err(failed)?;
        Ok(if done.rows_affected() == 1 { Touched::Live } else { Touched::Gone })
    }

    async fn swap(
        &self,
        old: TokenHash,
        version: u64,
        row: Arc<Row>,
        stamp: Stamp,
        now: Timestamp,
    ) -> Result<Rotated, StoreError> {
        let done = sqlx::query(concat!(
            "UPDATE phi_session_rows SET token_hash = ?5, user_kind = ?6, user_id = ?7, tenant = ?8, role = ?9, \
             created = ?10, absolute_deadline = ?11, auth = ?12, grant_ref = ?13, version = ?14, mac = ?15, \
             last_activity = ?16, idle_deadline = ?17, stamp_mac = ?18 \
             WHERE token_hash = ?2 AND version = ?3 AND public_id = ?4 AND ",
            live!()
        ))
        .bind(now.as_unix_micros())
        .bind(&old.as_bytes()[..])
        .bind(codec::version(version)?)
        .bind(&row.public_id.as_bytes()[..])
        .bind(&row.token_hash.as_bytes()[..])
        .bind(row.user.kind().as_str())
        .bind(row.user.id())
        .bind(row.tenant.as_deref())
        .bind(row.role.as_deref())
        .bind(row.created.as_unix_micros())
        .bind(row.absolute_deadline.as_unix_micros())
        .bind(codec::auth(&row))
        .bind(row.grant.as_deref())
        .bind(codec::version(row.version)?)
        .bind(&row.mac[..])
        .bind(stamp.last_activity.as_unix_micros())
        .bind(stamp.idle_deadline.as_unix_micros())
        .bind(&stamp.mac[..])
        .execute(&self.pool)
        .await
        .map_err(failed)?;
        if done.rows_affected() == 1 {
            return Ok(Rotated::Won);
        }
        let live: Option<bool> =
            sqlx::query_scalar(concat!("SELECT ", live!(), " FROM phi_session_rows WHERE token_hash = ?2"))
                .bind(now.as_unix_micros())
                .bind(&old.as_bytes()[..])
                .fetch_optional(&self.pool)
                .await
                .map_err(failed)?;
        Ok(if live == Some(false) { Rotated::Gone } else { Rotated::Lost })
    }

    async fn end_all(&self, selector: Selector, tombstone: Tombstone) -> Result<Vec<Stored>, StoreError> {
        macro_rules! end {
            ($which:literal) => {
                concat!(
                    "UPDATE phi_session_rows SET ended_at = ?, ended_reason = ?, ended_by = ? WHERE ended_at IS NULL",
                    $which,
                    " RETURNING ",
                    columns!()
                )
            };
        }
        let query = sqlx::query(match selector {
            Selector::One(_) => end!(" AND public_id = ?"),
            Selector::User(_) => end!(" AND user_kind = ? AND user_id = ?"),
            Selector::Others(..) => end!(" AND user_kind = ? AND user_id = ? AND public_id <> ?"),
            Selector::All => end!(""),
        });
        let query =
            query.bind(tombstone.at.as_unix_micros()).bind(tombstone.reason.code()).bind(tombstone.by.as_deref());
        let rows = select_by(query, &selector).fetch_all(&self.pool).await.map_err(failed)?;
        Ok(readable(&rows))
    }

    async fn select(&self, selector: &Selector) -> Result<Vec<Stored>, StoreError> {
        macro_rules! list {
            ($which:literal) => {
                concat!(
                    "SELECT ",
                    columns!(),
                    " FROM phi_session_rows WHERE ended_at IS NULL",
                    $which,
                    " ORDER BY created, public_id LIMIT 1000"
                )
            };
        }
        let query = sqlx::query(match selector {
            Selector::One(_) => list!(" AND public_id = ?"),
            Selector::User(_) => list!(" AND user_kind = ? AND user_id = ?"),
            Selector::Others(..) => list!(" AND user_kind = ? AND user_id = ? AND public_id <> ?"),
            Selector::All => list!(""),
        });
        let rows = select_by(query, selector).fetch_all(&self.pool).await.map_err(failed)?;
        Ok(readable(&rows))
    }

    async fn mark(&self, id: PublicId) -> Result<(), StoreError> {
        sqlx::query("UPDATE phi_session_rows SET end_reported = 1 WHERE public_id = ?1 AND ended_at IS NOT NULL")
            .bind(&id.as_bytes()[..])
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        Ok(())
    }

    async fn clean(&self, now: Timestamp, batch: u32) -> Result<Swept, StoreError> {
        let before = now.saturating_sub(REPORT_GRACE).as_unix_micros();
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        // The lost ones first: their tombstones must not be mistaken for those of the next statement.
        let lost = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM phi_session_rows WHERE end_reported = 0 AND ended_at <= ?1 LIMIT ?2"
        ))
        .bind(before)
        .bind(batch)
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)?;
        let expired = sqlx::query(concat!(
            "UPDATE phi_session_rows SET ended_at = ?1, \
             ended_reason = CASE WHEN absolute_deadline <= idle_deadline THEN ?3 ELSE ?4 END \
             WHERE public_id IN (SELECT public_id FROM phi_session_rows \
             WHERE ended_at IS NULL AND (idle_deadline <= ?1 OR absolute_deadline <= ?1) LIMIT ?2) RETURNING ",
            columns!()
        ))
        .bind(now.as_unix_micros())
        .bind(batch)
        .bind(EndReason::ExpiredAbsolute.code())
        .bind(EndReason::ExpiredIdle.code())
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)?;
        let deleted = sqlx::query(
            "DELETE FROM phi_session_rows WHERE public_id IN (SELECT public_id FROM phi_session_rows \
             WHERE ended_at IS NOT NULL AND end_reported = 1 AND absolute_deadline <= ?1 LIMIT ?2)",
        )
        .bind(before)
        .bind(batch)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?
        .rows_affected();
        transaction.commit().await.map_err(failed)?;
        let mut ended = readable(&expired);
        ended.extend(readable(&lost));
        Ok(Swept { ended, deleted })
    }
}

type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

/// Binds what a selector names, in the order of the statements above.
fn select_by<'q>(query: Query<'q>, selector: &'q Selector) -> Query<'q> {
    match selector {
        Selector::One(id) => query.bind(&id.as_bytes()[..]),
        Selector::User(user) => query.bind(user.kind().as_str()).bind(user.id()),
        Selector::Others(user, kept) => query.bind(user.kind().as_str()).bind(user.id()).bind(&kept.as_bytes()[..]),
        Selector::All => query,
    }
}

/// Leaves out what no version of this crate wrote: a damaged row must not keep the others from being ended or listed.
fn readable(rows: &[SqliteRow]) -> Vec<Stored> {
    rows.iter().filter_map(codec::read).collect()
}

fn failed(error: sqlx::Error) -> StoreError {
    StoreError::unavailable(error)
}

impl fmt::Debug for SqliteSessionStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteSessionStore").finish_non_exhaustive()
    }
}

impl SessionStore for SqliteSessionStore {
    fn load(&self, hash: TokenHash) -> StoreFuture<'_, Option<Stored>> {
        Box::pin(self.find(hash))
    }

    fn create(
        &self,
        row: Arc<Row>,
        stamp: Stamp,
        now: Timestamp,
        limit: Option<u32>,
        evicted: Tombstone,
    ) -> StoreFuture<'_, Vec<Stored>> {
        Box::pin(self.insert(row, stamp, now, limit, evicted))
    }

    fn touch(&self, hash: TokenHash, version: u64, stamp: Stamp, now: Timestamp) -> StoreFuture<'_, Touched> {
        Box::pin(self.advance(hash, version, stamp, now))
    }

    fn rotate(
        &self,
        old: TokenHash,
        version: u64,
        row: Arc<Row>,
        stamp: Stamp,
        now: Timestamp,
    ) -> StoreFuture<'_, Rotated> {
        Box::pin(self.swap(old, version, row, stamp, now))
    }

    fn end(&self, selector: Selector, tombstone: Tombstone) -> StoreFuture<'_, Vec<Stored>> {
        Box::pin(self.end_all(selector, tombstone))
    }

    fn reported(&self, id: PublicId) -> StoreFuture<'_, ()> {
        Box::pin(self.mark(id))
    }

    fn list<'a>(&'a self, selector: &'a Selector) -> StoreFuture<'a, Vec<Stored>> {
        Box::pin(self.select(selector))
    }

    fn sweep(&self, now: Timestamp, batch: u32) -> StoreFuture<'_, Swept> {
        Box::pin(self.clean(now, batch))
    }
}
