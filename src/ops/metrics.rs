//! Figures for those who watch over a server, in Prometheus' text format (version 0.0.4).
//!
//! Counters count since the server began; gauges are of this moment. Reading them asks each hub once and no database.

use std::fmt::{Display, Write};

use headwater_actors::writer::TIME_BOUNDS;

use crate::app::App;

/// The media type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All figures.
pub async fn text(app: &App) -> String {
    let mut out = Exposition::default();
    let realtime = app.realtime.stats().await;
    let counts = realtime.counts;
    out.family("headwater_realtime_connections", "gauge", "Realtime clients that are connected.");
    out.labelled("headwater_realtime_connections", "protocol=\"sse\"", realtime.event_streams);
    out.labelled("headwater_realtime_connections", "protocol=\"websocket\"", realtime.web_sockets);
    out.gauge("headwater_realtime_subscriptions", "Topics of all clients.", realtime.subscriptions);
    out.gauge("headwater_realtime_replaying", "Clients that are being told what they missed.", realtime.replaying);
    out.gauge("headwater_realtime_queue_bytes", "Bytes that wait for clients.", realtime.queued_bytes);
    out.counter("headwater_realtime_changes_total", "Changes that hubs looked at, once per hub.", counts.changes);
    out.counter("headwater_realtime_deliveries_total", "Events that were sent to clients.", counts.deliveries);
    out.family("headwater_realtime_cuts_total", "counter", "Clients that were cut off, by reason.");
    out.labelled("headwater_realtime_cuts_total", "reason=\"overflow\"", counts.overflows);
    out.labelled("headwater_realtime_cuts_total", "reason=\"stalled\"", counts.stalls);
    out.labelled("headwater_realtime_cuts_total", "reason=\"lagged\"", counts.lagged);
    out.counter("headwater_realtime_replays_total", "Clients that came back to a position.", counts.replays);
    out.counter("headwater_realtime_resets_total", "Clients that were told to read anew.", counts.resets);

    let (position, oldest) = (app.writer.position(), app.writer.oldest());
    out.gauge("headwater_seq", "The number of the last committed change.", position.seq);
    out.gauge("headwater_seq_oldest", "The oldest change that clients can go on from.", oldest);
    let behind = realtime.delivered.map_or(0, |delivered| position.seq.0.saturating_sub(delivered.0));
    out.gauge("headwater_realtime_lag", "Committed changes that a hub has not delivered yet.", behind);

    let writer = app.writer.counts();
    out.gauge("headwater_writer_queue", "Jobs that wait for the Writer or run.", app.writer.queued());
    out.counter("headwater_writer_jobs_total", "Jobs that were committed.", writer.jobs);
    out.counter("headwater_writer_changes_total", "Changes of records that were committed.", writer.changes);
    let name = "headwater_writer_commit_seconds";
    out.family(name, "histogram", "Time of a transaction, from its beginning to the last answer.");
    for (bound, count) in TIME_BOUNDS.iter().zip(writer.within) {
        out.labelled(&format!("{name}_bucket"), &format!("le=\"{bound}\""), count);
    }
    out.labelled(&format!("{name}_bucket"), "le=\"+Inf\"", writer.commits);
    out.sample(&format!("{name}_sum"), writer.seconds);
    out.sample(&format!("{name}_count"), writer.commits);

    let readers = app.readers.counts();
    out.gauge("headwater_readers_queue", "Reads that wait for a Reader or run.", app.readers.queued());
    out.counter("headwater_reads_total", "Reads that Readers have run.", readers.reads);
    out.counter("headwater_read_seconds_total", "Time that Readers were busy, of all together.", readers.seconds);

    process(&mut out);
    out.0
}

/// What the kernel knows of the process; nothing where it does not tell.
fn process(out: &mut Exposition) {
    if let Some(pages) = statm() {
        // SAFETY: a call without arguments of ours.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.max(0) as u64;
        out.gauge("process_resident_memory_bytes", "Resident memory.", pages * page);
    }
    // SAFETY: zeros are a value of the struct, which the call fills in.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    if unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) } == 0 {
        let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
        let cpu = seconds(usage.ru_utime) + seconds(usage.ru_stime);
        out.counter("process_cpu_seconds_total", "CPU time, user and system.", cpu);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        out.gauge("process_open_fds", "Open files and sockets.", open.count());
    }
}

/// Resident memory in pages.
fn statm() -> Option<u64> {
    std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()
}

#[derive(Default)]
struct Exposition(String);

// Writing into a String cannot fail.
impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn labelled(&mut self, name: &str, label: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name}{{{label}}} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, value);
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", help);
        self.sample(name, value);
    }
}
