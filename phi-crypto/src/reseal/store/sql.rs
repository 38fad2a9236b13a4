//! The text of the statements. All names were checked to be identifiers, and everything else is bound.

use super::Database;
use crate::reseal::layout::{Layout, quoted};
#[cfg(feature = "postgres")]
use crate::reseal::table::KeyKind;

/// The statements of one table.
#[derive(Debug)]
pub(super) struct Statements {
    /// `$1` is the number of rows.
    pub(super) first: String,
    /// `$1` is the number of rows, `$2` the key behind which they are.
    pub(super) next: String,
    /// `$1` is the number of rows, `$2` the key.
    pub(super) one: String,
    pub(super) update: String,
    pub(super) count: String,
    /// One for each sealed column: kid or null, and number of rows.
    pub(super) references: Vec<String>,
}

impl Statements {
    pub(super) fn new(database: &Database, layout: &Layout) -> Self {
        let table = quoted(layout.table);
        let key = format!("t.{}", quoted(layout.key));
        let (read_key, bound_key) = match (database, layout.kind) {
            #[cfg(feature = "postgres")]
            (Database::Postgres(_), KeyKind::Integer) => (format!("{key}::bigint"), "$2"),
            #[cfg(feature = "postgres")]
            (Database::Postgres(_), KeyKind::Uuid) => (format!("{key}::text"), "$2::uuid"),
            _ => (key.clone(), "$2"),
        };
        let mut columns = vec![read_key];
        columns.extend(layout.written().map(|column| format!("t.{}", quoted(column))));
        columns.extend(layout.texts.iter().map(|column| format!("CAST(t.{} AS TEXT)", quoted(column))));
        let select = format!("SELECT {} FROM {table} AS t", columns.join(", "));
        Self {
            first: format!("{select} WHERE {key} IS NOT NULL ORDER BY {key} LIMIT $1"),
            next: format!("{select} WHERE {key} > {bound_key} ORDER BY {key} LIMIT $1"),
            one: format!("{select} WHERE {key} = {bound_key} LIMIT $1"),
            update: update(database, layout),
            count: format!("SELECT count(*) FROM {table}"),
            references: layout.sealed.iter().map(|sealed| references(database, &table, sealed.column)).collect(),
        }
    }
}

fn update(database: &Database, layout: &Layout) -> String {
    let (table, key) = (quoted(layout.table), quoted(layout.key));
    let columns: Vec<String> = layout.written().map(quoted).collect();
    match database {
        #[cfg(feature = "sqlite")]
        Database::Sqlite(_) => {
            let old = columns.len().saturating_add(2);
            let set: Vec<_> = columns.iter().zip(2..).map(|(column, at)| format!("{column} = ?{at}")).collect();
            let same: Vec<_> = columns.iter().zip(old..).map(|(column, at)| format!("t.{column} IS ?{at}")).collect();
            format!("UPDATE {table} AS t SET {} WHERE t.{key} = ?1 AND {}", set.join(", "), same.join(" AND "))
        }
        #[cfg(feature = "postgres")]
        Database::Postgres(_) => {
            let (key_type, key_cast) = match layout.kind {
                KeyKind::Integer => ("bigint", ""),
                KeyKind::Text => ("text", ""),
                KeyKind::Uuid => ("text", "::uuid"),
            };
            let set: Vec<_> = columns.iter().zip(1..).map(|(column, at)| format!("{column} = u.n{at}")).collect();
            let same = columns.iter().zip(1..).map(|(column, at)| format!("t.{column} IS NOT DISTINCT FROM u.o{at}"));
            let same: Vec<_> = same.collect();
            let count = columns.len();
            let mut arrays = vec![format!("$1::{key_type}[]")];
            arrays.extend((2..).take(count.saturating_mul(2)).map(|at| format!("${at}::bytea[]")));
            let mut names = vec!["k".to_owned()];
            names.extend((1..).take(count).map(|at| format!("n{at}")));
            names.extend((1..).take(count).map(|at| format!("o{at}")));
            format!(
                "UPDATE {table} AS t SET {} FROM unnest({}) WITH ORDINALITY AS u({}, place) WHERE t.{key} = u.k{key_cast} AND {} RETURNING u.place",
                set.join(", "),
                arrays.join(", "),
                names.join(", "),
                same.join(" AND ")
            )
        }
    }
}

/// The kid stands behind the suite. What is no sealed value has none.
fn references(database: &Database, table: &str, column: &str) -> String {
    let column = format!("t.{}", quoted(column));
    let (is_sealed, kid) = match database {
        #[cfg(feature = "sqlite")]
        Database::Sqlite(_) => (
            format!(
                "typeof({column}) = 'blob' AND length({column}) >= 57 AND substr({column}, 1, 1) IN (x'01', x'02', x'11', x'12')"
            ),
            format!("substr({column}, 2, 16)"),
        ),
        #[cfg(feature = "postgres")]
        Database::Postgres(_) => (
            format!("octet_length({column}) >= 57 AND substr({column}, 1, 1) IN ('\\x01', '\\x02', '\\x11', '\\x12')"),
            format!("substr({column}, 2, 16)"),
        ),
    };
    format!(
        "SELECT CASE WHEN {is_sealed} THEN {kid} END, count(*) FROM {table} AS t WHERE {column} IS NOT NULL GROUP BY 1"
    )
}

/// The columns of the checkpoint, in the order in which they are bound.
pub(super) const CHECKPOINT: &str =
    "job, revision, plan, table_at, behind, row_count, resealed, tags, contended, unreadable, shredded, rows_total";

pub(super) const INSERT_CHECKPOINT: &str = "INSERT INTO phi_crypto_reseal
    (job, revision, plan, table_at, behind, row_count, resealed, tags, contended, unreadable, shredded, rows_total)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING";

/// `$2` is the revision that is replaced by the next one.
pub(super) const UPDATE_CHECKPOINT: &str = "UPDATE phi_crypto_reseal SET revision = $2 + 1, plan = $3, table_at = $4,
    behind = $5, row_count = $6, resealed = $7, tags = $8, contended = $9, unreadable = $10, shredded = $11,
    rows_total = $12 WHERE job = $1 AND revision = $2";
