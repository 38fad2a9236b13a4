use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use super::{KekSet, Member};
use crate::error::Error;
use crate::kms::{Carrier, KmsError, KmsEvent, KmsFuture, Sleeper, WrapContext, Wrapped};

/// When a second KEK is asked as well.
#[derive(Debug, Clone)]
pub(super) struct Hedge {
    /// The time until enough answers were measured.
    pub(super) initial: Duration,
    pub(super) sleeper: Arc<dyn Sleeper>,
}

/// One KEK that is being asked.
struct Flight<'a> {
    /// Which of the copies.
    copy: usize,
    member: &'a Member,
    /// Whether it was asked only because another one is slow.
    hedge: bool,
    began: Duration,
    future: KmsFuture<'a, Carrier>,
}

/// What happened next.
enum Next {
    /// This flight landed.
    Landed(usize, Result<Carrier, KmsError>),
    /// The only flight takes longer than usual.
    Late,
}

impl KekSet {
    /// Unwraps with any KEK of the set that holds one of the copies and answers. `open` is given the place of the copy and
    /// its carrier, and returns what the carrier opens: a KMS that gives another carrier is found out there.
    ///
    /// # Errors
    /// [`Error::NoKek`] when no copy is under a KEK of the set; the terminal error of a KEK unless
    /// [`OnTerminal::TryOthers`](super::OnTerminal::TryOthers) was chosen; otherwise, when no copy opens, the first error.
    pub async fn unwrap_dek<T: Send>(
        &self,
        copies: &[Wrapped],
        context: &WrapContext,
        open: impl Fn(usize, &Carrier) -> Result<T, Error> + Send + Sync,
    ) -> Result<T, Error> {
        let mut waiting = self.candidates(copies);
        let mut flights = Vec::with_capacity(2);
        let (mut first, mut ended, mut hedged) = (None, false, false);
        loop {
            hedged &= !flights.is_empty();
            // Beside one that is late there is always another one, whatever became of the one before.
            let due = flights.is_empty() || (hedged && flights.len() == 1);
            let next = if due && !ended { waiting.pop_front() } else { None };
            if let Some((copy, member)) = next {
                let wrapped = copies.get(copy).ok_or(Error::NoKek)?;
                if hedged {
                    self.0.watch.tell(&KmsEvent::Hedged { kek_id: member.kms.kek_id() });
                }
                flights.push(self.ask(copy, member, wrapped, context, hedged));
            }
            if flights.is_empty() {
                return Err(first.unwrap_or(Error::NoKek));
            }
            let may_hedge = !hedged && !ended && !waiting.is_empty();
            let mut late = flights.first().filter(|_| may_hedge).and_then(|flight| self.late(flight.member));
            let (at, result) = match land(&mut flights, late.as_mut()).await {
                Next::Landed(at, result) => (at, result),
                Next::Late => {
                    hedged = true;
                    continue;
                }
            };
            let flight = flights.swap_remove(at);
            let now = self.0.clock.monotonic();
            let error = match result {
                Ok(carrier) => {
                    flight.member.health.answered(now.saturating_sub(flight.began));
                    match open(flight.copy, &carrier) {
                        Ok(opened) => {
                            let slow = flights.iter().map(|flight| (flight.member, now.saturating_sub(flight.began)));
                            slow.for_each(|(member, latency)| member.health.overtaken(latency));
                            return Ok(opened);
                        }
                        Err(error) => {
                            // It answered with another carrier, or the sealed part of this copy is damaged.
                            first = first.or(Some(error));
                            KmsError::Corrupt
                        }
                    }
                }
                Err(error) => {
                    if error.is_transient() {
                        flight.member.health.failed(now);
                    }
                    if !self.goes_on(&error) {
                        // A hedge that is refused does not take the answer away that is still under way.
                        if !flight.hedge {
                            return Err(Error::Kms(error));
                        }
                        (first, ended) = (Some(Error::Kms(error.clone())), true);
                    }
                    first = first.or_else(|| Some(Error::Kms(error.clone())));
                    error
                }
            };
            self.0.watch.tell(&KmsEvent::PassedOver { kek_id: flight.member.kms.kek_id(), error: &error });
        }
    }

    /// The copies that a KEK of this set holds, in the order in which they are asked for: as the KEKs were given, those
    /// that failed a moment ago last.
    fn candidates(&self, copies: &[Wrapped]) -> VecDeque<(usize, &Member)> {
        let now = self.0.clock.monotonic();
        let mut found = Vec::with_capacity(copies.len());
        for member in &self.0.members {
            let held = copies.iter().enumerate().filter(|(_, copy)| copy.kek_id() == member.kms.kek_id());
            found.extend(held.map(|(at, _)| (at, &**member)));
        }
        found.sort_by_key(|(_, member)| member.health.is_resting(now));
        found.into()
    }

    fn ask<'a>(
        &'a self,
        copy: usize,
        member: &'a Member,
        wrapped: &'a Wrapped,
        context: &'a WrapContext,
        hedge: bool,
    ) -> Flight<'a> {
        let began = self.0.clock.monotonic();
        Flight { copy, member, hedge, began, future: member.kms.unwrap_dek(wrapped, context) }
    }

    /// Completes when a KEK takes longer than it usually does.
    fn late(&self, member: &Member) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        let hedge = self.0.hedge.as_ref()?;
        Some(hedge.sleeper.sleep(member.health.p95().unwrap_or(hedge.initial)))
    }
}

/// Waits for whichever comes first. What is ready at once is never late.
async fn land(flights: &mut [Flight<'_>], mut late: Option<&mut Pin<Box<dyn Future<Output = ()> + Send>>>) -> Next {
    poll_fn(|task| {
        for (at, flight) in flights.iter_mut().enumerate() {
            if let Poll::Ready(result) = flight.future.as_mut().poll(task) {
                return Poll::Ready(Next::Landed(at, result));
            }
        }
        match &mut late {
            Some(late) => late.as_mut().poll(task).map(|()| Next::Late),
            None => Poll::Pending,
        }
    })
    .await
}
