//! A running clinic: the listener and the work in its background.

use core::time::Duration;
use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use tokio::net::TcpListener;
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::app::App;
use crate::failure::{Doing, Failure};
use crate::routes;

/// How often the audit log is signed: an entry that was altered within this time after it was made is noticed by the
/// writer that still holds it, later by the signature.
const CHECKPOINT: Duration = Duration::from_secs(1);
/// How often sessions that nobody used are reported as expired.
const SWEEP: Duration = Duration::from_secs(60);

/// A port that is taken, so that a busy one is noticed before long work begins.
#[derive(Debug)]
pub(crate) struct Port(TcpListener);

impl Port {
    /// Takes a port on the loopback address; 0 takes a free one.
    pub(crate) async fn take(port: u16) -> Result<Self, Failure> {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Ok(listener) => Ok(Self(listener)),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(Failure::PortBusy(port)),
            Err(error) => Err(error).doing("taking a port on 127.0.0.1"),
        }
    }
}

/// A clinic that answers requests.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
    background: JoinHandle<()>,
    app: App,
}

impl Server {
    pub(crate) fn start(app: App, Port(listener): Port) -> Result<Self, Failure> {
        let address = listener.local_addr().doing("asking for the port")?;
        let (stop, stopped) = oneshot::channel();
        let router: Router = routes::router(app.clone());
        let serve = axum::serve(listener, router).with_graceful_shutdown(async {
            // A dropped sender stops the server too.
            let _ = stopped.await;
        });
        let task = tokio::spawn(async { serve.await });
        let background = tokio::spawn(background(app.clone()));
        Ok(Self { address, stop, task, background, app })
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Serves until somebody presses Ctrl-C or the process is told to end.
    pub(crate) async fn until_told(&self) -> Result<(), Failure> {
        let mut terminate = signal(SignalKind::terminate()).doing("waiting for a signal")?;
        tokio::select! {
            pressed = ctrl_c() => pressed.doing("waiting for a signal"),
            _ = terminate.recv() => Ok(()),
        }
    }

    /// Lets requests that are under way finish and closes the audit log.
    pub(crate) async fn stop(self) -> Result<(), Failure> {
        self.background.abort();
        // The server may have stopped by itself.
        let _ = self.stop.send(());
        self.task.await.doing("stopping the server")?.doing("stopping the server")?;
        self.app.audit.close().await.doing("closing the audit log")?;
        Ok(())
    }
}

/// Signs the log and sweeps sessions until it is stopped. A failure is logged and tried again: requests that need the
/// log fail by themselves.
async fn background(app: App) {
    let mut checkpoint = interval(CHECKPOINT);
    let mut sweep = interval(SWEEP);
    checkpoint.set_missed_tick_behavior(MissedTickBehavior::Delay);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = checkpoint.tick() => {
                if let Err(error) = app.audit.checkpoint().await {
                    tracing::error!(%error, "the audit log could not be signed");
                }
            }
            _ = sweep.tick() => {
                if let Err(error) = app.sessions.sweep().await {
                    tracing::error!(%error, "expired sessions could not be reported");
                }
            }
        }
    }
}
