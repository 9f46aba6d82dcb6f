use std::sync::Mutex;

use super::*;
use crate::{Action, Subject};

struct Table;

impl Subject for Table {
    fn id(&self) -> &str {
        "t"
    }

    fn name(&self) -> &str {
        "t"
    }
}

type Published = Arc<Mutex<Vec<u64>>>;

fn writer() -> (WriterHandle, Published) {
    let conn = Connection::open_in_memory().unwrap();
    conn.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT UNIQUE)").unwrap();
    change_log::create_tables(&conn).unwrap();
    let published = Published::default();
    let seen = published.clone();
    let publish = move |commit: Arc<Commit>| {
        seen.lock().unwrap().extend(commit.changes.iter().map(|change| change.seq.0));
    };
    let (handle, _) = Writer::start(conn, WriterLimits::default(), Box::new(publish)).unwrap();
    (handle, published)
}

fn insert(tx: &mut Tx<'_>, value: &str) -> rusqlite::Result<()> {
    tx.conn().execute("INSERT INTO t (v) VALUES (?1)", [value])?;
    tx.changed(NewChange {
        subject: Arc::new(Table),
        record: value.into(),
        action: Action::Create,
        before: None,
        after: None,
        actor: None,
    });
    Ok(())
}

async fn count(writer: &WriterHandle, table: &'static str) -> i64 {
    let query = format!("SELECT count(*) FROM {table}");
    let job = move |tx: &mut Tx<'_>| tx.conn().query_row(&query, [], |row| row.get(0));
    writer.run(JobLimits::ONE, job).await.unwrap().value
}

#[actix::test]
async fn every_change_gets_the_next_number_and_is_published_in_order() {
    let (writer, published) = writer();
    let jobs = (0..100).map(|n| {
        let writer = writer.clone();
        async move { writer.run(JobLimits::ONE, move |tx| insert(tx, &n.to_string())).await.unwrap().position }
    });
    let mut seqs: Vec<u64> =
        futures_util::future::join_all(jobs).await.into_iter().map(|position| position.unwrap().seq.0).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=100).collect::<Vec<_>>());
    writer.stop().await;
    assert_eq!(*published.lock().unwrap(), (1..=100).collect::<Vec<_>>());
}

#[actix::test]
async fn a_failing_or_panicking_job_fails_alone() {
    let (writer, published) = writer();
    let good = writer.run(JobLimits::MANY, |tx| insert(tx, "a"));
    let failing = writer.run(JobLimits::MANY, |tx| {
        insert(tx, "b")?;
        insert(tx, "a")
    });
    let panicking = writer.run(JobLimits::MANY, |tx| -> rusqlite::Result<()> {
        insert(tx, "c")?;
        panic!("on purpose")
    });
    let last = writer.run(JobLimits::MANY, |tx| insert(tx, "d"));
    let (good, failing, panicking, last) = tokio::join!(good, failing, panicking, last);
    assert_eq!(good.unwrap().position.unwrap().seq, Seq(1));
    assert!(matches!(failing, Err(WriteError::Job(_))), "{failing:?}");
    assert!(matches!(panicking, Err(WriteError::Panicked)), "{panicking:?}");
    assert_eq!(last.unwrap().position.unwrap().seq, Seq(2));
    assert_eq!(count(&writer, "t").await, 2);
    assert_eq!(count(&writer, "_hw_changes").await, 2);
    assert_eq!(*published.lock().unwrap(), [1, 2]);
}

#[actix::test]
async fn a_job_cannot_end_the_transaction_that_it_shares() {
    let (writer, published) = writer();
    for statement in ["COMMIT", "ROLLBACK", "END", "BEGIN", "RELEASE _hw_job", "ROLLBACK TO _hw_job"] {
        let good = writer.run(JobLimits::MANY, |tx| insert(tx, statement));
        let bad = writer.run(JobLimits::MANY, |tx| tx.conn().execute_batch(statement));
        let (good, bad) = tokio::join!(good, bad);
        assert!(good.is_ok(), "{statement}: {good:?}");
        assert!(matches!(bad, Err(WriteError::Job(_))), "{statement}: {bad:?}");
    }
    // The last commit is published after its answer.
    writer.stop().await;
    assert_eq!(*published.lock().unwrap(), [1, 2, 3, 4, 5, 6]);
}

#[actix::test]
async fn a_job_that_takes_too_long_is_interrupted() {
    let (writer, _) = writer();
    let limits = JobLimits::MANY.with_time(Duration::from_millis(50));
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let result = writer.run(limits, |tx| tx.conn().query_row(endless, [], |row| row.get::<_, i64>(0))).await;
    assert!(matches!(result, Err(WriteError::Job(_))), "{result:?}");
    assert_eq!(count(&writer, "t").await, 0);
}

#[actix::test]
async fn a_job_may_have_all_the_time_in_the_world() {
    let (writer, _) = writer();
    let limits = JobLimits::MANY.with_time(Duration::MAX);
    assert!(writer.run(limits, |tx| insert(tx, "a")).await.is_ok());
    assert_eq!(count(&writer, "t").await, 1);
}

#[actix::test]
async fn a_long_job_that_is_interrupted_takes_no_other_with_it() {
    let (writer, published) = writer();
    let before = writer.run(JobLimits::MANY, |tx| insert(tx, "before"));
    let long = writer.run(JobLimits::MANY.with_time(Duration::from_millis(50)), |tx| {
        let endless =
            "INSERT INTO t (v) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
        tx.conn().execute(endless, [])
    });
    let after = writer.run(JobLimits::MANY, |tx| insert(tx, "after"));
    let (before, long, after) = tokio::join!(before, long, after);
    assert!(before.is_ok() && long.is_err() && after.is_ok(), "{before:?} {long:?} {after:?}");
    assert_eq!(count(&writer, "t").await, 2);
    writer.stop().await;
    assert_eq!(*published.lock().unwrap(), [1, 2]);
}

#[actix::test]
async fn a_panic_after_the_commit_does_not_end_the_writer() {
    let (writer, _) = writer();
    let job = |tx: &mut Tx<'_>| {
        tx.after_commit(|| panic!("on purpose"));
        insert(tx, "a")
    };
    assert!(writer.run(JobLimits::MANY, job).await.is_ok());
    assert!(writer.run(JobLimits::MANY, |tx| insert(tx, "b")).await.is_ok());
}

#[actix::test]
async fn effects_run_after_the_commit_and_only_then() {
    let (writer, _) = writer();
    let ran = Arc::new(Mutex::new(Vec::new()));
    let (first, second) = (ran.clone(), ran.clone());
    let good = writer.run(JobLimits::MANY, move |tx| {
        tx.after_commit(move || first.lock().unwrap().push("good"));
        insert(tx, "a")
    });
    good.await.unwrap();
    let bad = writer.run(JobLimits::MANY, move |tx| {
        tx.after_commit(move || second.lock().unwrap().push("bad"));
        insert(tx, "a")
    });
    assert!(bad.await.is_err());
    assert_eq!(*ran.lock().unwrap(), ["good"]);
}

#[actix::test]
async fn what_follows_a_job_that_ends_its_group_sees_its_effects() {
    let (writer, _) = writer();
    let version = Arc::new(AtomicU64::new(0));
    let jobs = (0..20).map(|n| {
        let (writer, version) = (writer.clone(), version.clone());
        async move {
            let job = move |tx: &mut Tx<'_>| {
                let seen = version.load(Ordering::Acquire);
                tx.end_group();
                tx.after_commit(move || version.store(seen + 1, Ordering::Release));
                insert(tx, &n.to_string()).map(|()| seen)
            };
            writer.run(JobLimits::MANY, job).await.unwrap().value
        }
    });
    let seen = futures_util::future::join_all(jobs).await;
    assert_eq!(seen, (0..20).collect::<Vec<u64>>());
}
