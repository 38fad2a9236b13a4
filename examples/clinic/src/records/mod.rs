//! Patients and their records in the database: sealed on the way in, opened on the way out, found by keyed tags.

mod begun;
mod chart_error;
mod find;
mod place;
mod read;
mod sealed;
mod shred;
mod summary;
mod tags;
mod write;

use phi_crypto::{Opener, Sealer};
use phi_keys::Keys;
use sqlx::SqlitePool;

pub(crate) use chart_error::ChartError;
pub(crate) use find::By;
pub(crate) use sealed::InClear;
pub(crate) use write::Stored;

use crate::routes::opened;

/// The clinic's patients. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    db: SqlitePool,
    keys: Keys,
    sealer: Sealer,
    opener: Opener,
}

impl Records {
    pub(crate) fn new(db: SqlitePool, keys: Keys) -> Self {
        let (sealer, opener) =
            (Sealer::builder(keys.clone()).build(), Opener::builder(keys.clone()).observer(opened).build());
        Self { db, keys, sealer, opener }
    }
}
