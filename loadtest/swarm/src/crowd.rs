//! Thousands of realtime clients. Those of the reference's protocol open their stream (GET), learn their client id and
//! subscribe (POST); the others subscribe with what opens them, and may come back.

use crate::Result;
use crate::client::{Client, Heard, Introduction, Protocol};
use crate::connection::Connection;
use crate::request::Target;
use crate::scene::Topics;
use crate::socket::{self, Epoll, Ready, SOURCES};
use std::time::{Duration, Instant};

/// How many clients are between their GET and the answer to their POST at a time.
pub(crate) const OPENING: usize = 64;
/// Without progress for so long, opening is given up.
const PATIENCE: Duration = Duration::from_secs(20);
/// Clients have their index as the token in the epoll set; connections for requests count from here.
pub(crate) const REQUESTS: u64 = 1 << 32;

/// Who the clients are.
#[derive(Clone)]
pub(crate) struct Guests {
    pub(crate) protocol: Protocol,
    pub(crate) topics: Topics,
    /// Theirs in turn; without any they are not logged in.
    pub(crate) tokens: Vec<String>,
    pub(crate) clients: usize,
    /// So many of them, the first ones, will stall.
    pub(crate) stalled: usize,
}

impl Guests {
    pub(crate) fn new(protocol: Protocol, topics: Topics, tokens: Vec<String>, clients: usize) -> Guests {
        Guests { protocol, topics, tokens, clients, stalled: 0 }
    }

    fn token(&self, client: usize) -> &str {
        self.tokens.get(client % self.tokens.len().max(1)).map_or("", String::as_str)
    }
}

pub(crate) struct Crowd {
    pub(crate) target: Target,
    pub(crate) epoll: Epoll,
    guests: Guests,
    seats: Vec<Seat>,
    /// How many have subscribed and are still there.
    pub(crate) subscribed: usize,
    /// Why the first client was lost.
    pub(crate) first_loss: Option<String>,
    pub(crate) opening: Duration,
    buffer: Vec<u8>,
}

/// What remains of a client when its connection ends.
#[derive(Default)]
struct Seat {
    /// None: lost.
    client: Option<Client>,
    subscribed: bool,
    /// Up to where it has seen everything, if it can resume.
    position: Vec<u8>,
}

/// The way in where a POST subscribes: who is next, and the connections to do it with. A client has to subscribe from the
/// address that its stream comes from.
struct Entrance {
    connections: Vec<Connection>,
    /// Whom a connection is subscribing.
    serving: Vec<usize>,
    idle: [Vec<usize>; SOURCES],
    waiting: Vec<(usize, String)>,
}

impl Crowd {
    /// Opens all clients, and waits until they have subscribed.
    pub(crate) fn open(target: &Target, guests: Guests) -> Result<Crowd> {
        let start = Instant::now();
        let clients = guests.clients;
        let mut crowd = Crowd {
            target: target.clone(),
            epoll: Epoll::new()?,
            guests,
            seats: Vec::with_capacity(clients),
            subscribed: 0,
            first_loss: None,
            opening: Duration::ZERO,
            buffer: vec![0; 64 * 1024],
        };
        let mut entrance = crowd.entrance()?;
        let mut ready = Vec::new();
        let mut progress = Instant::now();
        while crowd.subscribed < clients {
            while crowd.seats.len() < clients && crowd.seats.len() - crowd.subscribed < OPENING {
                crowd.seats.push(Seat::default());
                crowd.reopen(crowd.seats.len() - 1)?;
            }
            crowd.epoll.wait(Duration::from_millis(100), &mut ready)?;
            if !ready.is_empty() {
                progress = Instant::now();
            } else if progress.elapsed() > PATIENCE {
                return Err(format!("the server has stopped after {} clients", crowd.subscribed).into());
            }
            for &ready in &ready {
                if ready.token >= REQUESTS {
                    crowd.answer(ready, &mut entrance)?;
                    continue;
                }
                let (client, waiting) = (ready.token as usize, &mut entrance.waiting);
                let posts = crowd.guests.protocol == Protocol::Sse;
                crowd.serve(ready, |heard| {
                    if let Heard::Connected(id) = heard
                        && posts
                    {
                        waiting.push((client, String::from_utf8_lossy(id).into_owned()));
                    }
                });
            }
            if let Some(loss) = &crowd.first_loss {
                return Err(format!("a client was lost while opening: {loss}").into());
            }
            crowd.let_in(&mut entrance);
        }
        crowd.opening = start.elapsed();
        Ok(crowd)
    }

    fn entrance(&self) -> Result<Entrance> {
        let count = if self.guests.protocol == Protocol::Sse { OPENING.min(self.guests.clients) } else { 0 };
        let connect = |index: usize| {
            let from = socket::source(*self.target.address.ip(), index);
            Connection::open(&self.epoll, self.target.address, from, REQUESTS + index as u64)
        };
        let mut idle: [Vec<usize>; SOURCES] = Default::default();
        (0..count).for_each(|index| idle[index % SOURCES].push(index));
        let connections = (0..count).map(connect).collect::<Result<Vec<_>>>()?;
        Ok(Entrance { serving: vec![0; count], connections, idle, waiting: Vec::new() })
    }

    /// Begins to subscribe whoever waits for it.
    fn let_in(&self, entrance: &mut Entrance) {
        let Entrance { connections, serving, idle, waiting } = entrance;
        waiting.retain(|(client, id)| {
            let Some(index) = idle[client % SOURCES].pop() else { return true };
            let body = format!(r#"{{"clientId":"{id}","subscriptions":["{}"]}}"#, self.guests.topics.of(*client));
            serving[index] = *client;
            connections[index].ask(&self.epoll, |out| {
                let token = self.guests.token(*client);
                self.target.write(out, "POST", "/api/realtime", token, Some(body.as_bytes()));
                true
            });
            false
        });
    }

    fn answer(&mut self, ready: Ready, entrance: &mut Entrance) -> Result<()> {
        let index = (ready.token - REQUESTS) as usize;
        if let Some(answer) = entrance.connections[index].serve(ready, &self.epoll, &mut self.buffer)? {
            if answer.status != 204 {
                let body = String::from_utf8_lossy(answer.body);
                return Err(format!("subscribing: {} {body}", answer.status).into());
            }
            self.seats[entrance.serving[index]].subscribed = true;
            self.subscribed += 1;
            entrance.idle[index % SOURCES].push(index);
        }
        Ok(())
    }

    /// Ends this client's connection, if it has one, and begins another, from where it was.
    pub(crate) fn reopen(&mut self, client: usize) -> Result<()> {
        self.leave(client);
        let seat = &mut self.seats[client];
        let who = Introduction {
            protocol: self.guests.protocol,
            topic: &self.guests.topics.of(client),
            token: self.guests.token(client),
            position: &seat.position,
            narrow: client < self.guests.stalled,
        };
        let from = socket::source(*self.target.address.ip(), client);
        seat.client = Some(Client::open(&self.epoll, &self.target, from, client as u64, &who)?);
        Ok(())
    }

    fn leave(&mut self, client: usize) {
        let seat = &mut self.seats[client];
        seat.client = None;
        self.subscribed -= usize::from(std::mem::take(&mut seat.subscribed));
    }

    pub(crate) fn len(&self) -> usize {
        self.seats.len()
    }

    pub(crate) fn is_lost(&self, client: usize) -> bool {
        self.seats[client].client.is_none()
    }

    pub(crate) fn lost(&self) -> usize {
        self.seats.iter().filter(|seat| seat.client.is_none()).count()
    }

    /// Whether this client leaves alone what arrives.
    pub(crate) fn stall(&self, client: usize, stalled: bool) -> Result<()> {
        self.seats[client].client.as_ref().map_or(Ok(()), |client| client.stall(&self.epoll, stalled))
    }

    /// Reads what a client has received. A client whose stream has ended is dropped.
    pub(crate) fn serve(&mut self, ready: Ready, mut on: impl FnMut(Heard<'_>)) {
        let index = ready.token as usize;
        let seat = &mut self.seats[index];
        let Some(client) = &mut seat.client else { return };
        let mut subscribed = false;
        let served = client.serve(ready, &self.epoll, &mut self.buffer, &mut seat.position, |heard| {
            subscribed |= heard == Heard::Subscribed;
            on(heard);
        });
        if subscribed && !seat.subscribed {
            seat.subscribed = true;
            self.subscribed += 1;
        }
        if let Err(error) = served {
            self.first_loss.get_or_insert_with(|| error.to_string());
            self.leave(index);
        }
    }

    /// Keeps everyone connected until the time is over, and shows whatever comes.
    pub(crate) fn listen(&mut self, time: Duration, mut on: impl FnMut(usize, Heard<'_>)) -> Result<()> {
        let end = Instant::now() + time;
        let mut ready = Vec::new();
        while Instant::now() < end {
            self.epoll.wait(end.saturating_duration_since(Instant::now()), &mut ready)?;
            for &ready in ready.iter().filter(|ready| ready.token < REQUESTS) {
                self.serve(ready, |heard| on(ready.token as usize, heard));
            }
        }
        Ok(())
    }
}
