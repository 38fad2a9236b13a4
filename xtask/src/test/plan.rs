//! Which packages an area names, and which servers their tests use.

use std::collections::BTreeSet;
use std::path::Path;

use super::run::Selection;
use crate::metadata::{self, Metadata};
use crate::servers::Part;
use crate::shell::{self, Result};

struct Area {
    name: &'static str,
    /// Every package in it belongs to the area: a new one is tested without being named here.
    folder: &'static str,
    parts: &'static [Part],
}

const AREAS: &[Area] = &[
    Area { name: "types", folder: "phi-types", parts: &[] },
    Area {
        name: "keys",
        folder: "phi-keys",
        parts: &[Part::Postgres, Part::SoftHsm, Part::Moto, Part::Ministack, Part::Sdk, Part::Python],
    },
    Area { name: "derive", folder: "phi-derive", parts: &[] },
    Area { name: "crypto", folder: "phi-crypto", parts: &[Part::Postgres, Part::OpenSsl, Part::Python] },
    Area { name: "audit", folder: "phi-audit", parts: &[Part::Postgres, Part::SoftHsm, Part::Ministack, Part::Python] },
    Area { name: "session", folder: "phi-session", parts: &[Part::Postgres, Part::Redis, Part::Python] },
    Area { name: "redact", folder: "phi-redact", parts: &[] },
    Area { name: "examples", folder: "examples", parts: &[] },
];

/// What one run of `cargo xtask test` does.
pub(super) struct Plan {
    /// Empty for everything.
    areas: Vec<&'static Area>,
    pub(super) parts: BTreeSet<Part>,
    pub(super) left_out: BTreeSet<Part>,
}

impl Plan {
    pub(super) fn parse(args: &[&str]) -> Result<Self> {
        let mut args = args.to_vec();
        let without = shell::take_option(&mut args, "--without")?.unwrap_or_default();
        let left_out: BTreeSet<Part> =
            without.split(',').filter(|name| !name.is_empty()).map(Part::named).collect::<Result<_>>()?;
        let areas = args.iter().map(|name| area(name)).collect::<Result<Vec<_>>>()?;
        let wanted: BTreeSet<Part> = if areas.is_empty() {
            Part::ALL.into()
        } else {
            areas.iter().flat_map(|area| area.parts).copied().collect()
        };
        let parts = wanted.difference(&left_out).copied().collect();
        Ok(Self { areas, parts, left_out: wanted.intersection(&left_out).copied().collect() })
    }

    /// What cargo is asked to build and run: this workspace, then the replay of the fuzz corpora.
    pub(super) fn selections(&self, metadata: &Metadata) -> Result<Vec<Selection>> {
        let fuzz = ["--manifest-path", "fuzz/Cargo.toml", "--locked"].map(str::to_owned).to_vec();
        if self.areas.is_empty() {
            let mut workspace = vec!["--workspace".to_owned()];
            workspace.extend(metadata::feature_args(metadata, &|_| true));
            return Ok(vec![
                Selection { args: workspace, filter: Vec::new() },
                Selection { args: fuzz, filter: Vec::new() },
            ]);
        }
        let names: BTreeSet<&str> = metadata
            .workspace()
            .filter(|package| self.areas.iter().any(|area| area.holds(&package.manifest)))
            .map(|package| package.name.as_str())
            .collect();
        let mut args: Vec<String> = names.iter().flat_map(|name| ["-p".to_owned(), (*name).to_owned()]).collect();
        args.extend(metadata::feature_args(metadata, &|name| names.contains(name)));
        // A replay test begins with the name of its area.
        let filter = self.areas.iter().map(|area| format!("{}_", area.name)).collect();
        Ok(vec![Selection { args, filter: Vec::new() }, Selection { args: fuzz, filter }])
    }
}

impl Area {
    fn holds(&self, manifest: &str) -> bool {
        Path::new(manifest).starts_with(shell::root().join(self.folder))
    }
}

fn area(name: &str) -> Result<&'static Area> {
    let known = || AREAS.iter().map(|area| area.name).collect::<Vec<_>>().join(", ");
    AREAS
        .iter()
        .find(|area| area.name == name)
        .ok_or_else(|| format!("there is no area `{name}`; there are {}", known()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_needs_every_part_but_those_left_out() {
        let plan = Plan::parse(&["--without", "redis,moto"]).unwrap();
        assert_eq!(plan.left_out, [Part::Redis, Part::Moto].into());
        let parts = [Part::Postgres, Part::SoftHsm, Part::Ministack, Part::Sdk, Part::OpenSsl, Part::Python];
        assert_eq!(plan.parts, parts.into());
    }

    #[test]
    fn an_area_needs_its_own_parts_only() {
        let plan = Plan::parse(&["session", "redact", "--without", "redis,softhsm"]).unwrap();
        assert_eq!(plan.parts, [Part::Postgres, Part::Python].into());
        assert_eq!(plan.left_out, [Part::Redis].into(), "what is not needed is not left out");
    }

    #[test]
    fn unknown_words_are_refused() {
        assert!(Plan::parse(&["sessions"]).is_err());
        assert!(Plan::parse(&["--without", "postgresql"]).is_err());
        assert!(Plan::parse(&["--without"]).is_err());
    }
}
