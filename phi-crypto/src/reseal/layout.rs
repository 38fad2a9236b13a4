//! A table as the job works on it: checked, and with every column at a place.

use core::fmt::Write as _;

use super::ResealError;
use super::table::{Column, KeyKind, ScopeOf, Table};
use crate::Field;
use crate::index::{Declared, Fields};

/// A declaration that was checked.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) table: &'static str,
    pub(super) key: &'static str,
    pub(super) kind: KeyKind,
    pub(super) sealed: Vec<Sealed>,
    pub(super) tags: Vec<Tags>,
    /// Columns that are read as text.
    pub(super) texts: Vec<&'static str>,
    pub(super) scope: ScopeAt,
}

/// A sealed column; places are those of [`Layout::texts`].
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) column: &'static str,
    pub(super) field: Field,
    pub(super) record_id: Option<usize>,
    pub(super) pairs: Vec<(&'static str, usize)>,
    pub(super) row_version: Option<usize>,
}

/// A column of tags; places are those of [`Layout::sealed`].
#[derive(Debug)]
pub(super) struct Tags {
    pub(super) column: &'static str,
    pub(super) declared: Declared,
    pub(super) sources: Vec<usize>,
    /// Where the text of the record id is.
    pub(super) record_id: usize,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum ScopeAt {
    Subject(usize),
    Group(&'static str),
    SubjectOrGroup(usize, &'static str),
}

impl Layout {
    pub(super) fn of(table: &Table) -> Result<Self, ResealError> {
        let mut layout = Self {
            table: table.name,
            key: table.key.column,
            kind: table.key.kind,
            sealed: Vec::new(),
            tags: Vec::new(),
            texts: Vec::new(),
            scope: ScopeAt::Group(""),
        };
        layout.scope = match table.scope {
            Some(ScopeOf::Subject(column)) => ScopeAt::Subject(layout.text(column)),
            Some(ScopeOf::Group(group)) => ScopeAt::Group(group),
            Some(ScopeOf::SubjectOrGroup(column, group)) => ScopeAt::SubjectOrGroup(layout.text(column), group),
            None => {
                return Err(ResealError::Declaration("say whose rows they are: subject, group or subject_or_group"));
            }
        };
        let record_id = layout.text(table.record_id.unwrap_or(table.key.column));
        for (at, column) in table.columns.iter().enumerate() {
            let sealed = layout.sealed(column, record_id);
            layout.sealed.push(sealed);
            for (tags, declared) in &column.indexes {
                layout.tags.push(Tags { column: tags, declared: *declared, sources: vec![at], record_id });
            }
        }
        for (tags, declared) in &table.compounds {
            let sources = layout.sources(declared)?;
            layout.tags.push(Tags { column: tags, declared: *declared, sources, record_id });
        }
        if layout.sealed.is_empty() {
            return Err(ResealError::Declaration("name at least one sealed column of each table"));
        }
        layout.check()?;
        Ok(layout)
    }

    fn text(&mut self, column: &'static str) -> usize {
        self.texts.iter().position(|known| *known == column).unwrap_or_else(|| {
            self.texts.push(column);
            self.texts.len() - 1
        })
    }

    fn sealed(&mut self, column: &Column, record_id: usize) -> Sealed {
        Sealed {
            column: column.name,
            field: column.field,
            record_id: (!column.without_record).then_some(record_id),
            pairs: column.pairs.iter().map(|(key, column)| (*key, self.text(column))).collect(),
            row_version: column.row_version.map(|column| self.text(column)),
        }
    }

    /// The columns of the fields of an index.
    fn sources(&self, declared: &Declared) -> Result<Vec<usize>, ResealError> {
        let Fields::Many(parts) = declared.fields else { return Ok(Vec::new()) };
        let place = |field: &str| self.sealed.iter().position(|sealed| sealed.field.name() == field);
        let places = parts.iter().map(|(field, _)| place(field)).collect::<Option<Vec<_>>>();
        places.ok_or(ResealError::Declaration("name the column of every field of a compound index"))
    }

    /// Names go into SQL: only what needs no second thought does.
    fn check(&self) -> Result<(), ResealError> {
        let mut parts = self.table.split('.');
        let table = parts.all(is_name) && self.table.split('.').count() <= 2;
        let written: Vec<_> = self.written().collect();
        let columns = written.iter().chain([&self.key]).chain(&self.texts).find(|name| !is_name(name));
        match (table, columns) {
            (false, _) => Err(ResealError::Name(self.table)),
            (true, Some(name)) => Err(ResealError::Name(name)),
            (true, None)
                if written
                    .iter()
                    .enumerate()
                    .any(|(at, name)| written.iter().skip(at + 1).any(|other| other == name)) =>
            {
                Err(ResealError::Declaration("name each sealed column and each column of tags once"))
            }
            (true, None) => Ok(()),
        }
    }

    /// The columns that the job writes: the sealed ones, then the tags.
    pub(super) fn written(&self) -> impl Iterator<Item = &'static str> {
        self.sealed.iter().map(|sealed| sealed.column).chain(self.tags.iter().map(|tags| tags.column))
    }

    /// Everything that must be the same when a job is taken up again, as text.
    pub(super) fn describe(&self, out: &mut String) {
        let kind = match self.kind {
            KeyKind::Text => "text",
            KeyKind::Integer => "integer",
            KeyKind::Uuid => "uuid",
        };
        // Writing to a string does not fail.
        let _ = write!(out, "{}({} {kind}):", self.table, self.key);
        for column in self.written() {
            let _ = write!(out, " {column}");
        }
        for tags in &self.tags {
            let _ = write!(out, " v{}", tags.declared.version);
        }
        out.push(';');
    }
}

/// Letters, digits and `_`, not beginning with a digit, at most 63 bytes as PostgreSQL keeps them.
fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let begins = bytes.first().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_');
    begins && bytes.len() <= 63 && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// A table's or column's name as SQL takes it; it was checked before.
pub(super) fn quoted(name: &str) -> String {
    name.split('.').map(|part| format!("\"{part}\"")).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reseal::RowKey;
    use crate::{BlindIndex, IndexSpec, Transform};

    const NAME: Field = Field::new("Patient", "name");
    const BY: IndexSpec = BlindIndex::exact("Patient", "name", "by_name", Transform::Exact);

    fn table(name: &'static str, key: &'static str, column: &'static str, tags: &'static str) -> Table {
        Table::new(name, RowKey::text(key)).group("g").column(Column::new(column, NAME).index(tags, BY))
    }

    #[test]
    fn names_that_are_no_identifiers_are_refused() {
        assert!(Layout::of(&table("patient", "id", "name", "tag")).is_ok());
        assert!(Layout::of(&table("clinic.Patient_2", "_id", "name", "tag")).is_ok());
        for wrong in ["", "1x", "a b", "a\"", "a;--", "a.b.c", "a.", ".a", "ä", "a'", "a\0", &"a".repeat(64)] {
            let wrong: &'static str = wrong.to_owned().leak();
            let refused = |table: Table| matches!(Layout::of(&table), Err(ResealError::Name(name)) if name == wrong);
            assert!(refused(table(wrong, "id", "name", "tag")), "{wrong}");
            assert!(refused(table("patient", wrong, "name", "tag")), "{wrong}");
            assert!(refused(table("patient", "id", wrong, "tag")), "{wrong}");
            assert!(refused(table("patient", "id", "name", wrong)), "{wrong}");
            assert!(refused(table("patient", "id", "name", "tag").record_id(wrong)), "{wrong}");
            assert!(refused(table("patient", "id", "name", "tag").subject(wrong)), "{wrong}");
            let pair = Column::new("note", NAME).pair("kind", wrong);
            assert!(refused(table("patient", "id", "name", "tag").column(pair)), "{wrong}");
        }
        // With a full stop it is a column of another table.
        assert!(Layout::of(&table("patient", "id", "a.b", "tag")).is_err());
    }

    #[test]
    fn contradictory_declarations_are_refused() {
        let refused = |table: Table| matches!(Layout::of(&table), Err(ResealError::Declaration(_)));
        assert!(refused(Table::new("patient", RowKey::text("id")).group("g")));
        assert!(refused(Table::new("patient", RowKey::text("id")).column(Column::new("name", NAME))));
        assert!(refused(table("patient", "id", "name", "name")));
        let both = BlindIndex::compound("Patient", "by", &[("name", Transform::Exact), ("birth", Transform::Year)]);
        assert!(refused(table("patient", "id", "name", "tag").compound_index("both", both)));
    }
}
