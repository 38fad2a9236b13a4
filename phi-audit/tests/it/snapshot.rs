//! A log in memory, in which a test can change every bit: a verification of it costs no statement.

use phi_audit::{
    AuditStore, Counts, EntryRow, Filter, Hash, Head, Integration, PendingRow, Report, SqliteAuditStore, StoreFuture,
    Tile, TileId, VerifierKey, WriterId, verify_store,
};
use sqlx::SqlitePool;

/// What a verifier reads of a log.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) head: Head,
    pub(crate) entries: Vec<EntryRow>,
    pub(crate) tiles: Vec<Tile>,
    pub(crate) checkpoints: Vec<(u64, String)>,
}

impl Snapshot {
    /// Of a log of at most 1,000 entries.
    pub(crate) async fn of(pool: &SqlitePool) -> Self {
        let store = SqliteAuditStore::new(pool.clone());
        let tiles: Vec<TileId> = (0..2).flat_map(|level| (0..4).map(move |index| TileId::new(level, index))).collect();
        Self {
            head: store.head().await.unwrap(),
            entries: store.entries(0, 1_000).await.unwrap(),
            tiles: store.tiles(&tiles).await.unwrap(),
            checkpoints: store.checkpoints(None, 1_000).await.unwrap(),
        }
    }

    pub(crate) async fn verify(&self, key: &VerifierKey) -> Report {
        verify_store(self, key, None, &mut |_, _| {}).await.unwrap()
    }

    pub(crate) fn tile(&mut self, id: TileId) -> &mut Tile {
        self.tiles.iter_mut().find(|tile| tile.id() == id).unwrap()
    }
}

fn ready<'a, T: Send + 'a>(value: T) -> StoreFuture<'a, T> {
    Box::pin(async { Ok(value) })
}

impl AuditStore for Snapshot {
    fn prepare(&self) -> StoreFuture<'_, ()> {
        unreachable!("a verifier only reads")
    }

    fn append<'a>(&'a self, _: &'a [PendingRow]) -> StoreFuture<'a, ()> {
        unreachable!("a verifier only reads")
    }

    fn pending(&self, _: u32) -> StoreFuture<'_, Vec<PendingRow>> {
        ready(Vec::new())
    }

    fn counts(&self) -> StoreFuture<'_, Counts> {
        ready(Counts::new(0, 0))
    }

    fn head(&self) -> StoreFuture<'_, Head> {
        ready(self.head)
    }

    fn claim(&self) -> StoreFuture<'_, Head> {
        unreachable!("a verifier only reads")
    }

    fn integrate<'a>(&'a self, _: &'a Integration) -> StoreFuture<'a, ()> {
        unreachable!("a verifier only reads")
    }

    fn tiles<'a>(&'a self, ids: &'a [TileId]) -> StoreFuture<'a, Vec<Tile>> {
        ready(self.tiles.iter().filter(|tile| ids.contains(&tile.id())).cloned().collect())
    }

    fn entries(&self, start: u64, limit: u32) -> StoreFuture<'_, Vec<EntryRow>> {
        let from = self.entries.iter().filter(move |row| row.index >= start);
        ready(from.take(limit.try_into().unwrap()).cloned().collect())
    }

    fn placed(&self, _: WriterId, _: u64, _: u64) -> StoreFuture<'_, Vec<(u64, u64, Hash)>> {
        unreachable!("no number of a writer is missing in these tests")
    }

    fn query<'a>(&'a self, _: &'a Filter) -> StoreFuture<'a, Vec<(u64, Vec<u8>)>> {
        unreachable!("a verifier does not search")
    }

    fn publish<'a>(&'a self, _: &'a Head, _: &'a str) -> StoreFuture<'a, ()> {
        unreachable!("a verifier only reads")
    }

    fn checkpoints(&self, after: Option<u64>, limit: u32) -> StoreFuture<'_, Vec<(u64, String)>> {
        let next = self.checkpoints.iter().filter(move |(size, _)| after.is_none_or(|after| *size > after));
        ready(next.take(limit.try_into().unwrap()).cloned().collect())
    }

    fn latest_checkpoint(&self) -> StoreFuture<'_, Option<(u64, String)>> {
        ready(self.checkpoints.last().cloned())
    }
}

/// `bytes` with each of their bits changed, one at a time.
pub(crate) fn flips(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len() * 8).map(|bit| {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        changed
    })
}
