//! `kms-sim vault|gcp|azure|azure-hsm [--port N] [--until-stdin-closes]`: runs one simulator and prints its facts as
//! one line of JSON.

use std::io::{self, Write};
use std::process::ExitCode;

use kms_sim::{Service, Simulator};
use tokio::io::AsyncReadExt;

const USAGE: &str = "usage: kms-sim vault|gcp|azure|azure-hsm [--port N] [--until-stdin-closes]";

struct Arguments {
    service: Service,
    port: u16,
    /// Ends when its standard input does, so that it does not outlive the test that started it.
    until_stdin_closes: bool,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let service = Service::from_word(&words.next()?)?;
        let mut parsed = Self { service, port: 0, until_stdin_closes: false };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--port" => parsed.port = words.next()?.parse().ok()?,
                "--until-stdin-closes" => parsed.until_stdin_closes = true,
                _ => return None,
            }
        }
        Some(parsed)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(arguments) = Arguments::parse(std::env::args().skip(1)) else {
        return fail(USAGE);
    };
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("kms-sim: {error}")),
    }
}

async fn run(arguments: Arguments) -> io::Result<()> {
    let simulator = Simulator::start(arguments.service, arguments.port).await?;
    let mut out = io::stdout();
    writeln!(out, "{}", simulator.facts())?;
    out.flush()?;
    if arguments.until_stdin_closes {
        tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    } else {
        simulator.wait().await;
    }
    Ok(())
}

fn fail(message: &str) -> ExitCode {
    // Nothing is left to do if even this cannot be written.
    let _unwritten = writeln!(io::stderr(), "{message}");
    ExitCode::from(2)
}
