//! phi-keys: how often a KMS is asked, what a key in memory costs, how soon access ends, and what attackers of the key
//! tables get, beside kms-aead, asherah and tink.

mod asherah;
mod counting;
mod kms_aead;
mod lookup;
mod rewrap;
mod tink;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use phi_keys::{
    EphemeralKeyring, KekPolicy, KekSet, KekTarget, Keys, Kms, KmsAdmin, MemoryKeyStore, Scope, TokioSleeper,
    conformance,
};
use phi_types::{SubjectId, SystemClock};
use tokio::task::JoinSet;

use self::asherah::Asherah;
use self::counting::Counting;
use self::kms_aead::KmsAead;
use self::lookup::Lookup;
use self::tink::Tink;
use crate::Result;
use crate::measure::Effort;
use crate::report::{Better, Report, Row};

pub(crate) const NAME: &str = "phi-keys";

const HOT: &str = "lookup of one hot key";
const UNIFORM: &str = "lookup among 10,000 keys";
const BY_KID: &str = "phi-keys by kid";
const OPERATIONS: usize = 10_000;
const PATIENTS: usize = 100;
const TASKS: usize = 1_000;
/// How long a KMS takes to answer those tasks.
const LATENCY: Duration = Duration::from_millis(20);
/// How often the KEK's status is asked for, and how long it is watched after it was disabled.
const POLL: Duration = Duration::from_secs(1);
const WATCH: Duration = Duration::from_secs(4);

pub(crate) fn run(effort: Effort) -> Result<Report> {
    let mut report = Report::new("keys", NAME);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    let lookup = runtime.block_on(Lookup::new())?;
    for (workload, among) in [(HOT, 1), (UNIFORM, OPERATIONS)] {
        let contenders = vec![lookup.active(among, NAME), lookup.by_kid(among, BY_KID), lookup.limit(among)];
        report.measure(workload, effort, contenders);
    }
    for (workload, bar) in [(HOT, 150.0), (UNIFORM, 250.0)] {
        report.bar(workload, "CPU time", report.cpu(workload, NAME), "ns", bar);
        report.bar(workload, "CPU time by kid", report.cpu(workload, BY_KID), "ns", bar);
    }
    report.bar(HOT, "allocations of 2,000 lookups, half of them by kid", lookup.allocations() as f64, "", 0.0);
    runtime.block_on(async {
        eprintln!("counting KMS calls …");
        for keys in [1_000, 10] {
            calls(&mut report, &Limits::new(keys)).await?;
        }
        herd(&mut report).await?;
        disabled(&mut report).await?;
        killed(&mut report).await?;
        rewrap::run(&mut report, effort).await?;
        attacked(&mut report).await
    })?;
    Ok(report)
}

fn patient(number: usize) -> Result<Scope> {
    Ok(Scope::from(SubjectId::new(format!("patient-{}", number % PATIENTS))?))
}

/// What every cache that there is may hold, and for how long.
struct Limits {
    keys: usize,
    age: Duration,
}

impl Limits {
    const fn new(keys: usize) -> Self {
        Self { keys, age: Duration::from_secs(3600) }
    }

    fn workload(&self, what: &str) -> String {
        format!("10,000 {what}, caches of {} keys and 1 h", self.keys)
    }
}

/// KMS calls of a process that starts over a store that is there already, with the same limits for every cache.
async fn calls(report: &mut Report, limits: &Limits) -> Result<()> {
    let (store, kms) = (Arc::new(MemoryKeyStore::new()), Counting::new("kms", Duration::ZERO)?);
    let keys = NonZeroUsize::new(limits.keys).ok_or("no keys")?;
    let process = || {
        let builder = Keys::builder(Arc::clone(&store)).kek(Arc::clone(&kms));
        builder.cache_entries(keys).lease(limits.age).domain_key_age(limits.age).build()
    };
    let mut kids = Vec::with_capacity(PATIENTS);
    let first = process().await?;
    for number in 0..PATIENTS {
        kids.push(first.data_key(&patient(number)?).await?.kid());
    }
    kms.take();
    let keys = process().await?;
    for number in 0..OPERATIONS {
        keys.data_key(&patient(number)?).await?;
    }
    let writes = kms.take();
    let keys = process().await?;
    for number in 0..OPERATIONS {
        keys.data_key_by_id(kids[number % PATIENTS], &patient(number)?).await?;
    }
    let reads = kms.take();
    let domain_keys = 2.0;
    let notes = "100 patients; the store root key and the domain key, once each";
    both(report, limits, NAME, writes, reads, notes);
    for (what, calls) in [("writes", writes), ("reads", reads)] {
        report.bar(&limits.workload(what), "KMS calls per domain key", calls as f64 / domain_keys, "", 1.0);
    }

    let mut asherah = Asherah::limited(limits.keys, limits.age)?;
    let place = |number: usize| format!("patient-{}", number % PATIENTS);
    for number in 0..PATIENTS {
        asherah.write(&place(number), "value")?;
    }
    asherah.restart();
    asherah.take();
    let sealed = (0..OPERATIONS).map(|number| asherah.write(&place(number), "value")).collect::<Result<Vec<_>>>()?;
    let writes = asherah.take();
    asherah.restart();
    for (number, sealed) in sealed.iter().enumerate() {
        asherah.read(&place(number), sealed)?;
    }
    both(report, limits, asherah::NAME, writes, asherah.take(), "100 partitions; the system key, once");

    let kms_aead = KmsAead::new().await?;
    let mut sealed = Vec::with_capacity(OPERATIONS);
    for number in 0..OPERATIONS {
        sealed.push(kms_aead.write(&place(number), "value").await?);
    }
    let writes = kms_aead.take();
    for (number, sealed) in sealed.iter().enumerate() {
        kms_aead.read(&place(number), sealed).await?;
    }
    both(
        report,
        limits,
        kms_aead::NAME,
        writes,
        kms_aead.take(),
        "a data key for each value; this version has no cache",
    );

    let tink = Tink::new()?;
    let sealed = (0..OPERATIONS).map(|number| tink.write(&place(number), "value")).collect::<Result<Vec<_>>>()?;
    let writes = tink.take();
    for (number, sealed) in sealed.iter().enumerate() {
        tink.read(&place(number), sealed)?;
    }
    both(report, limits, tink::NAME, writes, tink.take(), "a data key for each value, no cache");
    Ok(())
}

fn both(report: &mut Report, limits: &Limits, system: &str, writes: u64, reads: u64, notes: &str) {
    for (what, calls) in [("writes", writes), ("reads", reads)] {
        let workload = limits.workload(what);
        let row = Row::new(&workload, system, &crate::version(system), "KMS calls", calls as f64, "", Better::Lower);
        report.row(row.with_notes(notes.to_owned()));
    }
}

/// Many tasks that want one key which is in no cache.
async fn herd(report: &mut Report) -> Result<()> {
    const WORKLOAD: &str = "1,000 tasks on one cold key";
    let (store, kms) = (Arc::new(MemoryKeyStore::new()), Counting::new("kms", LATENCY)?);
    let process = || Keys::builder(Arc::clone(&store)).kek(Arc::clone(&kms)).build();
    process().await?.data_key(&patient(0)?).await?;
    let keys = process().await?;
    kms.take();
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (keys, scope) = (keys.clone(), patient(0)?);
        tasks.spawn(async move { keys.data_key(&scope).await.map(drop) });
    }
    for result in tasks.join_all().await {
        result?;
    }
    let calls = kms.take();
    if calls == 0 {
        return Err("the key was not cold".into());
    }
    let row = |system: &str, calls: u64| {
        Row::new(WORKLOAD, system, &crate::version(system), "KMS calls", calls as f64, "", Better::Lower)
    };
    report.row(row(NAME, calls).with_notes("a KMS that takes 20 ms".to_owned()));
    report.bar(WORKLOAD, "KMS calls", calls as f64, "", 1.0);

    let kms_aead = Arc::new(KmsAead::new().await?);
    let sealed = Arc::new(kms_aead.write("a", "value").await?);
    kms_aead.take();
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (kms_aead, sealed) = (Arc::clone(&kms_aead), Arc::clone(&sealed));
        tasks.spawn(async move { kms_aead.read("a", &sealed).await.map(drop).map_err(|error| error.to_string()) });
    }
    for result in tasks.join_all().await {
        result?;
    }
    report.row(row(kms_aead::NAME, kms_aead.take()).with_notes("no cache".to_owned()));

    let mut asherah = Asherah::new()?;
    let sealed = Arc::new(asherah.write("a", "value")?);
    asherah.restart();
    asherah.delay(LATENCY);
    asherah.take();
    let asherah = Arc::new(asherah);
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (asherah, sealed) = (Arc::clone(&asherah), Arc::clone(&sealed));
        // Its calls block.
        tasks.spawn_blocking(move || asherah.read("a", &sealed).map(drop).map_err(|error| error.to_string()));
    }
    for result in tasks.join_all().await {
        result?;
    }
    report.row(
        row(asherah::NAME, asherah.take()).with_notes("on the runtime's 512 threads for calls that block".to_owned()),
    );
    Ok(())
}

/// How long a process goes on after its KEK was disabled.
async fn disabled(report: &mut Report) -> Result<()> {
    const WORKLOAD: &str = "a KEK is disabled";
    const METRIC: &str = "last success after";
    eprintln!("disabling a KEK …");
    let mut ours = 0.0_f64;
    // Just after the KMS was asked, in between, and just before it is asked again.
    for phase in [0.05, 0.5, 0.95] {
        let kms = Counting::new("kms", Duration::ZERO)?;
        let keys = Keys::builder(MemoryKeyStore::new()).kek(Arc::clone(&kms)).build().await?;
        keys.data_key(&patient(0)?).await?;
        let poller = tokio::spawn({
            let keys = keys.clone();
            async move { keys.poll_status(POLL, TokioSleeper::new()).await }
        });
        tokio::time::sleep(POLL.mul_f64(phase)).await;
        let _ = kms.kms.disable(&KekTarget::Kek).await?;
        let scope = patient(0)?;
        ours = ours.max(last_success(async || keys.data_key(&scope).await.is_ok_and(|key| key.is_live())).await);
        poller.abort();
    }
    let row = |system: &str, seconds: f64, notes: &str| {
        Row::new(WORKLOAD, system, &crate::version(system), METRIC, seconds, "s", Better::Lower)
            .with_notes(notes.to_owned())
    };
    report.row(row(NAME, ours, "polled every second; the longest of three, disabled at different times after a poll"));
    report.bar(WORKLOAD, METRIC, ours, "s", POLL.as_secs_f64() + 1.0);

    let asherah = Asherah::new()?;
    let sealed = asherah.write("a", "value")?;
    asherah.disable();
    let theirs = last_success(async || asherah.read("a", &sealed).is_ok()).await;
    report.row(row(asherah::NAME, theirs, "watched for 4 s; by default its cache looks again after an hour"));

    let kms_aead = KmsAead::new().await?;
    let sealed = kms_aead.write("a", "value").await?;
    kms_aead.disable();
    let theirs = last_success(async || kms_aead.read("a", &sealed).await.is_ok()).await;
    report.row(row(kms_aead::NAME, theirs, "no cache: the KMS is asked for every value"));
    Ok(())
}

async fn last_success(mut works: impl AsyncFnMut() -> bool) -> f64 {
    let (began, mut last) = (Instant::now(), Duration::ZERO);
    while began.elapsed() < WATCH {
        if works().await {
            last = began.elapsed();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    last.as_secs_f64()
}

/// One of two KMSs dies while keys are used whose leases and ages end all the time.
async fn killed(report: &mut Report) -> Result<()> {
    const WORKLOAD: &str = "one of two KMSs is killed";
    eprintln!("killing a KMS …");
    let (east, west) = (Counting::new("east", Duration::ZERO)?, Counting::new("west", Duration::ZERO)?);
    let set = KekSet::builder(KekPolicy::PrimaryWithFailover).kek(Arc::clone(&east)).kek(Arc::clone(&west)).build()?;
    let keys = Keys::builder(MemoryKeyStore::new()).keks(set);
    let keys = keys.lease(Duration::from_millis(20)).domain_key_age(Duration::from_secs(1)).build().await?;
    let (began, mut done, mut failed, mut alive) = (Instant::now(), 0_u64, 0_u64, true);
    while began.elapsed() < WATCH {
        if alive && began.elapsed() > WATCH / 4 {
            east.kill();
            alive = false;
        }
        done += 1;
        failed += u64::from(keys.data_key(&patient(usize::try_from(done)?)?).await.is_err());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    if west.take() == 0 || alive {
        return Err("the other KMS was never asked".into());
    }
    let row = Row::new(WORKLOAD, NAME, &crate::version(NAME), "failed operations", failed as f64, "", Better::Lower);
    report.row(row.with_notes(format!("of {done}, three quarters of them after the kill; domain keys last 1 s")));
    report.bar(WORKLOAD, "failed operations", failed as f64, "", 0.0);
    Ok(())
}

/// What who can write the key tables gets.
async fn attacked(report: &mut Report) -> Result<()> {
    eprintln!("attacking …");
    let mut row = |name: &str, system: &str, refused: Option<bool>, notes: String| {
        let (workload, version) = (format!("attack: {name}"), crate::version(system));
        let (metric, value) =
            refused.map_or(("nothing to attack", 1.0), |refused| ("refused", f64::from(u8::from(refused))));
        report.row(Row::new(&workload, system, &version, metric, value, "", Better::Higher).with_notes(notes));
    };
    // Also those that are refused for another reason than the attack.
    let mut otherwise = 0_u32;
    let kek = |name: &str| -> Result<Arc<dyn Kms>> { Ok(Arc::new(EphemeralKeyring::named(name, SystemClock::new())?)) };
    let keks = [kek("east")?, kek("west")?];
    for attack in conformance::attacks(|| async { MemoryKeyStore::new() }, keks).await? {
        let refused = attack.outcome.is_err();
        otherwise += u32::from(!attack.is_as_claimed());
        let claim = if attack.claimed { "" } else { "not claimed; " };
        let end = attack.outcome.err().map_or_else(|| "it opens".to_owned(), |error| error.to_string());
        row(attack.name, NAME, Some(refused), format!("{claim}{end}"));
    }
    for (name, refused, notes) in KmsAead::new().await?.attacks().await? {
        row(name, kms_aead::NAME, refused, notes.to_owned());
    }
    for (name, refused, notes) in Asherah::attacks()? {
        row(name, asherah::NAME, refused, notes.to_owned());
    }
    report.bar("attack: any", "ended otherwise than is claimed", f64::from(otherwise), "", 0.0);
    Ok(())
}
