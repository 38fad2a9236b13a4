//! The whole tour on a small import, twice on one folder, and the clinic that serves afterwards.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::support::{PATIENT, Place, bundle, entry, files, one_line, patient};

/// What of the fixture identifies its patient, in the words of the bundle.
const IDENTIFYING: [&str; 26] = [
    "Fairweather-Quill",
    "Wilhelmina Octavia",
    "Underhollow",
    "Stonecropper",
    "Barnaby",
    "77 Larkspur Crescent",
    "Tumbledown",
    "Larch County",
    "Massachusetts, 02139",
    "Fogharbour",
    "42.376043",
    "1931-02-28",
    "2024-05-06",
    "555-0142",
    "555-0143",
    "555-0144",
    "555-0145",
    "mail.example",
    "987-65-4321",
    "987654321",
    "MRN-7340021",
    "1EG4-TE5-MK73",
    "S99955120",
    "X12345678X",
    "LOY-55120",
    "0b5f2f0e-5a1f-4f3d-9a55-7c1f6f0f3a11",
];

fn place() -> Place {
    let place = Place::new();
    let condition = r#"{"resourceType":"Condition","id":"c1","subject":{"reference":"urn:uuid:p1"},
        "code":{"text":"Sprained ankle of Wilhelmina"},"onsetDateTime":"2019-03-04"}"#;
    place.bundle("Wilhelmina_Fairweather-Quill.json", bundle(&[entry("p1", PATIENT), entry("c1", condition)]));
    place.bundle("Zebulon.json", bundle(&[patient("p2", "M-2")]));
    place.bundle(
        "hospital.json",
        bundle(&[entry("o1", r#"{"resourceType":"Organization","id":"o1","name":"St Elsewhere"}"#)]),
    );
    place
}

fn assert_clean(what: &str, bytes: &[u8]) {
    for word in IDENTIFYING {
        let wide: Vec<u8> = word.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let hex: String = word.bytes().map(|byte| format!("{byte:02x}")).collect();
        for form in [word.as_bytes(), &wide, hex.as_bytes()] {
            assert!(!bytes.windows(form.len()).any(|part| part == form), "{word} in {what}");
        }
    }
}

fn assert_clean_folder(folder: &Path) {
    let files = files(folder);
    assert!(files.len() >= 4, "database, keyring, mark and log at least");
    for (path, bytes) in files {
        assert_clean(&path.display().to_string(), &bytes);
    }
}

#[test]
fn the_tour_shows_every_safeguard_twice_on_one_folder_and_leaves_nothing_in_clear() {
    let place = place();
    for known_before in [0, 3] {
        let output = place.run();
        let (report, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(0), "{report}{errors}");
        assert_eq!(errors, "", "no progress where no terminal is");
        let lines: Vec<_> = report.lines().filter(|line| line.contains("  164.")).collect();
        assert_eq!(lines.len(), 27, "{report}");
        assert!(lines.iter().all(|line| line.contains("  ok  ")), "{report}");
        assert!(report.contains(&format!("3 bundles ({known_before} known before)")), "{report}");
        assert_clean("the output", report.as_bytes());
        assert_clean_folder(&place.data());
        assert!(!place.data().join("tour-copy").exists());
    }
    assert_eq!(place.count("clinic_bundles"), 5, "three imported, one made up in each tour");
}

#[test]
fn a_line_that_fails_is_named_and_fails_the_program() {
    let place = place();
    place.bundle("zzz.json", "{");
    one_line(&place.run());
    std::fs::remove_file(place.path("bundles").join("zzz.json")).unwrap();
    // Somebody stored a value without sealing it, of a patient whose chart the tour does not open.
    let clear =
        "UPDATE clinic_patients SET web = CAST('page.example, which is not sealed at all' AS BLOB) WHERE ssn IS NULL";
    assert_eq!(place.change(clear.to_owned()), 1);
    let output = place.run();
    let report = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(one_line(&output), "clinic: 1 safeguards of the tour failed; see the report", "{report}");
    let failed: Vec<_> = report.lines().filter(|line| line.contains("FAILED")).collect();
    assert!(
        failed.len() == 1 && failed[0].contains(": clinic_patients.web holds a value that is not sealed"),
        "{report}"
    );
    assert!(report.contains("27 safeguards shown, 1 failed."), "{report}");
}

/// A short record number, which is the beginning of another patient's and whose beginning is a third one's.
#[test]
fn the_tour_takes_whatever_numbers_there_are() {
    let place = Place::new();
    let number =
        |code: &str, value: &str| format!(r#"{{"type":{{"coding":[{{"code":"{code}"}}]}},"value":"{value}"}}"#);
    let numbers = [number("MR", "A-12"), number("SS", "987-65-4321")].join(",");
    let full = format!(
        r#"{{"resourceType":"Patient","id":"p","name":[{{"family":"Ash & Elm","given":["Ada"]}}],"identifier":[{numbers}]}}"#
    );
    place.bundle("1.json", bundle(&[entry("p", &full)]));
    place.bundle("2.json", bundle(&[patient("q", "A-1"), patient("r", "A-123")]));
    let output = place.run();
    let report = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert!(report.contains("27 safeguards shown, 0 failed."), "{report}");
}

/// Patients without names or social security numbers, with two record numbers, and a bundle without any patient.
#[test]
fn an_import_without_anybody_to_show_is_shown_on_a_made_up_patient_and_served() {
    let place = Place::new();
    place.bundle("1.json", bundle(&[entry("o", r#"{"resourceType":"Organization","id":"o"}"#)]));
    for known_before in [0, 1] {
        let text = Serving::start(&place).text.clone();
        assert!(text.starts_with("No patient of the import has a name, a record number and a social"), "{text}");
        assert!(text.contains(&format!("1 bundles ({known_before} known before)")), "{text}");
        assert!(text.contains("27 safeguards shown, 0 failed."), "{text}");
    }
    let number = |value: &str| format!(r#"{{"type":{{"coding":[{{"code":"MR"}}]}},"value":"{value}"}}"#);
    let two = format!(
        r#"{{"resourceType":"Patient","id":"b","name":[{{"text":"Zebulon"}}],"identifier":[{},{}]}}"#,
        number("M-2"),
        number("M-3")
    );
    place.bundle("2.json", bundle(&[patient("a", "M-1"), entry("b", &two)]));
    let output = place.run();
    let report = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert!(report.contains("27 safeguards shown, 0 failed."), "{report}");
    let found = "clinic_patients WHERE mrn_tag IS NOT NULL";
    assert_eq!((place.count("clinic_patients"), place.count(found)), (8, 2), "the made-up ones were destroyed");
}

/// A clinic that serves until it is dropped.
struct Serving {
    clinic: Child,
    /// What it printed, its address last.
    text: String,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Serving {
    fn start(place: &Place) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clinic"));
        command.env_remove("CLINIC_PASSPHRASE").args(["--port", "0", "--data-dir"]).arg(place.data());
        command.arg("--import").arg(place.path("bundles")).stdout(Stdio::piped());
        let mut clinic = command.spawn().unwrap();
        let lines = BufReader::new(clinic.stdout.take().unwrap()).lines();
        let mut serving = Self { clinic, text: String::new(), lines };
        while !serving.text.contains("http://127.0.0.1:") {
            let line = serving.lines.next().unwrap_or_else(|| panic!("the clinic ended early: {}", serving.text));
            serving.text += &line.unwrap();
            serving.text += "\n";
        }
        serving
    }

    fn url(&self) -> &str {
        self.text.split_whitespace().find(|word| word.starts_with("http://127.0.0.1:")).unwrap()
    }
}

impl Serving {
    /// The lines of the clinician's and the security officer's account.
    fn credentials(&mut self) -> Vec<String> {
        let lines = self.lines.by_ref().take(3).map(Result::unwrap);
        let credentials: Vec<_> = lines.filter(|line| line.contains("password ")).collect();
        assert_eq!(credentials.len(), 2, "{}", self.text);
        credentials
    }
}

/// Somebody who signed in with both factors.
struct Browser<'h> {
    http: &'h reqwest::Client,
    origin: String,
    cookie: String,
}

impl<'h> Browser<'h> {
    async fn sign_in(http: &'h reqwest::Client, url: &str, credentials: &str) -> Self {
        let account: Vec<_> = credentials.split_whitespace().collect();
        let after = |word: &str| account[account.iter().position(|given| *given == word).unwrap() + 1];
        let mut browser = Self { http, origin: url.trim_end_matches('/').to_owned(), cookie: String::new() };
        for (path, form, location) in [
            ("/login", &[("login", after("account")), ("password", after("password"))][..], "/login/code"),
            ("/login/code", &[("code", after("now"))], "/"),
        ] {
            let reply = browser.post(path, form).await;
            assert_eq!((reply.status().as_u16(), reply.headers()["location"].to_str().unwrap()), (303, location));
            browser.cookie = reply.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        }
        browser
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> reqwest::Response {
        self.post_from(&self.origin, path, form).await
    }

    async fn post_from(&self, origin: &str, path: &str, form: &[(&str, &str)]) -> reqwest::Response {
        let request = self.http.post(format!("{}{path}", self.origin)).header("origin", origin);
        request.header("cookie", &self.cookie).form(form).send().await.unwrap()
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        self.http.get(format!("{}{path}", self.origin)).header("cookie", &self.cookie).send().await.unwrap()
    }
}

fn browsing(work: impl AsyncFnOnce(reqwest::Client)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        // A form that is refused unread costs the connection, which the next request must not count on.
        work(http.pool_max_idle_per_host(0).build().unwrap()).await;
    });
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.clinic.kill().unwrap();
        self.clinic.wait().unwrap();
    }
}

#[test]
fn the_made_up_population_is_the_same_at_every_start() {
    let place = Place::new();
    for new in [25, 0] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clinic"));
        command.env_remove("CLINIC_PASSPHRASE").args(["--tour-only", "--data-dir"]).arg(place.data());
        let output = command.output().unwrap();
        let report = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{report}");
        assert!(report.contains(&format!("{new} new patients")), "{report}");
    }
}

#[test]
fn the_clinic_serves_and_shows_its_credentials_once() {
    let place = place();
    let mut clinic = Serving::start(&place);
    let url = clinic.url().to_owned();
    let credentials = clinic.credentials();

    browsing(async |http| {
        let reply = http.get(&url).send().await.unwrap();
        assert_eq!((reply.status().as_u16(), &reply.headers()["location"]), (303, &"/login".parse().unwrap()));
        let reply = http.get(format!("{url}login")).send().await.unwrap();
        assert!(reply.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
        assert!(reply.text().await.unwrap().contains("<form method=\"post\" action=\"/login\">"));

        Browser::sign_in(&http, &url, &credentials[0]).await;
    });
    drop(clinic);
    assert_clean_folder(&place.data());
}

/// Afterwards the tour's own patient is nobody to show any more.
#[test]
fn the_security_officer_alone_rotates_and_destroys() {
    let place = place();
    let mut clinic = Serving::start(&place);
    assert!(!clinic.text.contains("a made-up one is shown"), "{}", clinic.text);
    let (url, credentials) = (clinic.url().to_owned(), clinic.credentials());
    let counted =
        || (place.count("phi_keys_row WHERE kind = 2"), place.count("clinic_patients WHERE mrn_tag IS NOT NULL"));
    // It has a runtime of its own, which one thread may not have within another.
    let counts = || std::thread::scope(|scope| scope.spawn(counted).join().unwrap());
    browsing(async |http| {
        let clinician = Browser::sign_in(&http, &url, &credentials[0]).await;
        let officer = Browser::sign_in(&http, &url, &credentials[1]).await;
        let nobody = Browser { http: &http, origin: clinician.origin.clone(), cookie: String::new() };
        let shred = [("mrn", "MRN-7340021"), ("again", "mrn-7340021 ")];
        let twice = [("mrn", "MRN-7340021"), ("again", " MRN-7340021")];
        let page = officer.get("/keys").await;
        assert_eq!(page.status().as_u16(), 200);
        let page = page.text().await.unwrap();
        assert!(
            page.contains("<form method=\"post\" action=\"/keys/rotate\">") && page.contains("version 2"),
            "{page}"
        );

        assert_eq!(clinician.get("/keys").await.status().as_u16(), 403);
        let before = counts();
        for (path, form) in [("/keys/rotate", &[][..]), ("/keys/shred", &twice)] {
            assert_eq!(clinician.post(path, form).await.status().as_u16(), 403, "{path}");
            assert_eq!(nobody.post(path, form).await.headers()["location"], "/login", "{path}");
            let foreign = officer.post_from("https://elsewhere.example", path, form).await;
            assert_eq!(foreign.status().as_u16(), 403, "{path} from another site");
        }
        let unknown = [("mrn", "M-9"), ("again", "M-9")];
        for (form, said) in [(&shred, "The two numbers differ."), (&unknown, "Nobody has this record number.")] {
            let refused = officer.post("/keys/shred", form).await;
            assert_eq!(refused.status().as_u16(), 422);
            let page = refused.text().await.unwrap();
            assert!(page.contains(&format!("<p role=\"alert\">{said} Nothing was destroyed.")), "{page}");
        }
        assert_eq!(counts(), before, "nothing was destroyed");
        assert!(officer.get("/keys").await.text().await.unwrap().contains("version 2"), "nothing was rotated");

        let rotated = officer.post("/keys/rotate", &[]).await.text().await.unwrap();
        assert!(rotated.contains(" domain keys are now under local:") && rotated.contains(" version 3."), "{rotated}");
        let destroyed = officer.post("/keys/shred", &twice).await.text().await.unwrap();
        assert!(destroyed.contains("<p role=\"status\">Destroyed: 1 key and 3 index tags; "), "{destroyed}");
        assert_eq!(counts(), (before.0 - 1, before.1 - 1));
        for page in [page, rotated, destroyed] {
            assert_clean("a page of the officer", page.as_bytes());
        }
    });
    drop(clinic);
    let output = place.run();
    let (report, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(report.starts_with("No patient of the import has"), "{}: {report}{errors}", output.status);
    assert!(report.contains("27 safeguards shown, 0 failed."), "{report}");
    for kind in ["key.rewrap", "key.rewrap_begin", "key.shred_begin"] {
        let by = format!("phi_audit_entry WHERE kind = '{kind}' AND actor LIKE '%m.halloran%' AND session IS NOT NULL");
        assert_eq!(place.count(&by), 3, "{kind}");
    }
}
