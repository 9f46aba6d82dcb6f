use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::*;
use crate::change_log::LogLimits;
use crate::testing::Place;
use crate::{Action, NewChange, Pruner, Row, Subject, Value};

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
async fn what_is_typed_changes_none_of_our_tables() {
    let (writer, _) = writer();
    writer.run(JobLimits::MANY, |tx| insert(tx, "a")).await.unwrap();
    let typed = |sql: &'static str| writer.run(JobLimits::MANY, move |tx| tx.typed(|conn| conn.execute_batch(sql)));
    for sql in [
        "DROP TABLE _hw_changes",
        "DROP TABLE main._HW_STATE",
        "DELETE FROM _hw_changes",
        "WITH one AS (SELECT 1) UPDATE _hw_state SET value = ''",
        "INSERT INTO _hw_state VALUES ('a', 'b')",
        "ALTER TABLE _hw_changes RENAME TO other",
        "ALTER TABLE _hw_changes ADD COLUMN other",
        "CREATE INDEX other ON _hw_changes (record)",
        "CREATE TRIGGER other AFTER INSERT ON _hw_changes BEGIN DELETE FROM t; END",
        "CREATE TEMP TABLE _hw_changes (seq)",
        "CREATE TEMP VIEW _hw_changes AS SELECT 1",
        "PRAGMA writable_schema = ON",
        "PRAGMA query_only = ON",
    ] {
        let refused = typed(sql).await;
        assert!(matches!(refused, Err(WriteError::Job(_))), "{sql}: {refused:?}");
    }
    for sql in [
        "SELECT * FROM _hw_changes",
        "PRAGMA table_info(t)",
        "PRAGMA query_only",
        "CREATE TABLE _hw (v); DROP TABLE _hw",
    ] {
        typed(sql).await.unwrap();
    }
    // It may leave a trigger behind, which then fails.
    typed("CREATE TRIGGER left AFTER INSERT ON t BEGIN DELETE FROM _hw_changes; END").await.unwrap();
    assert!(writer.run(JobLimits::MANY, |tx| insert(tx, "b")).await.is_err());
    typed("DROP TRIGGER left").await.unwrap();
    writer.run(JobLimits::MANY, |tx| insert(tx, "b")).await.unwrap();
    // Our own statements are not typed, also after a panic.
    let panicking = writer.run(JobLimits::MANY, |tx| -> rusqlite::Result<()> { tx.typed(|_| panic!("on purpose")) });
    assert!(matches!(panicking.await, Err(WriteError::Panicked)));
    let own = |tx: &mut Tx<'_>| tx.conn().execute("INSERT INTO _hw_state VALUES ('a', 'b')", []);
    writer.run(JobLimits::MANY, own).await.unwrap();
    assert_eq!(count(&writer, "_hw_changes").await, 2);
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

#[derive(Debug, PartialEq)]
enum Heard {
    Commit(Vec<u64>),
    /// With the number of rows at that moment.
    Overwritten(i64),
    NewEpoch(Position),
    Expired(u64),
}

struct Listener(mpsc::UnboundedSender<Heard>);

impl Downstream for Listener {
    fn commit(&mut self, commit: Arc<Commit>) {
        let seqs = commit.changes.iter().map(|change| change.seq.0).collect();
        self.0.send(Heard::Commit(seqs)).unwrap();
    }

    fn overwritten(&mut self, conn: &Connection) {
        let rows = conn.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
        self.0.send(Heard::Overwritten(rows)).unwrap();
    }

    fn new_epoch(&mut self, start: Position) {
        self.0.send(Heard::NewEpoch(start)).unwrap();
    }

    fn expired(&mut self, through: Seq) {
        self.0.send(Heard::Expired(through.0)).unwrap();
    }
}

type Ears = mpsc::UnboundedReceiver<Heard>;

fn writer_on(place: &Place) -> (WriterHandle, Ears) {
    let conn = place.open();
    conn.execute_batch("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, v TEXT UNIQUE)").unwrap();
    change_log::create_tables(&conn).unwrap();
    let (heard, ears) = mpsc::unbounded_channel();
    let (handle, _) = Writer::start(conn, WriterLimits::default(), Box::new(Listener(heard))).unwrap();
    (handle, ears)
}

async fn write(writer: &WriterHandle, value: &'static str) -> Position {
    writer.run(JobLimits::MANY, move |tx| insert(tx, value)).await.unwrap().position.unwrap()
}

/// What is heard next. A minute is for a machine that is very busy.
async fn next(ears: &mut Ears) -> Heard {
    tokio::time::timeout(Duration::from_secs(60), ears.recv()).await.expect("in time").expect("an open channel")
}

/// Hears whether more was written than is told of.
struct Ledger(Arc<Mutex<Vec<bool>>>);

impl Downstream for Ledger {
    fn committed(&mut self, _: &Arc<Commit>, more: bool) {
        self.0.lock().unwrap().push(more);
    }

    fn commit(&mut self, _: Arc<Commit>) {}
}

#[actix::test]
async fn what_is_written_beside_the_changes_is_noticed() {
    let conn = Connection::open_in_memory().unwrap();
    conn.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT UNIQUE); CREATE TABLE u (v)").unwrap();
    let triggers = "CREATE TRIGGER also AFTER INSERT ON t WHEN new.v = 'two' BEGIN INSERT INTO u VALUES (1); END;
        CREATE TRIGGER never BEFORE INSERT ON t WHEN new.v = 'none' BEGIN SELECT RAISE(IGNORE); END;";
    conn.execute_batch(triggers).unwrap();
    change_log::create_tables(&conn).unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (writer, _) = Writer::start(conn, WriterLimits::default(), Box::new(Ledger(heard.clone()))).unwrap();
    let row = |value: &str| {
        let columns: Arc<[Arc<str>]> = ["v".into()].into();
        Arc::new(Row { columns, values: [Value::Text(value.into())].into() })
    };
    let update = move |tx: &mut Tx<'_>, value: &str| {
        let (subject, action) = (Arc::new(Table), Action::Update);
        let (before, after) = (Some(row("one")), Some(row(value)));
        tx.changed(NewChange { subject, record: "1".into(), action, before, after, actor: None });
    };
    write(&writer, "one").await;
    write(&writer, "two").await;
    write(&writer, "none").await;
    // An update that changes nothing is told of, and writes nothing.
    let same = move |tx: &mut Tx<'_>| -> rusqlite::Result<()> {
        update(tx, "one");
        Ok(())
    };
    writer.run(JobLimits::MANY, same).await.unwrap();
    // As many rows as changes, but not theirs.
    let beside = move |tx: &mut Tx<'_>| {
        update(tx, "one");
        tx.conn().execute("INSERT INTO u VALUES (2)", [])
    };
    writer.run(JobLimits::MANY, beside).await.unwrap();
    writer.run(JobLimits::ONE, |tx| tx.conn().execute("DELETE FROM u", [])).await.unwrap();
    writer.prune(Seq(2)).await.unwrap().unwrap();
    write(&writer, "three").await;
    assert_eq!(*heard.lock().unwrap(), [false, true, true, false, true, true, false, false]);
}

#[actix::test]
async fn a_commit_of_another_program_begins_a_new_epoch_before_the_next_job() {
    let place = Place::new("foreign");
    let (writer, mut ears) = writer_on(&place);
    let first = write(&writer, "a").await;
    assert_eq!(first, writer.position());
    place.open().execute("INSERT INTO t (v) VALUES ('foreign')", []).unwrap();
    let second = write(&writer, "b").await;
    assert_ne!(second.epoch, first.epoch);
    assert_eq!((second.seq, writer.oldest()), (Seq(2), Seq(2)));
    assert_eq!(writer.position(), second);
    assert_eq!(change_log::epoch(&place.open()).unwrap(), second.epoch);
    let start = Position { epoch: second.epoch.clone(), seq: Seq(1) };
    let expected = [Heard::Commit(vec![1]), Heard::Overwritten(2), Heard::NewEpoch(start), Heard::Commit(vec![2])];
    for heard in expected {
        assert_eq!(next(&mut ears).await, heard);
    }
    assert_eq!(write(&writer, "c").await.epoch, second.epoch, "once");
}

#[actix::test]
async fn a_commit_of_another_program_is_noticed_while_nobody_writes() {
    let place = Place::new("idle");
    let (writer, mut ears) = writer_on(&place);
    let before = writer.position();
    place.open().execute("INSERT INTO t (v) VALUES ('foreign')", []).unwrap();
    assert_eq!(next(&mut ears).await, Heard::Overwritten(1));
    let Heard::NewEpoch(start) = next(&mut ears).await else { panic!("no new epoch") };
    assert_ne!(start.epoch, before.epoch);
    assert_eq!(writer.position(), start);
}

#[actix::test]
async fn a_log_that_was_emptied_goes_on_with_higher_numbers() {
    let place = Place::new("reset");
    let (writer, _ears) = writer_on(&place);
    write(&writer, "a").await;
    let before = write(&writer, "b").await;
    place.open().execute_batch("DROP TABLE _hw_changes; DROP TABLE _hw_state").unwrap();
    let after = write(&writer, "c").await;
    assert_ne!(after.epoch, before.epoch);
    assert_eq!((after.seq, writer.oldest()), (Seq(3), Seq(3)));
    writer.stop().await;
    let (again, _) = writer_on(&place);
    assert_eq!((again.position(), again.oldest()), (after, Seq(3)));
}

#[actix::test]
async fn a_job_may_end_the_epoch_behind_its_own_changes() {
    let place = Place::new("ends");
    let (writer, mut ears) = writer_on(&place);
    let job = |tx: &mut Tx<'_>| {
        tx.end_epoch();
        insert(tx, "a")
    };
    let last = writer.run(JobLimits::MANY, job).await.unwrap().position.unwrap();
    let start = writer.position();
    assert_ne!(start.epoch, last.epoch);
    assert_eq!((last.seq, start.seq), (Seq(1), Seq(1)));
    let failing = |tx: &mut Tx<'_>| {
        tx.end_epoch();
        insert(tx, "a")
    };
    assert!(writer.run(JobLimits::MANY, failing).await.is_err());
    let next_write = write(&writer, "b").await;
    assert_eq!(next_write, Position { epoch: start.epoch.clone(), seq: Seq(2) });
    for heard in [Heard::Commit(vec![1]), Heard::NewEpoch(start), Heard::Commit(vec![2])] {
        assert_eq!(next(&mut ears).await, heard);
    }
}

#[actix::test]
async fn a_job_may_put_the_past_out_of_reach_while_the_epoch_goes_on() {
    let place = Place::new("expires");
    let (writer, mut ears) = writer_on(&place);
    let first = write(&writer, "a").await;
    assert_eq!(writer.oldest(), Seq(1));
    let reach = Arc::new(AtomicU64::new(0));
    let (seen, handle) = (reach.clone(), writer.clone());
    let job = move |tx: &mut Tx<'_>| {
        tx.expire_history();
        tx.after_commit(move || seen.store(handle.oldest().0, Ordering::Release));
        insert(tx, "b")
    };
    let second = writer.run(JobLimits::MANY, job).await.unwrap().position.unwrap();
    assert_eq!(second, Position { seq: Seq(2), ..first.clone() });
    assert_eq!((reach.load(Ordering::Acquire), writer.oldest()), (3, Seq(3)), "before the effects already");
    let failing = |tx: &mut Tx<'_>| {
        tx.expire_history();
        insert(tx, "a")
    };
    assert!(writer.run(JobLimits::MANY, failing).await.is_err());
    assert_eq!(write(&writer, "c").await, Position { seq: Seq(3), ..first.clone() });
    for heard in [Heard::Commit(vec![1]), Heard::Expired(2), Heard::Commit(vec![2]), Heard::Commit(vec![3])] {
        assert_eq!(next(&mut ears).await, heard);
    }
    writer.stop().await;
    let (again, _) = writer_on(&place);
    assert_eq!((again.position(), again.oldest()), (Position { seq: Seq(3), ..first }, Seq(3)));
}

#[actix::test]
async fn an_epoch_lives_as_long_as_nobody_else_writes() {
    let place = Place::new("lives");
    let (writer, _ears) = writer_on(&place);
    let before = write(&writer, "a").await;
    let other = place.open();
    other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    writer.checkpoint();
    assert!(writer.run(JobLimits::MANY, |tx| tx.conn().execute_batch("PRAGMA wal_autocheckpoint = 1")).await.is_err());
    writer.run(JobLimits::MANY, |tx| tx.conn().execute_batch("CREATE TABLE u (v)")).await.unwrap();
    assert_eq!(write(&writer, "b").await, Position { seq: Seq(2), ..before });
}

#[actix::test]
async fn the_log_is_pruned_in_the_background_down_to_its_bounds() {
    let place = Place::new("pruned");
    let (writer, _ears) = writer_on(&place);
    for _ in 0..4 {
        let job = |tx: &mut Tx<'_>| (0..500).try_for_each(|_| insert(tx, &count_rows(tx).to_string()));
        writer.run(JobLimits::MANY, job).await.unwrap();
    }
    let max_age = Arc::new(AtomicU64::new(3600));
    let age = max_age.clone();
    let limits = move || LogLimits { max_age: Duration::from_secs(age.load(Ordering::Relaxed)), max_bytes: 1 << 30 };
    let pruner = Pruner::start(place.open(), writer.clone(), limits).unwrap();
    assert_eq!(writer.oldest(), Seq(1));
    max_age.store(0, Ordering::Relaxed);
    let begin = Instant::now();
    while writer.oldest() < Seq(2000) {
        assert!(begin.elapsed() < Duration::from_secs(60), "pruned to {} only", writer.oldest());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let conn = place.open();
    assert_eq!((change_log::oldest(&conn).unwrap(), change_log::last(&conn).unwrap()), (Seq(2000), Seq(2000)));
    writer.stop().await;
    drop(pruner);
}

fn count_rows(tx: &Tx<'_>) -> usize {
    tx.conn().query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap() as usize
}
