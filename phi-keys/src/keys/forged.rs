//! Rows as somebody writes them who has the store root key as well: for `conformance`, which shows what then still holds.

use super::Keys;
use super::root::digest_of;
use crate::error::Error;
use crate::store::{KeyRow, RowKind};

impl Keys {
    /// Gives every row a right MAC, and the generation row the digest of the domain keys among them.
    pub(crate) fn sign_rows(&self, rows: &mut [KeyRow]) -> Result<(), Error> {
        let root = &self.0.root;
        let domains = rows.iter().filter(|row| row.kind == RowKind::Domain).cloned().collect::<Vec<_>>();
        let (_, mut generation) = root.generation(rows)?;
        generation.domains = digest_of(root.backend, &domains);
        for row in rows {
            if row.kind == RowKind::Generation {
                *row = root.generation_row(&generation, row.created)?;
            } else {
                row.authenticate(&root.mac_key)?;
            }
        }
        Ok(())
    }
}
