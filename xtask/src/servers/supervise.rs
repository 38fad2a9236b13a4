//! Servers that never outlive the job that started them.
//!
//! Each server is the child of a supervisor, which is this program again, in a process group of its own. The supervisor
//! waits on a pipe from the job: when the job lets go of it, or ends in any way (a panic, Ctrl-C, `kill -9`), the pipe
//! closes, and the supervisor stops the server and removes its folder. So no signal handler is needed.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::place::{self, Folder};
use crate::shell::{self, Result};

/// The hidden job that this program starts itself as.
pub(crate) const JOB: &str = "__supervise";

/// Created in the folder when the server ended by itself.
const ENDED: &str = "ended";
const LOG: &str = "log";

/// How long a server may take to answer its first question, on a machine that is busy compiling.
const START_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

/// A server, or only a folder, that is stopped and removed when this value is dropped.
#[derive(Debug)]
pub(crate) struct Supervised {
    supervisor: Child,
    folder: PathBuf,
}

impl Supervised {
    /// Starts `server` in `folder`; without a server, only watches over the folder.
    pub(crate) fn start(folder: Folder, server: Option<&Command>) -> Result<Self> {
        let log = File::create(folder.path().join(LOG))?;
        // The path of the running program may be replaced by the build that runs beside this; the link cannot.
        let mut supervisor = Command::new("/proc/self/exe");
        supervisor.arg(JOB).arg(folder.path());
        if let Some(server) = server {
            supervisor.arg(server.get_program()).args(server.get_args());
            for (name, value) in server.get_envs() {
                match value {
                    Some(value) => supervisor.env(name, value),
                    None => supervisor.env_remove(name),
                };
            }
        }
        let supervisor = supervisor
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .map_err(|error| format!("cannot start a supervisor: {error}"))?;
        Ok(Self { supervisor, folder: folder.keep() })
    }

    /// Asks `question` until it is answered, the server ends or the time is up.
    pub(crate) fn wait<T>(&self, mut question: impl FnMut() -> Result<T>) -> Result<T> {
        let begin = shell::now();
        loop {
            // Read before asking: a server that ends between the two is asked once more, not declared alive.
            let ended = self.folder.join(ENDED).exists();
            match question() {
                Ok(answer) => return Ok(answer),
                Err(_) if ended => return Err(format!("ended at once; its log says:\n{}", self.log()).into()),
                Err(error) if shell::now().saturating_sub(begin) > START_LIMIT => {
                    let limit = START_LIMIT.as_secs();
                    return Err(format!("no answer within {limit} s ({error}); its log says:\n{}", self.log()).into());
                }
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }

    fn log(&self) -> String {
        let text = fs::read(self.folder.join(LOG)).unwrap_or_default();
        shell::last_lines(&String::from_utf8_lossy(&text), 12)
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        // Nothing can be done about a supervisor that cannot be waited for: it ends by itself.
        let _ = self.supervisor.wait();
    }
}

/// The supervisor: `__supervise <folder> [program arg…]`.
pub(crate) fn main(args: &[&str]) -> Result {
    let (folder, server) = args.split_first().ok_or("the supervisor needs a folder")?;
    let folder = Path::new(folder);
    place::check(folder)?;
    let child = match server.split_first() {
        Some((program, args)) => {
            let child =
                Command::new(program).args(args).current_dir(folder).stdin(Stdio::null()).process_group(0).spawn();
            match child {
                Ok(child) => Some(child),
                Err(error) => {
                    eprintln!("cannot run `{program}`: {error}");
                    File::create(folder.join(ENDED))?;
                    None
                }
            }
        }
        None => None,
    };
    let released = released();
    let mut child = child;
    while released.recv_timeout(PAUSE) == Err(mpsc::RecvTimeoutError::Timeout) {
        if let Some(running) = &mut child
            && running.try_wait()?.is_some()
        {
            File::create(folder.join(ENDED))?;
            child = None;
        }
    }
    if let Some(child) = &mut child {
        stop(child)?;
    }
    fs::remove_dir_all(folder)?;
    Ok(())
}

/// Disconnects when the other end of standard input is closed.
fn released() -> mpsc::Receiver<()> {
    let (sender, receiver) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        let mut byte = [0];
        while matches!(std::io::stdin().read(&mut byte), Ok(1)) {}
        drop(sender);
    });
    receiver
}

/// SIGINT is an orderly and fast stop for all of them (for PostgreSQL, SIGTERM would wait for clients).
fn stop(child: &mut Child) -> Result {
    signal("INT", &child.id().to_string());
    let begin = shell::now();
    while child.try_wait()?.is_none() {
        if shell::now().saturating_sub(begin) > STOP_LIMIT {
            // The group: workers that a server left behind go with it. The id is not reused before `wait`.
            signal("KILL", &format!("-{}", child.id()));
            child.wait()?;
            break;
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// The shell's own `kill`: the program of that name is not on every machine.
fn signal(name: &str, process: &str) {
    let _ = Command::new("sh").args(["-c", "kill -s \"$0\" -- \"$1\"", name, process]).status();
}
