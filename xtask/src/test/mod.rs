//! `cargo xtask test`: the tests, the servers that they need, and a closing table of what ran against what.

mod closing;
mod listen;
mod notes;
mod plan;
mod run;

use std::thread;

use notes::Notes;
use plan::Plan;
use run::Environment;

use crate::metadata::Metadata;
use crate::servers::{self, place};
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

    let folder = place::Folder::new("notes")?;
    let noted = folder.path().join("notes");
    let mut environment: Environment<'_> = servers
        .iter()
        .flat_map(|(_, server)| &server.environment)
        .map(|(name, value)| (*name, Some(value.as_ref())))
        .collect();
    environment.push((notes::VARIABLE, Some(noted.as_os_str())));
    // What is left out stays out, also where the caller or the machine has one.
    environment.extend(plan.left_out.iter().flat_map(|part| part.withheld()));
    let mut suites = Vec::new();
    for (selection, binaries) in selections.iter().zip(&built) {
        suites.extend(run::test(selection, binaries, &environment)?);
    }
    closing::print(&plan, &servers, &suites, &Notes::read(&noted)?, shell::now().saturating_sub(begin))
}
