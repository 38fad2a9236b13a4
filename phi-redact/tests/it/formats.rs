//! Secrets in every place where a value can stand, through every format: none comes out, and a clean run comes out
//! byte for byte as without the wrapper.

use std::error::Error;

use phi_redact::{Redact, RedactPolicy};
use tracing::{Level, Span, field, info, info_span, span, subscriber::with_default};
use tracing_subscriber::{
    Layer, Registry,
    fmt::format::{FmtSpan, debug_fn},
    layer::SubscriberExt as _,
};

use crate::support::{Inner, Notes, Outer, Sink};

const SECRET: &str = "ssn 078-05-1120 of ada@example.com";
const NUMBER: i64 = 3_138_675_309;
/// The secret in clear, as a number, as a float, and as the bytes that `record_bytes` shows.
const RAW: [&str; 5] = ["078-05", "1120", "ada@", "3138675309", "30 37 38 2d"];

/// Every field of the workload; those whose name says phone number are the ones that hold a number.
const FIELDS: &[&str] = &[
    "k",
    "attr",
    "dbg",
    "home_phone",
    "late",
    "late2",
    "ok",
    "f",
    "text",
    "string",
    "disp",
    "err",
    "error",
    "i8",
    "u_phone",
    "i128_phone",
    "u128_phone",
    "f_phone",
    "b",
    "opt",
    "none",
    "empty",
    "bytes",
    "boxed_phone",
    "refd",
    "wrap",
    "a.b.c",
    "type",
    "s",
    "otel.name",
    "f01",
    "f02",
    "f33",
    "f38_phone",
];

#[derive(Debug)]
#[expect(dead_code, reason = "read by Debug alone")]
struct Config<'a> {
    user: &'a str,
    token: &'a str,
}

fn workload(s: &str, n: i64) {
    let outer = Outer(Inner(s.to_owned()));
    let err: &(dyn Error + 'static) = &outer;
    let cause = info_span!(parent: None, "cause", k = s);
    let root = info_span!(parent: None, "root", attr = s, dbg = ?Config { user: "bob", token: s }, home_phone = n,
        late = field::Empty, late2 = field::Empty, ok = true, f = 1.5_f64);
    root.follows_from(&cause);
    let _in_root = root.enter();
    root.record("late", s);
    root.record("late2", field::display(format_args!("later {s}")));
    tracing::record_all!(root, late = format!("phone {n}"), late2 = ?Config { user: "eve", token: s }, home_phone = n);
    info!("plain literal");
    info!("message with {s} inside");
    info!(text = s, string = s.to_owned(), dbg = ?s, disp = %s, "fields");
    info!(err, "error field");
    info!(error = err, "error field");
    info!(
        home_phone = n,
        i8 = 1_i8,
        u_phone = n as u64,
        i128_phone = i128::from(n),
        u128_phone = n as u128,
        f_phone = n as f64,
        b = true,
        opt = Some(s),
        none = None::<&str>,
        empty = field::Empty
    );
    info!(bytes = s.as_bytes(), boxed_phone = Box::new(n), refd = &&s, wrap = ?Some(Config { user: "u", token: s }));
    info!(target: "custom::target", { a.b.c = s, r#type = %s }, "dotted +1{}", n);
    info!(parent: None, k = s, "root event");
    info_span!(parent: None, "second root", k = s).in_scope(|| info!(k = s, "in second root"));
    info!(parent: &cause, k = s, "explicit parent event");
    let child = info_span!(parent: &cause, "explicit_child", s, home_phone = n);
    child.in_scope(|| {
        info!(k = s, "in explicit child");
        let nested = span!(Level::INFO, "nested", otel.name = s, "span message {s}");
        nested.in_scope(|| {
            info!(k = ?s, "deep");
            Span::current().record("otel.name", s);
        });
    });
    info!(
        f01 = 1,
        f02 = s,
        f03 = 3,
        f04 = 4,
        f05 = 5,
        f06 = 6,
        f07 = 7,
        f08 = 8,
        f09 = 9,
        f10 = 10,
        f11 = 11,
        f12 = 12,
        f13 = 13,
        f14 = 14,
        f15 = 15,
        f16 = 16,
        f17 = 17,
        f18 = 18,
        f19 = 19,
        f20 = 20,
        f21 = 21,
        f22 = 22,
        f23 = 23,
        f24 = 24,
        f25 = 25,
        f26 = 26,
        f27 = 27,
        f28 = 28,
        f29 = 29,
        f30 = 30,
        f31 = 31,
        f32 = 32,
        f33 = s,
        f34 = 34,
        f35 = 35,
        f36 = 36,
        f37 = 37,
        f38_phone = n
    );
    log_record(log::Record::builder().args(format_args!("log record {s}")).target("lt").file(Some(s)).line(Some(7)));
    log_record(log::Record::builder().args(format_args!("no origin")).level(log::Level::Warn));
}

fn log_record(record: &mut log::RecordBuilder<'_>) {
    tracing_log::format_trace(&record.build()).unwrap();
}

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

fn layers(sink: &Sink) -> Vec<(&'static str, BoxedLayer)> {
    let layer =
        || tracing_subscriber::fmt::layer().with_writer(sink.clone()).without_time().with_file(true).with_ansi(false);
    vec![
        ("full", layer().boxed()),
        ("full ansi", layer().with_ansi(true).with_span_events(FmtSpan::NEW | FmtSpan::ENTER | FmtSpan::EXIT).boxed()),
        ("compact", layer().compact().boxed()),
        ("pretty", layer().pretty().boxed()),
        ("pretty ansi", layer().pretty().with_ansi(true).boxed()),
        ("json", layer().json().boxed()),
        ("json flat", layer().json().flatten_event(true).with_span_list(true).boxed()),
        ("json events", layer().json().with_current_span(false).with_span_list(false).boxed()),
        ("debug_fn", layer().fmt_fields(debug_fn(|w, f, v| write!(w, "{f}={v:?};"))).boxed()),
    ]
}

fn output(format: usize, policy: Option<RedactPolicy>, s: &str, n: i64) -> String {
    let sink = Sink::default();
    let stack = Registry::default().with(layers(&sink).swap_remove(format).1);
    match policy {
        None => with_default(stack, || workload(s, n)),
        Some(policy) => with_default(Redact::new(stack, policy), || workload(s, n)),
    }
    sink.text()
}

fn hits(text: &str) -> usize {
    RAW.iter().map(|raw| text.matches(raw).count()).sum()
}

#[test]
fn no_secret_comes_out_of_any_format() {
    for (i, (name, _)) in layers(&Sink::default()).iter().enumerate() {
        let bare = hits(&output(i, None, SECRET, NUMBER));
        assert!(bare > 30, "{name}: the workload plants only {bare} secrets");
        for policy in [
            RedactPolicy::strict(),
            RedactPolicy::strict().safe(FIELDS.iter().copied()),
            RedactPolicy::scanning(),
            RedactPolicy::scanning().phi(FIELDS.iter().copied()),
        ] {
            let text = output(i, Some(policy.clone()), SECRET, NUMBER);
            assert_eq!(hits(&text), 0, "{name} {policy:?}\n{text}");
            assert!(text.contains("log record ssn [SSN] of [EMAIL]"), "{name}\n{text}");
        }
    }
}

#[test]
fn a_clean_run_is_unchanged_byte_for_byte() {
    for (i, (name, _)) in layers(&Sink::default()).iter().enumerate() {
        let bare = output(i, None, "clean value", 17);
        for policy in [RedactPolicy::strict().safe(FIELDS.iter().copied()).safe(rest()), RedactPolicy::scanning()] {
            let wrapped = output(i, Some(policy), "clean value", 17);
            assert!(wrapped == bare, "{name}\n--- bare\n{bare}\n--- wrapped\n{wrapped}");
        }
    }
}

fn rest() -> impl Iterator<Item = String> {
    (3..38).map(|i| format!("f{i:02}"))
}

#[test]
fn json_stays_json() {
    for format in [5, 6, 7] {
        for line in output(format, Some(RedactPolicy::scanning()), SECRET, NUMBER).lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }
}

#[test]
fn any_other_layer_sees_the_same_structure_and_no_secret() {
    let run = |policy: Option<RedactPolicy>, s: &str, n| {
        let notes = Notes::default();
        let stack = Registry::default().with(notes.clone());
        match policy {
            None => with_default(stack, || workload(s, n)),
            Some(policy) => with_default(Redact::new(stack, policy), || workload(s, n)),
        }
        notes.take()
    };
    assert_eq!(run(None, "clean value", 17), run(Some(RedactPolicy::scanning()), "clean value", 17));
    let redacted = run(Some(RedactPolicy::scanning()), SECRET, NUMBER);
    assert_eq!(hits(&redacted.concat()), 0, "{redacted:#?}");
    let start = |lines: Vec<String>| lines.iter().map(|l| l.split(':').next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(start(run(None, SECRET, NUMBER)), start(redacted));
}
