//! No token in any log line, printed value, error or byte of the database.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use phi_session::state::Presence;
use phi_session::{Aal, Change, Login, Method, Policy, Token};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{in_sqlite, osei};

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test]
async fn no_token_in_trace_logs_values_errors_or_the_database() {
    let captured = Captured::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(captured.clone()).finish();
    // For the whole process: SQLite works on threads of its own.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let (sessions, log, clock, pool, folder) = in_sqlite(Policy::default()).await;

    let mut tokens: Vec<Token> = Vec::new();
    let mut printed = String::new();
    let first = sessions.login(Login::new(osei(), Aal::One, Method::Password), None).await.unwrap();
    let second = sessions.step_up(&first.session, Aal::Two, Method::Totp).await.unwrap();
    let third = sessions.change(&second.session, Change::Role(Some("nurse".into()))).await.unwrap();
    printed += &format!("{first:?}{second:?}{third:?}{sessions:?}{pool:?}");
    for issued in [first, second, third] {
        let result = sessions.authenticate(&issued.token, Presence::User).await;
        printed += &format!("{result:?}{:?}", result.as_ref().map_err(ToString::to_string));
        tokens.push(issued.token);
    }
    clock.advance(Duration::from_secs(900));
    let guess = Token::generate().unwrap();
    for token in tokens.iter().chain([&guess]) {
        printed += &format!("{:?}", sessions.authenticate(token, Presence::User).await);
    }
    tokens.push(guess);
    sqlx::query("DROP TABLE phi_session_rows").execute(&pool).await.unwrap();
    let error = sessions.authenticate(&tokens[0], Presence::User).await.unwrap_err();
    printed += &format!("{error}{error:?}{:?}", log.all());

    let logged = captured.0.lock().unwrap().clone();
    assert!(contains(&logged, b"phi_session_rows"), "the log was captured, statements and all");
    let mut places = vec![("log".to_owned(), logged), ("printed".to_owned(), printed.into_bytes())];
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        places.push((path.display().to_string(), std::fs::read(path).unwrap()));
    }
    assert!(places.len() >= 3, "the database and its log are there");
    for token in &tokens {
        let text = token.expose();
        let raw = <base64ct::Base64UrlUnpadded as base64ct::Encoding>::decode_vec(text).unwrap();
        for (place, bytes) in &places {
            assert!(!contains(bytes, text.as_bytes()), "a token in {place}");
            assert!(!contains(bytes, &raw), "a token's bytes in {place}");
        }
    }
}
