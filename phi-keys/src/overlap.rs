//! Two futures on one task: the store writes while the next batch is made ready. For `phi-crypto` as well.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

/// Lets what else runs on this task go on: a database waits for its next statement, other requests for their turn.
pub async fn give_way() {
    let mut given = false;
    poll_fn(|task| {
        if core::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        task.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Runs two futures at once, on this task.
pub async fn both<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (mut first, mut second) = (None, None);
    poll_fn(|task| {
        if first.is_none()
            && let Poll::Ready(done) = one.as_mut().poll(task)
        {
            first = Some(done);
        }
        if second.is_none()
            && let Poll::Ready(done) = other.as_mut().poll(task)
        {
            second = Some(done);
        }
        match (first.take(), second.take()) {
            (Some(one), Some(other)) => Poll::Ready((one, other)),
            waiting => {
                (first, second) = waiting;
                Poll::Pending
            }
        }
    })
    .await
}
