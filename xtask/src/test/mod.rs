//! `cargo xtask test`: the tests, the servers that they need, and a closing table of what ran against what.

mod closing;
mod listen;
mod plan;
mod run;

use std::thread;

use plan::Plan;

use crate::metadata::Metadata;
use crate::servers;
use crate::shell::{self, Result};

/// `cargo xtask test [area…] [--without part,…]`.
pub(crate) fn main(args: &[&str]) -> Result {
    let begin = shell::now();
    let plan = Plan::parse(args)?;
    let metadata = Metadata::members_only()?;
    let selections = plan.selections(&metadata)?;

    // Installing and starting servers waits for the network, compiling for the processor: side by side.
    let (provided, built) = thread::scope(|scope| {
        let servers = scope.spawn(|| servers::provide(&plan.parts));
        let built = selections.iter().map(run::build).collect::<Result<Vec<_>>>();
        (servers.join(), built)
    });
    let servers = provided.map_err(|_| "starting the servers panicked")??;
    let built = built?;
    for (part, server) in &servers {
        println!("{} {} answered {}", part.title(), server.version, server.answered);
    }

    let environment: Vec<(&str, &str)> = servers
        .iter()
        .flat_map(|(_, server)| &server.environment)
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let mut suites = Vec::new();
    for (selection, binaries) in selections.iter().zip(&built) {
        suites.extend(run::test(selection, binaries, &environment)?);
    }
    closing::print(&plan, &servers, &suites, shell::now().saturating_sub(begin))
}
