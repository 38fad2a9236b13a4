//! The same from outside: what OpenSSL's client and server can and cannot agree with the policy on.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use phi_crypto::tls::{Identity, Reloaded, Roots, TlsServer, TlsVersions};
use rustls::{ClientConnection, ServerConnection, Stream};

use super::support::{Authority, Files, Leaf};

const NAME: &str = "chart.example.org";
/// What OpenSSL says when the other end ended the handshake, and not itself.
const ALERT: &str = "SSL alert number";
const OPENSSL_LETS_EVERYTHING: &str = "@SECLEVEL=0";

/// The program that the environment names, or one in `PATH`; `None` without one.
fn openssl() -> Option<Command> {
    crate::component::program("openssl", "PHI_TEST_OPENSSL", "openssl", "version").map(Command::new)
}

fn run(args: &[&str]) -> Option<Output> {
    run_with(args, &[])
}

fn run_with(args: &[&str], environment: &[(&str, &PathBuf)]) -> Option<Output> {
    let environment = environment.iter().copied();
    Some(openssl()?.args(args).envs(environment).stdin(Stdio::null()).output().unwrap())
}

/// A server of this policy on the loopback, which answers each connection with what was agreed.
struct Serving {
    port: u16,
    /// Of each connection, in their order: version and suite, or why it failed.
    seen: Arc<Mutex<Vec<Result<String, String>>>>,
}

impl Serving {
    fn start(server: TlsServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        // Ends with the process: nothing tells a listener that nobody will come any more.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (server, log, stream) = (server.clone(), Arc::clone(&log), stream.unwrap());
                thread::spawn(move || Self::serve(stream, &server, |result| log.lock().unwrap().push(result)));
            }
        });
        Self { port, seen }
    }

    /// Says what was agreed, then sends back what comes until nothing does.
    fn serve(mut stream: TcpStream, server: &TlsServer, say: impl FnOnce(Result<String, String>)) {
        let mut connection = ServerConnection::new(server.config()).unwrap();
        while connection.is_handshaking() {
            if let Err(error) = connection.complete_io(&mut stream) {
                return say(Err(error.to_string()));
            }
        }
        let suite = connection.negotiated_cipher_suite().unwrap().suite();
        say(Ok(format!("{:?} {suite:?}", connection.protocol_version().unwrap())));
        let mut stream = Stream::new(&mut connection, &mut stream);
        let mut line = [0; 64];
        while let Ok(length @ 1..) = stream.read(&mut line) {
            if stream.write_all(&line[..length]).is_err() {
                return;
            }
        }
        stream.conn.send_close_notify();
        // The other end may be gone already.
        let _ = stream.conn.complete_io(stream.sock);
    }

    /// What the server says about the one connection of an `openssl s_client`, and what that printed.
    fn client(&self, args: &[&str]) -> Option<Seen> {
        self.client_with(args, &[])
    }

    fn client_with(&self, args: &[&str], environment: &[(&str, &PathBuf)]) -> Option<Seen> {
        let before = self.seen.lock().unwrap().len();
        let address = format!("127.0.0.1:{}", self.port);
        let fixed = ["s_client", "-connect", &address, "-servername", NAME];
        let output = run_with(&[&fixed[..], args].concat(), environment)?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        // The server writes its line after the last byte that the client waits for.
        let deadline = 500;
        for _ in 0..deadline {
            let seen = self.seen.lock().unwrap();
            if seen.len() > before {
                assert_eq!(seen.len(), before + 1);
                return Some((seen[before].clone(), said));
            }
            drop(seen);
            thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("the client did not come: {said}");
    }
}

/// The server's side and the client's.
type Seen = (Result<String, String>, String);

struct World {
    files: Files,
    root: Authority,
    roots: Roots,
    ecdsa: Identity,
    rsa: Identity,
}

impl World {
    /// An authority and a server with a certificate of either kind; `None` without OpenSSL, which makes the RSA key.
    fn new() -> Option<Self> {
        let files = Files::new();
        let root = Authority::new("root");
        let key = run(&["genrsa", "2048"])?.stdout;
        let key = Some(String::from_utf8(key).unwrap());
        let ecdsa = files.identity("ecdsa", &root.issue(&Leaf::server(NAME)));
        let rsa = files.identity("rsa", &root.issue(&Leaf { key, ..Leaf::server(NAME) }));
        let roots = files.roots("roots.pem", &root.pem);
        Some(Self { files, root, roots, ecdsa, rsa })
    }

    fn serve(&self) -> Serving {
        Serving::start(self.files.policy.server(&self.ecdsa).identity(self.rsa.clone()).build().unwrap())
    }

    fn arg(&self, name: &str) -> String {
        self.files.path(name).display().to_string()
    }
}

#[test]
fn no_version_below_1_2_is_spoken() {
    let Some(world) = World::new() else { return };
    let serving = world.serve();
    for (flag, version) in [("-tls1_3", "TLSv1_3"), ("-tls1_2", "TLSv1_2")] {
        let (seen, _) = serving.client(&[flag]).unwrap();
        assert!(seen.as_ref().is_ok_and(|agreed| agreed.starts_with(version)), "{flag}: {seen:?}");
    }
    for flag in ["-tls1", "-tls1_1"] {
        let (seen, said) = serving.client(&[flag, "-cipher", &format!("ALL:{OPENSSL_LETS_EVERYTHING}")]).unwrap();
        assert!(seen.is_err(), "{flag}: {seen:?}");
        assert!(said.contains(ALERT), "it was the server that refused: {said}");
    }
    let newest = world.files.policy.clone().versions(TlsVersions::Tls13);
    let serving = Serving::start(newest.server(&world.ecdsa).build().unwrap());
    assert!(serving.client(&["-tls1_3"]).unwrap().0.is_ok());
    let (seen, said) = serving.client(&["-tls1_2"]).unwrap();
    assert!(seen.is_err() && said.contains(ALERT), "{said}");
}

#[test]
fn of_all_suites_of_openssl_only_those_of_the_policy_are_taken() {
    let Some(world) = World::new() else { return };
    let serving = world.serve();
    let list = run(&["ciphers", "-tls1_2", &format!("ALL:COMPLEMENTOFALL:!SRP:{OPENSSL_LETS_EVERYTHING}")]).unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let mut taken = BTreeSet::new();
    let mut refused = BTreeSet::new();
    for suite in list.trim().split(':').filter(|suite| !suite.starts_with("TLS_")) {
        let cipher = format!("{suite}:{OPENSSL_LETS_EVERYTHING}");
        let (seen, said) = serving.client(&["-tls1_2", "-cipher", &cipher, "-psk", "0011223344556677"]).unwrap();
        match seen {
            Ok(agreed) => {
                assert!(agreed.starts_with("TLSv1_2 "), "{suite}: {agreed}");
                taken.insert(suite);
            }
            Err(_) => {
                assert!(said.contains(ALERT), "{suite}: it was the server that refused: {said}");
                refused.insert(suite);
            }
        }
    }
    let expected = [
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-RSA-CHACHA20-POLY1305",
    ];
    assert_eq!(taken, expected.into());
    // CBC, static RSA, finite-field Diffie–Hellman, CCM, pre-shared keys, anonymous and no encryption at all.
    for kind in [
        "ECDHE-ECDSA-AES128-SHA256",
        "AES128-GCM-SHA256",
        "DHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-AES256-CCM",
        "PSK-AES256-GCM-SHA384",
        "ADH-AES256-GCM-SHA384",
        "NULL-SHA256",
    ] {
        assert!(refused.contains(kind), "{kind} was not tried: {refused:?}");
    }

    let suites = ["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"];
    for suite in suites {
        let (seen, _) = serving.client(&["-tls1_3", "-ciphersuites", suite]).unwrap();
        assert_eq!(seen.unwrap().replace("TLS13_", "TLS_"), format!("TLSv1_3 {suite}"));
    }
    for suite in ["TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"] {
        let (seen, said) = serving.client(&["-tls1_3", "-ciphersuites", suite]).unwrap();
        assert!(seen.is_err() && said.contains(ALERT), "{suite}: {said}");
    }
}

#[test]
fn only_the_key_exchanges_of_the_policy_are_taken() {
    let Some(world) = World::new() else { return };
    let serving = world.serve();
    for (group, taken) in
        [("X25519", true), ("P-256", true), ("P-384", true), ("P-521", false), ("X448", false), ("ffdhe2048", false)]
    {
        let (seen, said) = serving.client(&["-tls1_3", "-groups", group]).unwrap();
        assert_eq!(seen.is_ok(), taken, "{group}: {seen:?} {said}");
        assert!(taken || said.contains(ALERT), "{group}: {said}");
    }
}

#[test]
fn tls_1_2_without_extended_master_secrets_is_refused() {
    let Some(world) = World::new() else { return };
    let serving = world.serve();
    // RFC 7627: keys that do not depend on the whole handshake. Older versions have no argument for it.
    let configuration = world.files.write(
        "openssl.cnf",
        "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = any\n[any]\nOptions = -ExtendedMasterSecret\n",
    );
    let (seen, _) = serving.client(&["-tls1_2"]).unwrap();
    assert!(seen.is_ok());
    let (seen, said) = serving.client_with(&["-tls1_2"], &[("OPENSSL_CONF", &configuration)]).unwrap();
    assert!(seen.is_err() && said.contains(ALERT), "{seen:?} {said}");
}

#[test]
fn early_data_and_renegotiation_are_not_there() {
    let Some(world) = World::new() else { return };
    let serving = world.serve();
    let (seen, said) = serving.client(&["-tls1_2"]).unwrap();
    assert!(seen.is_ok() && said.contains("Compression: NONE"), "{said}");
    let (_, said) = serving.client(&["-tls1_3"]).unwrap();
    assert!(!said.contains("Max Early Data: 1"), "{said}");
}

#[test]
fn client_certificates_are_asked_for_and_verified() {
    let Some(world) = World::new() else { return };
    let (clients, strangers) = (Authority::new("clients"), Authority::new("strangers"));
    let accepted = world.files.roots("clients.pem", &clients.pem);
    world.files.pair("known", &clients.issue(&Leaf::client(5)));
    world.files.pair("stranger", &strangers.issue(&Leaf::client(5)));
    world.files.pair("expired", &clients.issue(&Leaf { until: 2026, ..Leaf::client(6) }));
    world.files.pair("server", &clients.issue(&Leaf::server("client.example.org")));
    let serving =
        Serving::start(world.files.policy.server(&world.ecdsa).require_client_certificates(&accepted).build().unwrap());
    for version in ["-tls1_3", "-tls1_2"] {
        let with = |name: &str| {
            let (chain, key) = (world.arg(&format!("{name}.pem")), world.arg(&format!("{name}.key")));
            serving.client(&[version, "-cert", &chain, "-key", &key]).unwrap().0
        };
        assert!(with("known").is_ok(), "{version}");
        for (name, why) in [("stranger", "UnknownIssuer"), ("expired", "expired"), ("server", "extended key usage")] {
            let refused = with(name).unwrap_err();
            let lower = refused.to_lowercase();
            assert!(lower.contains(&why.to_lowercase()), "{version} {name}: {refused}");
        }
        let refused = serving.client(&[version]).unwrap().0.unwrap_err();
        assert!(refused.contains("no certificates"), "{version}: {refused}");
    }
}

#[test]
fn a_certificate_is_replaced_under_an_open_connection_of_openssl() {
    let Some(world) = World::new() else { return };
    let serving = world.serve();
    let roots = world.arg("roots.pem");
    let address = format!("127.0.0.1:{}", serving.port);
    let sees = |args: &[&str]| {
        let verify = ["-CAfile", &roots, "-verify_return_error", "-verify_hostname", NAME, "-showcerts"];
        let (seen, said) = serving.client(&[args, &verify].concat()).unwrap();
        assert!(seen.is_ok() && said.contains("Verify return code: 0 (ok)"), "{said}");
        said
    };
    let text = |name: &str| std::fs::read_to_string(world.files.path(name)).unwrap();
    // The line in which the key begins.
    let body = |pem: &str| pem.lines().nth(4).unwrap().to_owned();
    let old = body(&text("ecdsa.pem"));
    assert!(sees(&[]).contains(&old));
    let mut open = Open::start(serving.port);
    open.echo("before");
    world.files.pair("ecdsa", &world.root.issue(&Leaf { serial: 2, ..Leaf::server(NAME) }));
    assert_eq!(world.ecdsa.reload().unwrap(), Reloaded::Replaced);
    let said = sees(&[]);
    assert!(!said.contains(&old) && said.contains(&body(&text("ecdsa.pem"))), "{said}");
    open.echo("after");
    // A client that knows RSA alone gets the certificate of that kind.
    assert!(sees(&["-tls1_3", "-sigalgs", "RSA-PSS+SHA256"]).contains(&body(&text("rsa.pem"))));

    // A name that no certificate holds; the last `-servername` counts.
    let (seen, _) = serving.client(&["-servername", "other.example.org"]).unwrap();
    assert!(seen.is_err());
    let output = run(&["s_client", "-connect", &address, "-noservername", "-CAfile", &roots]).unwrap();
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("Verify return code: 0 (ok)"),
        "no name, first certificate"
    );
}

/// An `openssl s_client` that stays connected, ended when dropped.
struct Open(Child, Box<dyn Iterator<Item = String>>);

impl Open {
    fn start(port: u16) -> Self {
        let address = format!("127.0.0.1:{port}");
        let mut command = openssl().unwrap();
        command.args(["s_client", "-quiet", "-connect", &address, "-servername", NAME]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self(child, Box::new(lines.map(Result::unwrap)))
    }

    fn echo(&mut self, text: &str) {
        writeln!(self.0.stdin.as_mut().unwrap(), "{text}").unwrap();
        assert_eq!(self.1.next().as_deref(), Some(text));
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// `openssl s_server`, ended when dropped.
struct Peer(Child, u16);

impl Peer {
    fn start(world: &World, args: &[&str]) -> Self {
        let (chain, key) = (world.arg("rsa.pem"), world.arg("rsa.key"));
        let mut command = openssl().unwrap();
        command.args(["s_server", "-accept", "127.0.0.1:0", "-cert", &chain, "-key", &key]).args(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| line.unwrap().strip_prefix("ACCEPT ")?.rsplit(':').next()?.parse().ok());
        // Otherwise the pipe fills up and the peer stops.
        thread::spawn(move || lines.for_each(drop));
        Self(child, port.unwrap())
    }

    /// The handshake of a client of this policy.
    fn meets(&self, world: &World, versions: TlsVersions) -> Result<String, String> {
        let client = world.files.policy.clone().versions(versions).client(&world.roots).build().unwrap();
        let mut connection = ClientConnection::new(client.config(), NAME.try_into().unwrap()).unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", self.1)).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).map_err(|error| error.to_string())?;
        }
        Stream::new(&mut connection, &mut stream).write_all(b"hello\n").unwrap();
        let suite = connection.negotiated_cipher_suite().unwrap().suite();
        Ok(format!("{:?} {suite:?}", connection.protocol_version().unwrap()))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_client_refuses_what_a_server_of_openssl_should_not_offer() {
    let Some(world) = World::new() else { return };
    let both = TlsVersions::Tls13AndTls12;
    let weakest = format!("ALL:COMPLEMENTOFALL:{OPENSSL_LETS_EVERYTHING}");
    let accepted: [(&[&str], &str); 3] = [
        (&["-tls1_3"], "TLSv1_3 TLS13_AES_256_GCM_SHA384"),
        (&["-tls1_2"], "TLSv1_2 TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
        (&[], "TLSv1_3 TLS13_AES_256_GCM_SHA384"),
    ];
    for (args, agreed) in accepted {
        assert_eq!(Peer::start(&world, args).meets(&world, both).as_deref(), Ok(agreed), "{args:?}");
    }
    let refused: [&[&str]; 6] = [
        &["-tls1", "-cipher", &weakest],
        &["-tls1_1", "-cipher", &weakest],
        &["-tls1_2", "-cipher", "AES256-GCM-SHA384:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "ECDHE-RSA-AES256-SHA384:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "DHE-RSA-AES256-GCM-SHA384:@SECLEVEL=0"],
        &["-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256"],
    ];
    for args in refused {
        let peer = Peer::start(&world, args);
        let error = peer.meets(&world, both).unwrap_err();
        assert!(error.contains("alert") || error.contains("peer"), "{args:?}: {error}");
    }
    assert!(Peer::start(&world, &["-tls1_2"]).meets(&world, TlsVersions::Tls13).is_err());
}
