//! Rules that hold whatever happens at the same time.

use core::future::Future;
use core::pin::Pin;
use std::sync::Arc;

use tokio::sync::Barrier;
use tokio::task::JoinHandle;

use super::{at, create, hash, load, ok, reason, rotated, row, stamp, tombstone};
use crate::{EndReason, Rotated, Selector, SessionStore, Touched};

const ROUNDS: u8 = 60;

type Job<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Lets all jobs go at the same moment and waits for all of them.
async fn together<T: Send + 'static>(jobs: Vec<Job<T>>) -> Vec<T> {
    let barrier = Arc::new(Barrier::new(jobs.len()));
    let tasks: Vec<JoinHandle<T>> = jobs
        .into_iter()
        .map(|job| {
            let barrier = Arc::clone(&barrier);
            tokio::spawn(async move {
                barrier.wait().await;
                job.await
            })
        })
        .collect();
    let mut out = Vec::with_capacity(tasks.len());
    for task in tasks {
        match task.await {
            Ok(value) => out.push(value),
            Err(error) => panic!("a job of the race failed: {error}"),
        }
    }
    out
}

/// Logout against requests that are under way: whoever comes last, the session is over.
pub(super) async fn no_interleaving_resurrects(store: Arc<dyn SessionStore>) {
    for n in 1..=ROUNDS {
        let row = row(n, "dr.osei", 0);
        create(&*store, &row).await;
        let mut jobs: Vec<Job<()>> = Vec::new();
        for last in [20, 40, 60] {
            let (store, hash) = (Arc::clone(&store), row.token_hash);
            jobs.push(Box::pin(async move {
                ok("touch", store.touch(hash, 1, stamp(last), at(last)).await);
            }));
        }
        let (rotating, old) = (Arc::clone(&store), Arc::clone(&row));
        jobs.push(Box::pin(async move {
            let next = rotated(&old, hash(n, 2));
            ok("rotate", rotating.rotate(old.token_hash, 1, next, stamp(50), at(50)).await);
        }));
        let (ending, id) = (Arc::clone(&store), row.public_id);
        jobs.push(Box::pin(async move {
            let ended = ok("end", ending.end(Selector::One(id), tombstone(EndReason::Logout, 50)).await);
            assert_eq!(ended.len(), 1, "the logout found it, before or after the rotation");
        }));
        together(jobs).await;
        let (old, new) = (reason(&*store, row.token_hash).await, reason(&*store, hash(n, 2)).await);
        let there = [&row.token_hash, &hash(n, 2)];
        assert!(
            matches!((old, new), (Some(EndReason::Logout), None) | (None, Some(EndReason::Logout))),
            "after a logout there is one tombstone and nothing live: {old:?} {new:?} {there:?}"
        );
        for (hash, version) in [(row.token_hash, 1), (hash(n, 2), 2)] {
            assert_eq!(ok("touch", store.touch(hash, version, stamp(70), at(70)).await), Touched::Gone);
        }
    }
    assert_eq!(ok("list", store.list(&Selector::All).await), [], "nothing came back");
}

pub(super) async fn two_rotations_have_one_winner(store: Arc<dyn SessionStore>) {
    for n in 1..=ROUNDS {
        let row = row(n, "dr.osei", 0);
        create(&*store, &row).await;
        let jobs = [2, 3, 4, 5].map(|version| -> Job<Rotated> {
            let (store, row) = (Arc::clone(&store), Arc::clone(&row));
            Box::pin(async move {
                let next = rotated(&row, hash(n, version));
                ok("rotate", store.rotate(row.token_hash, 1, next, stamp(10), at(10)).await)
            })
        });
        let results = together(Vec::from(jobs)).await;
        let won = results.iter().filter(|result| **result == Rotated::Won).count();
        assert_eq!(won, 1, "one winner: {results:?}");
        let mut found = 0;
        for version in [1, 2, 3, 4, 5] {
            found += usize::from(load(&*store, hash(n, version)).await.is_some());
        }
        assert_eq!(found, 1, "one token opens the session");
    }
}

/// A logout, an expiry that a request noticed and a sweep: the end is reported by one of them.
pub(super) async fn an_end_is_returned_once(store: Arc<dyn SessionStore>) {
    for n in 1..=ROUNDS {
        let row = row(n, "dr.osei", 0);
        create(&*store, &row).await;
        let mut jobs: Vec<Job<usize>> = Vec::new();
        for reason in [EndReason::Logout, EndReason::ExpiredIdle] {
            let (store, id) = (Arc::clone(&store), row.public_id);
            jobs.push(Box::pin(
                async move { ok("end", store.end(Selector::One(id), tombstone(reason, 901)).await).len() },
            ));
        }
        let sweeping = Arc::clone(&store);
        jobs.push(Box::pin(async move { ok("sweep", sweeping.sweep(at(901), 10).await).ended.len() }));
        assert_eq!(together(jobs).await.into_iter().sum::<usize>(), 1, "one end, one report");
        ok("reported", store.reported(row.public_id).await);
    }
}

pub(super) async fn parallel_logins_respect_the_limit(store: Arc<dyn SessionStore>) {
    for round in 0..ROUNDS / 6 {
        let jobs = (1..=6).map(|n| -> Job<()> {
            let store = Arc::clone(&store);
            Box::pin(async move {
                let row = row(round * 6 + n, &format!("dr.osei.{round}"), 0);
                ok("create", store.create(row, stamp(0), at(0), Some(2), tombstone(EndReason::Evicted, 0)).await);
            })
        });
        together(jobs.collect()).await;
        let user = row(1, &format!("dr.osei.{round}"), 0).user.clone();
        assert_eq!(ok("list", store.list(&Selector::User(user)).await).len(), 2, "the limit holds");
    }
}

pub(super) async fn touches_commute(store: Arc<dyn SessionStore>) {
    for n in 1..=ROUNDS {
        let row = row(n, "dr.osei", 0);
        create(&*store, &row).await;
        let jobs = [40, 10, 70, 20].map(|last| -> Job<Touched> {
            let (store, hash) = (Arc::clone(&store), row.token_hash);
            Box::pin(async move { ok("touch", store.touch(hash, 1, stamp(last), at(last)).await) })
        });
        together(Vec::from(jobs)).await;
        assert_eq!(load(&*store, row.token_hash).await.map(|stored| stored.stamp), Some(stamp(70)), "the newest stays");
    }
}
