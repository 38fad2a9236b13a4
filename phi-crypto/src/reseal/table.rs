//! What a job is told about a table.

use crate::index::Declared;
use crate::{CompoundSpec, Field, IndexSpec, PartitionedSpec};

/// A table with sealed columns, as constants of the code.
///
/// Names of tables and columns are written into SQL statements: each is letters, digits and `_`, does not begin with a
/// digit, and a table's may follow its schema's and a full stop. Anything else is refused before a statement is made.
#[derive(Debug, Clone)]
#[must_use]
pub struct Table {
    pub(super) name: &'static str,
    pub(super) key: RowKey,
    pub(super) record_id: Option<&'static str>,
    pub(super) scope: Option<ScopeOf>,
    pub(super) columns: Vec<Column>,
    pub(super) compounds: Vec<(&'static str, Declared)>,
}

/// Whose key seals the rows.
#[derive(Debug, Clone, Copy)]
pub(super) enum ScopeOf {
    Subject(&'static str),
    Group(&'static str),
    SubjectOrGroup(&'static str, &'static str),
}

impl Table {
    /// A table and the unique column by which its rows are read, in order.
    pub const fn new(name: &'static str, key: RowKey) -> Self {
        Self { name, key, record_id: None, scope: None, columns: Vec::new(), compounds: Vec::new() }
    }

    /// The rows are of the patient whose id is in this column.
    pub const fn subject(mut self, column: &'static str) -> Self {
        self.scope = Some(ScopeOf::Subject(column));
        self
    }

    /// The rows are of this group.
    pub const fn group(mut self, group: &'static str) -> Self {
        self.scope = Some(ScopeOf::Group(group));
        self
    }

    /// The rows are of the patient whose id is in this column, and those without one are of this group.
    pub const fn subject_or_group(mut self, column: &'static str, group: &'static str) -> Self {
        self.scope = Some(ScopeOf::SubjectOrGroup(column, group));
        self
    }

    /// The column that holds the record id which values are bound to; the key unless set.
    pub const fn record_id(mut self, column: &'static str) -> Self {
        self.record_id = Some(column);
        self
    }

    /// A sealed column.
    pub fn column(mut self, column: Column) -> Self {
        self.columns.push(column);
        self
    }

    /// A column of tags over several fields, which are columns of the table as well.
    pub fn compound_index<const N: usize>(mut self, tags: &'static str, index: CompoundSpec<N>) -> Self {
        self.compounds.push((tags, *index.declared()));
        self
    }
}

/// The column by which rows are told apart and read in order: a primary key, or another column that is unique, indexed
/// and not null. It does not change while the job runs.
#[derive(Debug, Clone, Copy)]
pub struct RowKey {
    pub(super) column: &'static str,
    pub(super) kind: KeyKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    Text,
    Integer,
    Uuid,
}

impl RowKey {
    /// A text.
    #[must_use]
    pub const fn text(column: &'static str) -> Self {
        Self { column, kind: KeyKind::Text }
    }

    /// A whole number of up to 64 bits. In SQLite, `rowid` will do for most tables without another.
    #[must_use]
    pub const fn integer(column: &'static str) -> Self {
        Self { column, kind: KeyKind::Integer }
    }

    /// A PostgreSQL `UUID`. SQLite has none: there it is a text.
    #[must_use]
    pub const fn uuid(column: &'static str) -> Self {
        Self { column, kind: KeyKind::Uuid }
    }
}

/// A sealed column, the field that it is, and the tags that depend on it.
#[derive(Debug, Clone)]
#[must_use]
pub struct Column {
    pub(super) name: &'static str,
    pub(super) field: Field,
    pub(super) without_record: bool,
    pub(super) pairs: Vec<(&'static str, &'static str)>,
    pub(super) row_version: Option<&'static str>,
    pub(super) indexes: Vec<(&'static str, Declared)>,
}

impl Column {
    /// A column whose values are bound to the field, the tenant, the scope and the record id.
    pub const fn new(name: &'static str, field: Field) -> Self {
        Self { name, field, without_record: false, pairs: Vec::new(), row_version: None, indexes: Vec::new() }
    }

    /// Its values are not bound to a record.
    pub const fn without_record(mut self) -> Self {
        self.without_record = true;
        self
    }

    /// Its values are bound to a pair of this key and the text of another column.
    pub fn pair(mut self, key: &'static str, column: &'static str) -> Self {
        self.pairs.push((key, column));
        self
    }

    /// Its values are bound to the row version in this column. The job does not count it up: what is resealed is the same
    /// version of the row.
    pub const fn row_version(mut self, column: &'static str) -> Self {
        self.row_version = Some(column);
        self
    }

    /// A column of tags over it. Rows whose tag is of an earlier version, or missing, get a new one.
    pub fn index(mut self, tags: &'static str, index: IndexSpec) -> Self {
        self.indexes.push((tags, *index.declared()));
        self
    }

    /// A column of partitioned tags over it.
    pub fn partitioned_index(mut self, tags: &'static str, index: PartitionedSpec) -> Self {
        self.indexes.push((tags, *index.declared()));
        self
    }
}
