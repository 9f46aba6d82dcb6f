//! The floor below every lone event: what a bare `write` to each of so many sockets costs on this machine, now. No server
//! that sends an event by a write to each client can be cheaper.
//!
//! Two processes, as with a server: one holds the clients' ends and reads, the other does nothing but write.

use crate::latency::median;
use crate::options::Options;
use crate::server::{OWN_CORE, SERVER_CORE};
use crate::socket::{self, Epoll};
use crate::{Result, process};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Clients that connect at a time: as many find room in the accept queue.
const OPENING: usize = 64;

struct Plan {
    clients: usize,
    events: usize,
    interval: Duration,
    bytes: usize,
    pin: bool,
}

impl Plan {
    fn of(mut options: Options) -> Result<Plan> {
        let plan = Plan {
            clients: options.value("clients", 10_000)?,
            events: options.value("events", 10)?,
            interval: Duration::from_millis(options.value("interval-ms", 2000)?),
            bytes: options.value("bytes", 420)?,
            pin: options.flag("pin")?,
        };
        options.finish()?;
        Ok(plan)
    }
}

/// The reader; starts the writer.
pub(crate) fn run(options: Options, arguments: &[String]) -> Result<Value> {
    let plan = Plan::of(options)?;
    if plan.pin {
        process::pin(OWN_CORE)?;
    }
    let mut writer = Writer::start(arguments)?;
    let mut clients = Vec::with_capacity(plan.clients);
    let epoll = Epoll::new()?;
    for index in 0..plan.clients {
        let client = socket::connect(writer.address, socket::source(*writer.address.ip(), index), false)?;
        epoll.add(&client, index as u64)?;
        clients.push(client);
        if clients.len().is_multiple_of(OPENING) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let (mut ready, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    while writer.child.try_wait()?.is_none() {
        epoll.wait(Duration::from_millis(100), &mut ready)?;
        for ready in &ready {
            // The end of the writer is seen above.
            let _ = clients[ready.token as usize].read(&mut buffer);
        }
    }
    writer.result()
}

struct Writer {
    child: Child,
    out: BufReader<ChildStdout>,
    address: SocketAddrV4,
}

impl Writer {
    fn start(arguments: &[String]) -> Result<Writer> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("floor-writer")
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut out = BufReader::new(child.stdout.take().ok_or("the writer says nothing")?);
        let mut port = String::new();
        out.read_line(&mut port)?;
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port.trim().parse()?);
        Ok(Writer { child, out, address })
    }

    fn result(&mut self) -> Result<Value> {
        let mut text = String::new();
        self.out.read_to_string(&mut text)?;
        Ok(serde_json::from_str(&text)?)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The writer: a process of its own, which says first its port and at last what it measured.
pub(crate) fn write(options: Options) -> Result<()> {
    let plan = Plan::of(options)?;
    if plan.pin {
        process::pin(SERVER_CORE)?;
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?.port());
    let epoll = Epoll::new()?;
    let accept = |index| -> Result<TcpStream> {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        // As a server would watch it.
        epoll.add(&stream, index as u64)?;
        Ok(stream)
    };
    let mut streams = (0..plan.clients).map(accept).collect::<Result<Vec<_>>>()?;
    let event = vec![b'x'; plan.bytes];
    let (mut cpu, mut wall) = (Vec::new(), Vec::new());
    for _ in 0..plan.events {
        std::thread::sleep(plan.interval);
        let (before, start) = (process::own_cpu_time(), Instant::now());
        for stream in &mut streams {
            stream.write_all(&event)?;
        }
        wall.push(start.elapsed().as_secs_f64() * 1e3);
        cpu.push((process::own_cpu_time() - before).as_secs_f64() * 1e6 / plan.clients as f64);
    }
    let range = |values: &[f64]| values.iter().fold((f64::MAX, 0.0_f64), |(a, b), v| (a.min(*v), b.max(*v)));
    let Plan { clients, events, bytes, .. } = plan;
    println!(
        "{}",
        json!({
            "clients": clients, "events": events, "bytes": bytes,
            "cpu_us_per_write": median(&cpu), "cpu_us_range": range(&cpu),
            "all_written_ms": median(&wall), "all_written_ms_range": range(&wall),
        })
    );
    Ok(())
}
