//! Runs the program and looks at what it left behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection, Row};
use tempfile::TempDir;

pub(crate) const PATIENT: &str = include_str!("../fixtures/patient.json");

/// A place for one test: `data` is the data folder, `bundles` what is imported.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("bundles")).unwrap();
        Self { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Adds a bundle to import; names sort in the order of import.
    pub(crate) fn bundle(&self, name: &str, json: impl AsRef<[u8]>) {
        fs::write(self.path("bundles").join(name), json).unwrap();
    }

    /// The program with this place's folders, to which arguments can be added.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clinic"));
        command.env_remove("CLINIC_PASSPHRASE").arg("--tour-only");
        command.arg("--data-dir").arg(self.data()).arg("--import").arg(self.path("bundles"));
        command
    }

    pub(crate) fn run(&self) -> Output {
        self.command().output().unwrap()
    }

    /// Rows of a table of the clinic; none when there is no database yet.
    pub(crate) fn count(&self, table: &str) -> i64 {
        if !self.data().join("clinic.db").exists() {
            return 0;
        }
        let query = format!("SELECT count(*) FROM {table}");
        self.sql(async |connection| {
            // There is no table while the clinic is being set up.
            sqlx::query(AssertSqlSafe(query)).fetch_one(connection).await.map_or(0, |row| row.get(0))
        })
    }

    /// Entries of the audit log that say that a patient came in, those that wait for their turn included.
    pub(crate) fn imports_recorded(&self) -> i64 {
        let waiting =
            |kind: &str| self.count(&format!("phi_audit_pending WHERE instr(entry, CAST('{kind}' AS BLOB)) > 0"));
        // One name begins with the other.
        self.count("phi_audit_entry WHERE kind = 'patient.import'") + waiting("patient.import")
            - waiting("patient.import_begin")
    }

    /// Changes rows of the database from outside the clinic; gives how many.
    pub(crate) fn change(&self, query: String) -> u64 {
        self.sql(async |connection| {
            sqlx::query(AssertSqlSafe(query)).execute(connection).await.unwrap().rows_affected()
        })
    }

    fn sql<T>(&self, work: impl AsyncFnOnce(&mut SqliteConnection) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let options = SqliteConnectOptions::new().filename(self.data().join("clinic.db"));
            let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
            let out = work(&mut connection).await;
            connection.close().await.unwrap();
            out
        })
    }
}

pub(crate) fn entry(id: &str, resource: &str) -> String {
    format!(r#"{{"fullUrl":"urn:uuid:{id}","resource":{resource}}}"#)
}

pub(crate) fn bundle(entries: &[String]) -> String {
    format!(r#"{{"resourceType":"Bundle","type":"transaction","entry":[{}]}}"#, entries.join(","))
}

/// A patient of no importance, with a record number.
pub(crate) fn patient(id: &str, mrn: &str) -> String {
    let number = format!(r#"{{"type":{{"coding":[{{"code":"MR"}}]}},"value":"{mrn}"}}"#);
    entry(id, &format!(r#"{{"resourceType":"Patient","id":"{id}","identifier":[{number}]}}"#))
}

/// The one line that a refused run leaves on standard error.
pub(crate) fn one_line(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.lines().count(), 1, "one line, not: {text}");
    text.trim_end().to_owned()
}

/// Every file under a folder, with its bytes.
pub(crate) fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found
}
