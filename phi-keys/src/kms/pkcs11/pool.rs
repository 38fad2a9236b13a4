//! Sessions on threads of their own: a call into a token blocks, some for seconds.

use core::fmt;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use super::config::Pkcs11Config;
use super::error::Pkcs11Error;
use super::kms::{self, Pkcs11Kms};
use super::login::{Login, Open};
use super::module;
use super::signer::{Curve, Pkcs11Signer};

/// Logged-in sessions with one token, each on a thread of its own. Clones share them; so do the KEKs and signing keys that are
/// opened from it.
///
/// A session that was lost (the token was removed, another program logged out) is opened again and the request repeated once.
/// A PIN that the token refused is not tried again. Neither threads nor sessions exist in a process that was forked from the one
/// that opened the pool: there every call answers [`Pkcs11Error::Forked`]. When the last clone is dropped the threads end by themselves;
/// [`close`](Self::close) ends them sooner, and waits for it.
#[derive(Clone)]
pub struct Pkcs11Pool(Arc<Owner>);

/// Ends the threads when the last user is gone.
struct Owner {
    shared: Arc<Shared>,
    threads: Mutex<Vec<(JoinHandle<()>, oneshot::Receiver<()>)>>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    login: Login,
    queue: usize,
    /// The process that the threads are in.
    process: u32,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    closed: bool,
}

type Job = Box<dyn FnOnce(&mut Worker<'_>) + Send>;

impl Pkcs11Pool {
    /// Starts the threads and logs in once, so that a wrong module, label or PIN shows here.
    ///
    /// When other code of this process is already logged in to the token, the token does not look at the PIN.
    ///
    /// # Errors
    /// [`Pkcs11Error`].
    pub async fn open(config: Pkcs11Config) -> Result<Self, Pkcs11Error> {
        let Pkcs11Config { module, token, pin, sessions, queue } = config;
        let login = Login::new(module::ready(module)?, token, pin);
        let shared = Arc::new(Shared::new(login, queue, std::process::id()));
        let pool = Self(Arc::new(Owner { shared, threads: Mutex::default() }));
        for number in 0..sessions {
            pool.spawn(number)?;
        }
        pool.run(|_| Ok(())).await?;
        Ok(pool)
    }

    /// The KEK labelled `label`: one or more AES-256 keys with this label, whose ids are its versions.
    ///
    /// # Errors
    /// [`Pkcs11Error::KeyMissing`], [`Pkcs11Error::Unsupported`] when it can do neither AES-GCM nor key wrapping, other
    /// [`Pkcs11Error`]s for what their names say.
    pub async fn kek(&self, label: &str) -> Result<Pkcs11Kms, Pkcs11Error> {
        Pkcs11Kms::open(self.clone(), label).await
    }

    /// Makes the first version of a KEK, an AES-256 key that never leaves the token, and opens it.
    ///
    /// Where the token offers AES-GCM the key may encrypt and decrypt, otherwise wrap and unwrap; never both, because whoever may
    /// use both could wrap another key of the token and decrypt the result.
    ///
    /// # Errors
    /// [`Pkcs11Error::KeyExists`], [`Pkcs11Error::Unsupported`], other [`Pkcs11Error`]s for what their names say.
    pub async fn create_kek(&self, label: &str) -> Result<Pkcs11Kms, Pkcs11Error> {
        kms::create(self, label, None).await?;
        self.kek(label).await
    }

    /// Like [`create_kek`](Self::create_kek), with a key that may only wrap and unwrap (`CKM_AES_KEY_WRAP_PAD`) although the
    /// token offers AES-GCM: for policies that forbid a KEK to decrypt data. The token then does not know the context, which
    /// is bound by key derivation alone.
    ///
    /// # Errors
    /// As for [`create_kek`](Self::create_kek).
    pub async fn create_wrapping_kek(&self, label: &str) -> Result<Pkcs11Kms, Pkcs11Error> {
        kms::create(self, label, Some(super::wrap::Mechanism::KeyWrapPad)).await?;
        self.kek(label).await
    }

    /// The Ed25519 or P-256 key pair labelled `label`.
    ///
    /// # Errors
    /// [`Pkcs11Error::KeyMissing`], [`Pkcs11Error::KeyAmbiguous`] when there are several, other [`Pkcs11Error`]s for what their
    /// names say.
    pub async fn signer(&self, label: &str) -> Result<Pkcs11Signer, Pkcs11Error> {
        Pkcs11Signer::open(self.clone(), label).await
    }

    /// Makes an Ed25519 key pair whose private key never leaves the token, and opens it.
    ///
    /// # Errors
    /// [`Pkcs11Error::KeyExists`], [`Pkcs11Error::Unsupported`] when the token has no Ed25519, other [`Pkcs11Error`]s for what
    /// their names say.
    pub async fn create_signer(&self, label: &str) -> Result<Pkcs11Signer, Pkcs11Error> {
        Pkcs11Signer::create(self.clone(), label, Curve::Ed25519).await
    }

    /// Makes a P-256 key pair for ECDSA whose private key never leaves the token, and opens it: for tokens without Ed25519, and
    /// for who must keep to FIPS 140 modules that lack it.
    ///
    /// # Errors
    /// As for [`create_signer`](Self::create_signer).
    pub async fn create_p256_signer(&self, label: &str) -> Result<Pkcs11Signer, Pkcs11Error> {
        Pkcs11Signer::create(self.clone(), label, Curve::P256).await
    }

    /// Refuses what waits, lets every session finish what it does, closes them and waits for their threads. Every clone, KEK and
    /// signer of this pool answers [`Pkcs11Error::Closed`] from then on.
    pub async fn close(self) {
        self.0.shared.close();
        if self.0.shared.is_forked() {
            return;
        }
        let threads = core::mem::take(&mut *self.0.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for (thread, ended) in threads {
            // Either way the thread is past its last call into the token, so that joining does not block.
            let _ = ended.await;
            let _ = thread.join();
        }
    }

    pub(super) fn token(&self) -> &str {
        self.0.shared.login.token()
    }

    /// Does `work` with a session of the pool. It may be done twice when the session turns out to be lost.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, Pkcs11Error>
    where
        T: Send + 'static,
        F: Fn(&Open) -> Result<T, Pkcs11Error> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        self.0.shared.push(Box::new(move |worker| {
            // Nobody waits any more: a token is too slow to work for nobody.
            if !sender.is_closed() {
                let _ = sender.send(worker.run(&work));
            }
        }))?;
        // The sender is dropped unused when the pool is closed before a session took the job, or the job panicked.
        receiver.await.unwrap_or_else(|_| Err(self.0.shared.unanswered()))
    }

    fn spawn(&self, number: usize) -> Result<(), Pkcs11Error> {
        let shared = Arc::clone(&self.0.shared);
        let (ending, ended) = oneshot::channel();
        let serve = move || {
            serve(&shared);
            drop(ending);
        };
        let thread =
            thread::Builder::new().name(format!("phi-pkcs11-{number}")).spawn(serve).map_err(Pkcs11Error::failed)?;
        self.0.threads.lock().unwrap_or_else(PoisonError::into_inner).push((thread, ended));
        Ok(())
    }
}

impl Shared {
    const fn new(login: Login, queue: usize, process: u32) -> Self {
        let state = State { jobs: VecDeque::new(), closed: false };
        Self { state: Mutex::new(state), wake: Condvar::new(), login, queue, process }
    }

    /// Whether this is another process than the one that the threads are in. There a lock may be held for ever.
    fn is_forked(&self) -> bool {
        std::process::id() != self.process
    }

    fn unanswered(&self) -> Pkcs11Error {
        if self.state().closed { Pkcs11Error::Closed } else { Pkcs11Error::failed("the call into the token panicked") }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job) -> Result<(), Pkcs11Error> {
        if self.is_forked() {
            return Err(Pkcs11Error::Forked);
        }
        let mut state = self.state();
        if state.closed {
            return Err(Pkcs11Error::Closed);
        }
        if state.jobs.len() >= self.queue {
            return Err(Pkcs11Error::Busy);
        }
        state.jobs.push_back(job);
        self.wake.notify_one();
        Ok(())
    }

    /// The next job; `None` once the pool is closed.
    fn next(&self) -> Option<Job> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn close(&self) {
        if self.is_forked() {
            return;
        }
        let waiting = {
            let mut state = self.state();
            state.closed = true;
            core::mem::take(&mut state.jobs)
        };
        self.wake.notify_all();
        drop(waiting);
    }
}

fn serve(shared: &Shared) {
    let mut worker = Worker { login: &shared.login, session: None };
    while let Some(job) = shared.next() {
        // A panic takes its session along, and not the thread: without threads the pool would take jobs and never do them.
        if catch_unwind(AssertUnwindSafe(|| job(&mut worker))).is_err() {
            worker.session = None;
        }
    }
}

/// One thread and its session, which is opened when first needed.
struct Worker<'a> {
    login: &'a Login,
    session: Option<Open>,
}

impl Worker<'_> {
    fn run<T>(&mut self, work: &dyn Fn(&Open) -> Result<T, Pkcs11Error>) -> Result<T, Pkcs11Error> {
        let fresh = self.session.is_none();
        let session = match self.session.take() {
            Some(session) => session,
            None => self.login.open()?,
        };
        match work(&session) {
            // Codes alone do not tell a lost session from altered bytes or a missing key, so the session is asked.
            Err(_) if !session.is_alive() => {
                drop(session);
                // What a token answers while it goes away says nothing about the bytes or the key.
                if fresh { Err(Pkcs11Error::Lost) } else { self.run(work) }
            }
            result => {
                // Dropped, a session is closed, and what it holds is gone.
                if !session.is_spoiled() {
                    self.session = Some(session);
                }
                result
            }
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl fmt::Debug for Pkcs11Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pkcs11Pool({:?})", self.token())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the module that the environment names; `None` without one.
    fn shared(process: u32) -> Option<Arc<Shared>> {
        let Some(path) = std::env::var_os("PHI_TEST_PKCS11_MODULE") else {
            eprintln!("not run: PHI_TEST_PKCS11_MODULE names no module; `cargo xtask test keys` provides SoftHSM2");
            return None;
        };
        let login = Login::new(module::load(path.as_ref()).unwrap(), "nobody's".to_owned(), "1234".into());
        Some(Arc::new(Shared::new(login, 8, process)))
    }

    #[tokio::test]
    async fn a_softhsm_thread_outlives_a_panic() {
        let Some(shared) = shared(std::process::id()) else { return };
        let pool = Pkcs11Pool(Arc::new(Owner { shared, threads: Mutex::default() }));
        pool.spawn(0).unwrap();
        for _ in 0..3 {
            let (sender, receiver) = oneshot::channel::<()>();
            let job = move |_: &mut Worker<'_>| {
                let _held = sender;
                std::panic::resume_unwind(Box::new("as if the module's answer could not be read"));
            };
            pool.0.shared.push(Box::new(job)).unwrap();
            assert!(receiver.await.is_err());
        }
        assert!(matches!(pool.0.shared.unanswered(), Pkcs11Error::Failed(_)));
        assert!(matches!(pool.run(|_| Ok(())).await, Err(Pkcs11Error::TokenMissing)), "the thread works on");
        pool.close().await;
    }

    #[tokio::test]
    async fn a_softhsm_pool_of_another_process_answers_at_once() {
        let Some(shared) = shared(std::process::id().wrapping_add(1)) else { return };
        let pool = Pkcs11Pool(Arc::new(Owner { shared, threads: Mutex::default() }));
        {
            let _held_by_a_thread_that_is_not_here = pool.0.shared.state();
            assert!(matches!(pool.0.shared.push(Box::new(|_| ())), Err(Pkcs11Error::Forked)));
            pool.0.shared.close();
        }
        assert!(matches!(pool.run(|_| Ok(())).await, Err(Pkcs11Error::Forked)));
        pool.close().await;
    }
}
