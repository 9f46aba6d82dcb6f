//! What `compare` measures in a turn. Every scenario has a server of its own, started on a fresh copy of the data, so that
//! none pays for what another has left in memory.

use crate::client::Protocol;
use crate::compare::{Setting, Side};
use crate::crowd::Guests;
use crate::fanout::{self, Report};
use crate::hold::Held;
use crate::http;
use crate::operation::{Operation, Requests};
use crate::restart;
use crate::scene::Scene;
use crate::server::Server;
use crate::stall;
use crate::table::{Goal, Good, Measure};
use crate::writers::Pace;
use crate::{Result, fixture::Counts};
use std::str::FromStr;
use std::time::Duration;

/// Busier than this share of a core, the generator may have been the limit.
const BUSY: f64 = 0.85;
/// How long the clients are idle before memory is read.
const SETTLE: Duration = Duration::from_secs(2);
/// After so long a closed loop writes nothing more.
const LIMIT: Duration = Duration::from_secs(60);
/// As many for both: the more events wait for a client, the more of them leave in one write.
const BURST: usize = 20;
const BURST_WRITERS: usize = 4;
/// Where an event concerns one client.
const WRITERS: usize = 16;
/// Whom `idle18k` holds.
const MANY: usize = 18_000;
/// Clients of `stall`; half of them stall.
const STALL: usize = 1000;
/// What Headwater lets wait for a client by default, and something for the client itself.
const CAP: f64 = 256.0 + 44.0;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scenario {
    Http,
    Fanout,
    Burst,
    Sparse,
    Owners,
    Join,
    Stall,
    Restart,
    WebSocket,
    Tokens,
    Idle18k,
}

use Scenario::*;

const ALL: [(Scenario, &str); 11] = [
    (Http, "http"),
    (Fanout, "fanout"),
    (Burst, "burst"),
    (Sparse, "sparse"),
    (Owners, "owners"),
    (Join, "join"),
    (Stall, "stall"),
    (Restart, "restart"),
    (WebSocket, "websocket"),
    (Tokens, "tokens"),
    (Idle18k, "idle18k"),
];

impl FromStr for Scenario {
    type Err = Box<dyn std::error::Error>;

    fn from_str(name: &str) -> Result<Scenario> {
        let found = ALL.iter().find(|(_, known)| *known == name);
        found.map(|(scenario, _)| *scenario).ok_or_else(|| format!("{name}: no such scenario").into())
    }
}

/// `all`, or names with commas between them.
pub(crate) fn parse(list: &str) -> Result<Vec<Scenario>> {
    match list {
        "all" => Ok(ALL.iter().map(|(scenario, _)| *scenario).collect()),
        _ => list.split(',').map(str::parse).collect(),
    }
}

/// Values in the order of `Scenario::measures`; None where this server has none.
type Values = Vec<Option<f64>>;

/// A turn of one scenario with one of the two servers.
pub(crate) struct Turn<'a> {
    pub(crate) side: &'a mut Side,
    pub(crate) setting: &'a Setting,
    pub(crate) faults: &'a mut Vec<String>,
}

impl Scenario {
    pub(crate) fn name(self) -> &'static str {
        ALL.iter().find(|(scenario, _)| *scenario == self).map_or("", |(_, name)| name)
    }

    pub(crate) fn clients(self, setting: &Setting) -> usize {
        match self {
            Http => setting.connections,
            Stall => STALL.min(setting.clients),
            Idle18k => MANY,
            _ => setting.clients,
        }
    }

    /// What has to be there for it.
    pub(crate) fn needs(self, setting: &Setting) -> Counts {
        let clients = self.clients(setting);
        match self {
            Http => Counts { rows: setting.rows, ..Counts::default() },
            Sparse => Counts { cells: clients, ..Counts::default() },
            Owners | Join | Tokens => Counts { users: clients, ..Counts::default() },
            _ => Counts::default(),
        }
    }

    pub(crate) fn measures(self, setting: &Setting) -> Vec<Measure> {
        use Goal::{AtLeast, AtMost};
        use Good::{High, Low};
        let clients = self.clients(setting);
        let to = |what: &str| format!("{what}, {clients} SSE clients");
        let lines: Vec<(String, &'static str, Good, Goal)> = match self {
            Http => return http_measures(setting),
            Fanout => vec![
                (to("memory, idle"), "KB/client", Low, AtMost(5.0)),
                (to("opening"), "clients/s", High, Goal::None),
                (to("lone event"), "CPU us/delivery", Low, AtMost(14.0)),
                (to("lone event"), "p50 ms", Low, Goal::None),
                (to("lone event"), "p99 ms", Low, AtMost(150.0)),
                (to("lone event"), "write p50 ms", Low, AtMost(2.0)),
            ],
            Burst => vec![
                (to("burst"), "deliveries/s", High, AtLeast(400_000.0)),
                (to("burst"), "CPU us/delivery", Low, AtMost(2.5)),
                (to("burst"), "p99 ms", Low, Goal::None),
            ],
            Sparse => for_one(format!("a record each, {clients} SSE clients"), 0.2, AtLeast(4000.0)),
            Owners => for_one(format!("rule by owner, {clients} users"), 1.0, AtLeast(1000.0)),
            Join => for_one(format!("rule with a join, {clients} users"), 10.0, Goal::None),
            Stall => {
                let of = |what: &str| format!("{} of {clients} clients stalled: {what}", clients / 2);
                vec![
                    (of("kept"), "KB/stalled client", Low, AtMost(CAP)),
                    (of("kept"), "KB/stalled client and event", Low, Goal::None),
                    (of("cut"), "clients", High, Goal::None),
                    (of("missed and not told"), "events", Low, AtMost(0.0)),
                    (of("the others"), "p99 ms", Low, Goal::None),
                ]
            }
            Restart => vec![
                (to("killed: all connected again"), "s", Low, Goal::None),
                (to("killed: and everything received"), "s", Low, AtMost(3.0)),
            ],
            WebSocket => {
                let to = |what: &str| format!("{what}, {clients} WebSockets");
                vec![
                    (to("memory, idle"), "KB/client", Low, AtMost(8.0)),
                    (to("opening"), "clients/s", High, Goal::None),
                    (to("lone event"), "CPU us/delivery", Low, AtMost(14.0)),
                    (to("lone event"), "p99 ms", Low, AtMost(150.0)),
                    (to("burst"), "deliveries/s", High, AtLeast(400_000.0)),
                    (to("burst"), "CPU us/delivery", Low, AtMost(2.5)),
                ]
            }
            Tokens => vec![
                (to("memory, idle, a token each"), "KB/client", Low, AtMost(6.0)),
                (to("opening, a token each"), "clients/s", High, Goal::None),
            ],
            Idle18k => vec![(to("memory, idle"), "KB/client", Low, AtMost(5.0))],
        };
        lines.into_iter().map(|(name, unit, good, goal)| Measure::new(name, unit, good, goal)).collect()
    }

    pub(crate) fn run(self, turn: &mut Turn<'_>, server: &mut Server) -> Result<Values> {
        let clients = self.clients(turn.setting);
        let pid = Some(server.pid());
        let reference = turn.side.is_reference;
        match self {
            Http => turn.http(server),
            Fanout => {
                let mut held = turn.hold(server, Protocol::Sse, Scene::Fanout, clients, false)?;
                let mut values = vec![held.kilobytes_per_client(), Some(held.connect_rate())];
                let report =
                    turn.fanout(&mut held, "fan-out", turn.setting.events, 1, Pace::Every(turn.setting.interval), pid)?;
                values.extend([report.cpu_micros_per_delivery()]);
                values.extend([report.delivery.p50, report.delivery.p99, report.write.p50].map(Some));
                Ok(values)
            }
            Burst => {
                let mut held = turn.hold(server, Protocol::Sse, Scene::Fanout, clients, false)?;
                let report = turn.fanout(&mut held, "burst", BURST, BURST_WRITERS, Pace::Closed, pid)?;
                Ok(vec![
                    Some(report.deliveries_per_second()),
                    report.cpu_micros_per_delivery(),
                    Some(report.delivery.p99),
                ])
            }
            Sparse => turn.one(server, Scene::Sparse, if reference { 200 } else { 20_000 }),
            Owners => turn.one(server, Scene::Owners, if reference { 5 } else { 5000 }),
            Join => turn.one(server, Scene::Join, if reference { 5 } else { 500 }),
            Stall => turn.stall(server, clients),
            Restart => turn.restart(server, clients),
            WebSocket if reference => Ok(vec![None; 6]),
            WebSocket => {
                let mut held = turn.hold(server, Protocol::WebSocket, Scene::Fanout, clients, false)?;
                let mut values = vec![held.kilobytes_per_client(), Some(held.connect_rate())];
                let pace = Pace::Every(turn.setting.interval);
                let lone = turn.fanout(&mut held, "WebSockets", turn.setting.events, 1, pace, pid)?;
                let burst = turn.fanout(&mut held, "WebSockets", BURST, BURST_WRITERS, Pace::Closed, pid)?;
                values.extend([lone.cpu_micros_per_delivery(), Some(lone.delivery.p99)]);
                values.extend([Some(burst.deliveries_per_second()), burst.cpu_micros_per_delivery()]);
                Ok(values)
            }
            Tokens => {
                let held = turn.hold(server, Protocol::Sse, Scene::Fanout, clients, true)?;
                Ok(vec![held.kilobytes_per_client(), Some(held.connect_rate())])
            }
            Idle18k => {
                let held = turn.hold(server, Protocol::Sse, Scene::Fanout, clients, false)?;
                Ok(vec![held.kilobytes_per_client()])
            }
        }
    }
}

fn for_one(name: String, cpu: f64, rate: Goal) -> Vec<(String, &'static str, Good, Goal)> {
    vec![
        (name.clone(), "CPU ms/event", Good::Low, Goal::AtMost(cpu)),
        (name.clone(), "events/s", Good::High, rate),
        (name, "p50 ms", Good::Low, Goal::None),
    ]
}

fn http_measures(setting: &Setting) -> Vec<Measure> {
    let lines = |(operation, _, name): (Operation, &str, &str)| {
        let goal = match operation {
            Operation::Create => Goal::Better(6.5),
            Operation::Update => Goal::Better(7.5),
            Operation::Get | Operation::AuthRefresh => Goal::Better(10.0),
            Operation::List | Operation::ListSkipTotal | Operation::ListExpand | Operation::ListUpdate => {
                Goal::Better(8.0)
            }
            // Beside them: what it takes to read a page, where none is kept.
            Operation::ListOther => Goal::None,
        };
        // What holds for many at once; one alone waits for the machine more than for the server.
        let goal = if setting.connections == 64 { goal } else { Goal::Better(1.0) };
        let at = format!("{name}, {} connections", setting.connections);
        [
            Measure::new(at.clone(), "requests/s", Good::High, goal),
            Measure::new(
                at.clone(),
                "p99 ms",
                Good::Low,
                Goal::Better(if setting.connections == 64 { 3.0 } else { 1.0 }),
            ),
            Measure::new(at, "CPU us/request", Good::Low, Goal::None),
        ]
    };
    Operation::ALL.into_iter().flat_map(lines).collect()
}

impl Turn<'_> {
    fn fault(&mut self, text: String) {
        let fault = format!("{}: {text}", self.side.name);
        // Not only at the end, which a run may not live to see.
        eprintln!("- {fault}");
        self.faults.push(fault);
    }

    fn busy(&mut self, what: &str, share: f64) {
        if share > BUSY {
            self.fault(format!("{what}: the generator was {:.0} % busy", share * 100.0));
        }
    }

    fn http(&mut self, server: &Server) -> Result<Values> {
        self.side.answers.clear();
        let plan = http::Plan {
            connections: self.setting.connections,
            warmup: Duration::from_secs(1),
            window: self.setting.window,
            pid: Some(server.pid()),
        };
        let mut values = Vec::new();
        for (operation, name, _) in Operation::ALL {
            let callers = self.side.callers.clone();
            let mut requests = Requests::new(server.target.clone(), operation, callers, self.setting.rows);
            if self.setting.superuser {
                requests.callers = "_superusers";
            }
            let tally = http::run(&server.target, &plan, &mut requests)?;
            if let Some(error) = &tally.first_error {
                self.fault(format!("{name}: {} errors, first {error}", tally.errors));
            }
            self.busy(name, tally.own_cpu_share());
            self.side.answers.push(tally.body_bytes);
            values.extend([Some(tally.rate()), Some(tally.latency.p99), tally.cpu_micros_per_request()]);
        }
        Ok(values)
    }

    fn hold(
        &mut self,
        server: &Server,
        protocol: Protocol,
        scene: Scene,
        clients: usize,
        tokens: bool,
    ) -> Result<Held> {
        let tokens = if tokens { self.side.users.clone() } else { Vec::new() };
        let guests = Guests::new(protocol, scene.topics(), tokens, clients);
        let held = Held::open(&server.target, guests, Some(server.pid()), SETTLE)?;
        if held.lost > 0 {
            self.fault(format!("{} idle clients lost", held.lost));
        }
        Ok(held)
    }

    fn fanout(
        &mut self,
        held: &mut Held,
        name: &str,
        events: usize,
        writers: usize,
        pace: Pace,
        pid: Option<u32>,
    ) -> Result<Report> {
        self.watch(
            held,
            name,
            fanout::Plan { scene: Scene::Fanout, events, writers, pace, token: String::new(), pid, limit: LIMIT },
        )
    }

    fn watch(&mut self, held: &mut Held, name: &str, plan: fanout::Plan) -> Result<Report> {
        let report = fanout::run(&mut held.crowd, &plan)?;
        if !report.ledger.is_clean() || report.clients_lost > 0 {
            self.fault(format!("{name}: {}, {} clients lost", report.ledger.summary(), report.clients_lost));
        }
        // A lone event costs a moment of work, however long the pause before the next.
        if matches!(plan.pace, Pace::Closed) {
            self.busy(name, report.own_cpu_share());
        }
        Ok(report)
    }

    /// Events in a closed loop, each for one client.
    fn one(&mut self, server: &Server, scene: Scene, events: usize) -> Result<Values> {
        let mut held = self.hold(server, Protocol::Sse, scene, self.setting.clients, scene.has_users())?;
        let (pid, limit, token) = (Some(server.pid()), LIMIT, String::new());
        let plan = fanout::Plan { scene, events, writers: WRITERS, pace: Pace::Closed, token, pid, limit };
        let report = self.watch(&mut held, &format!("{scene:?}").to_lowercase(), plan)?;
        Ok(vec![report.cpu_millis_per_event(), Some(report.events_per_second()), Some(report.delivery.p50)])
    }

    /// The reference keeps everything, so it is spared most of the events.
    fn stall(&mut self, server: &Server, clients: usize) -> Result<Values> {
        let (protocol, events, interval) =
            if self.side.is_reference { (Protocol::Sse, 100, 200) } else { (Protocol::Resuming, 2000, 40) };
        let plan = stall::Plan {
            protocol,
            clients,
            events,
            interval: Duration::from_millis(interval),
            pid: Some(server.pid()),
            limit: LIMIT + LIMIT,
        };
        let report = stall::run(&server.target, &plan)?;
        if !report.is_clean() || report.complete.is_some_and(|(complete, all)| complete < all) {
            self.fault(format!("stall: {}", report.summary()));
        }
        Ok(vec![
            report.kilobytes_per_stalled(),
            report.kilobytes_per_event(),
            Some(report.cut as f64),
            Some(report.unsaid as f64),
            Some(report.delivery.p99),
        ])
    }

    fn restart(&mut self, server: &mut Server, clients: usize) -> Result<Values> {
        let protocol = if self.side.is_reference { Protocol::Sse } else { Protocol::Resuming };
        let report = restart::run(server, &restart::Plan { protocol, clients, events: 10 })?;
        if !report.is_clean() {
            self.fault(format!("restart: {}", report.summary()));
        }
        Ok(vec![Some(report.connected.as_secs_f64()), report.complete.map(|complete| complete.as_secs_f64())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_have_names() {
        assert_eq!(parse("http,fanout").unwrap(), [Http, Fanout]);
        assert_eq!(parse("all").unwrap().len(), ALL.len());
        assert!(parse("http,nothing").is_err());
        assert_eq!(Idle18k.name(), "idle18k");
    }
}
