//! What `cargo metadata` says about the workspace.

use serde_json::Value;

use crate::shell::{self, Result};

/// Features that replace the cryptographic module and need a C toolchain of their own: "all features" is all but these.
const SET_APART: &[&str] = &["fips"];

/// One package of the resolved graph.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) licence: Option<String>,
    /// `None` for a path dependency.
    pub(crate) source: Option<String>,
    pub(crate) manifest: String,
    /// Not `publish = false`.
    pub(crate) published: bool,
    pub(crate) features: Vec<String>,
    /// Names of the declared dependencies, of every kind.
    pub(crate) dependencies: Vec<String>,
}

/// The workspace and everything it resolves to.
#[derive(Debug)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) members: Vec<String>,
}

impl Metadata {
    /// The workspace with every feature but those set apart.
    pub(crate) fn load() -> Result<Self> {
        let without = Self::query(&["--no-deps"])?;
        let features = feature_args(&without, &|_| true);
        Self::query(&features.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Only the members, without resolving anything.
    pub(crate) fn members_only() -> Result<Self> {
        Self::query(&["--no-deps"])
    }

    fn query(args: &[&str]) -> Result<Self> {
        let text = shell::output(shell::cargo().args(["metadata", "--format-version=1", "--locked"]).args(args))?;
        let value: Value = serde_json::from_str(&text)?;
        // With `--no-deps` there is no resolve graph: every listed package is a member then.
        let reached: Option<Vec<&str>> =
            value.pointer("/resolve/nodes").and_then(Value::as_array).map(|nodes| strings(nodes, "id"));
        let packages = array(&value, "packages")
            .iter()
            .map(package)
            .filter(|package| reached.as_ref().is_none_or(|ids| ids.contains(&package.id.as_str())))
            .collect();
        let members = array(&value, "workspace_members").iter().filter_map(Value::as_str).map(str::to_owned).collect();
        Ok(Self { packages, members })
    }

    /// The members of the workspace.
    pub(crate) fn workspace(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.members.contains(&package.id))
    }

    /// The published crates.
    pub(crate) fn product(&self) -> impl Iterator<Item = &Package> {
        self.workspace().filter(|package| package.published)
    }
}

/// The arguments that mean "all features" for `cargo`, given the packages that it is asked for.
pub(crate) fn feature_args(metadata: &Metadata, selected: &dyn Fn(&str) -> bool) -> Vec<String> {
    let all = || {
        let packages = metadata.workspace().filter(|package| selected(&package.name));
        packages.flat_map(|package| package.features.iter().map(move |feature| (&package.name, feature)))
    };
    if !all().any(|(_, feature)| SET_APART.contains(&feature.as_str())) {
        return vec!["--all-features".to_owned()];
    }
    let wanted = all()
        .filter(|(_, feature)| !SET_APART.contains(&feature.as_str()))
        .map(|(package, feature)| format!("{package}/{feature}"));
    vec!["--features".to_owned(), wanted.collect::<Vec<_>>().join(",")]
}

/// Whether a feature takes part in "all features".
pub(crate) fn is_set_apart(feature: &str) -> bool {
    SET_APART.contains(&feature)
}

fn package(value: &Value) -> Package {
    Package {
        id: text(value, "id"),
        name: text(value, "name"),
        version: text(value, "version"),
        licence: value.get("license").and_then(Value::as_str).map(str::to_owned),
        source: value.get("source").and_then(Value::as_str).map(str::to_owned),
        manifest: text(value, "manifest_path"),
        published: value.get("publish").is_none_or(Value::is_null),
        features: value
            .get("features")
            .and_then(Value::as_object)
            .map(|features| features.keys().cloned().collect())
            .unwrap_or_default(),
        dependencies: array(value, "dependencies").iter().map(|dependency| text(dependency, "name")).collect(),
    }
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn array<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn strings<'a>(values: &'a [Value], key: &str) -> Vec<&'a str> {
    values.iter().filter_map(|value| value.get(key).and_then(Value::as_str)).collect()
}
