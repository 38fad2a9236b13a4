//! EVIDENCE.md: the last run of every job that is too long for continuous integration.

use std::fs;

use crate::shell::{self, Result};

const DOCUMENT: &str = "EVIDENCE.md";

const HEAD: &str = "\
# Evidence

The last run of each job that is too long for continuous integration, written by the job itself.

| job | date | version | command | result |
|---|---|---|---|---|
";

/// Replaces the row of `job`, whether it went well or not, and hands the result on.
pub(crate) fn record(job: &str, command: &str, result: Result<String>) -> Result {
    let path = shell::root().join(DOCUMENT);
    let text = fs::read_to_string(&path).unwrap_or_else(|_| HEAD.to_owned());
    let said = match &result {
        Ok(said) => said.clone(),
        Err(error) => {
            let here = shell::root().display().to_string();
            format!("FAILED: {}", error.to_string().lines().next().unwrap_or_default().replace(&here, "."))
        }
    };
    let version = version().unwrap_or_else(|_| "unknown".to_owned());
    let cells = [job, &shell::today(), &version, &format!("`{command}`"), &said].map(|cell| cell.replace('|', "\\|"));
    fs::write(&path, with_row(&text, job, &format!("| {} |", cells.join(" | "))))?;
    println!("{DOCUMENT}: {job}: {said}");
    result.map(|_| ())
}

/// The commit that was run, and whether the files differed from it.
fn version() -> Result<String> {
    let git = |args: &[&str]| shell::output(std::process::Command::new("git").current_dir(shell::root()).args(args));
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    let others = git(&["status", "--porcelain", "--untracked-files=no"])?;
    let changed = others.lines().any(|line| !line.ends_with(DOCUMENT));
    Ok(if changed { format!("{commit} with changes") } else { commit })
}

/// The document with the job's row in place of its former one, or at the end of the table.
fn with_row(text: &str, job: &str, row: &str) -> String {
    let start = format!("| {job} |");
    let mut lines: Vec<&str> = text.lines().collect();
    match lines.iter_mut().find(|line| line.starts_with(&start)) {
        Some(line) => *line = row,
        None => {
            let end = lines.iter().rposition(|line| line.starts_with('|')).map_or(lines.len(), |last| last + 1);
            lines.insert(end, row);
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::with_row;

    #[test]
    fn a_row_is_replaced_and_a_new_one_added_below_the_table() {
        let text = "# E\n\n| job |\n|---|\n| deny | old |\n\nafter\n";
        assert_eq!(with_row(text, "deny", "| deny | new |"), text.replace("old", "new"));
        let added = with_row(text, "fuzz", "| fuzz | x |");
        assert_eq!(added, text.replace("old |\n", "old |\n| fuzz | x |\n"));
    }
}
