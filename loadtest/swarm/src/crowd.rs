//! Thousands of realtime clients: each opens its event stream (GET), learns its client id, and subscribes (POST).
//! `hold` keeps them idle, `fanout` reads what they receive.

use crate::Result;
use crate::connection::Connection;
use crate::events::{Frame, Frames};
use crate::request::Target;
use crate::response::Response;
use crate::socket::{self, Epoll, Ready, SOURCES};
use crate::wire::Wire;
use std::time::{Duration, Instant};

/// How many clients are between their GET and the answer to their POST at a time.
const OPENING: usize = 64;
/// Without progress for so long, opening is given up.
const PATIENCE: Duration = Duration::from_secs(20);
/// Clients have their index as the token in the epoll set; connections for requests count from here.
pub(crate) const REQUESTS: u64 = 1 << 32;

pub(crate) struct Crowd {
    pub(crate) target: Target,
    pub(crate) epoll: Epoll,
    /// None: lost.
    clients: Vec<Option<Client>>,
    /// Why the first client was lost.
    pub(crate) first_loss: Option<String>,
    pub(crate) opening: Duration,
    buffer: Vec<u8>,
}

/// Small, because there are many.
struct Client {
    wire: Wire,
    response: Response,
    frames: Frames,
}

/// The way in: who has to subscribe next, and the connections to do it with. A client has to subscribe from the address
/// that its stream comes from.
struct Entrance {
    connections: Vec<Connection>,
    idle: [Vec<usize>; SOURCES],
    waiting: Vec<(usize, String)>,
    begun: usize,
    subscribed: usize,
}

impl Crowd {
    /// Opens all clients, each subscribed to `topic`. The tokens are theirs in turn; without any they are guests.
    pub(crate) fn open(target: &Target, topic: &str, tokens: &[String], clients: usize) -> Result<Crowd> {
        let start = Instant::now();
        let mut crowd = Crowd {
            target: target.clone(),
            epoll: Epoll::new()?,
            clients: Vec::with_capacity(clients),
            first_loss: None,
            opening: Duration::ZERO,
            buffer: vec![0; 64 * 1024],
        };
        let connect = |index: usize| {
            let from = socket::source(*target.address.ip(), index);
            Connection::open(&crowd.epoll, target.address, from, REQUESTS + index as u64)
        };
        let connections = (0..OPENING.min(clients)).map(connect).collect::<Result<Vec<_>>>()?;
        let mut idle: [Vec<usize>; SOURCES] = Default::default();
        (0..connections.len()).for_each(|index| idle[index % SOURCES].push(index));
        let mut entrance = Entrance { connections, idle, waiting: Vec::new(), begun: 0, subscribed: 0 };
        let mut ready = Vec::new();
        let mut progress = Instant::now();
        while entrance.subscribed < clients {
            while entrance.begun < clients && entrance.begun - entrance.subscribed < OPENING {
                crowd.begin()?;
                entrance.begun += 1;
            }
            crowd.epoll.wait(Duration::from_millis(100), &mut ready)?;
            if !ready.is_empty() {
                progress = Instant::now();
            } else if progress.elapsed() > PATIENCE {
                return Err(format!("the server has stopped after {} clients", entrance.subscribed).into());
            }
            for &ready in &ready {
                if ready.token >= REQUESTS {
                    crowd.subscribed(ready, &mut entrance)?;
                } else {
                    let client = ready.token as usize;
                    let waiting = &mut entrance.waiting;
                    crowd.serve(ready, |frame| {
                        if frame.event == b"PB_CONNECT" {
                            waiting.push((client, String::from_utf8_lossy(frame.id).into_owned()));
                        }
                    });
                }
            }
            if let Some(loss) = &crowd.first_loss {
                return Err(format!("a client was lost while opening: {loss}").into());
            }
            let Entrance { connections, idle, waiting, .. } = &mut entrance;
            waiting.retain(|(client, id)| {
                let Some(index) = idle[client % SOURCES].pop() else { return true };
                let token = tokens.get(client % tokens.len().max(1)).map_or("", String::as_str);
                let body = format!(r#"{{"clientId":"{id}","subscriptions":["{topic}"]}}"#);
                connections[index].ask(&crowd.epoll, |out| {
                    target.write(out, "POST", "/api/realtime", token, Some(body.as_bytes()));
                    true
                });
                false
            });
        }
        crowd.opening = start.elapsed();
        Ok(crowd)
    }

    fn begin(&mut self) -> Result<()> {
        let index = self.clients.len();
        let from = socket::source(*self.target.address.ip(), index);
        let mut wire = Wire::open(&self.epoll, self.target.address, from, index as u64)?;
        let out = wire.out();
        self.target.write(out, "GET", "/api/realtime", "", None);
        wire.flush(&self.epoll)?;
        self.clients.push(Some(Client { wire, response: Response::new(), frames: Frames::default() }));
        Ok(())
    }

    fn subscribed(&mut self, ready: Ready, entrance: &mut Entrance) -> Result<()> {
        let index = (ready.token - REQUESTS) as usize;
        if let Some(answer) = entrance.connections[index].serve(ready, &self.epoll, &mut self.buffer)? {
            if answer.status != 204 {
                let body = String::from_utf8_lossy(answer.body);
                return Err(format!("subscribing: {} {body}", answer.status).into());
            }
            entrance.subscribed += 1;
            entrance.idle[index % SOURCES].push(index);
        }
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    pub(crate) fn lost(&self) -> usize {
        self.clients.iter().filter(|client| client.is_none()).count()
    }

    /// Reads what a client has received. A client whose stream has ended is dropped.
    pub(crate) fn serve(&mut self, ready: Ready, on_frame: impl FnMut(Frame<'_>)) {
        let slot = &mut self.clients[ready.token as usize];
        if let Some(client) = slot
            && let Err(error) = client.serve(ready, &self.epoll, &mut self.buffer, on_frame)
        {
            self.first_loss.get_or_insert(error.to_string());
            *slot = None;
        }
    }

    /// Keeps everyone connected until the time is over, and shows whatever comes.
    pub(crate) fn listen(&mut self, time: Duration, mut on_frame: impl FnMut(usize, Frame<'_>)) -> Result<()> {
        let end = Instant::now() + time;
        let mut ready = Vec::new();
        while Instant::now() < end {
            self.epoll.wait(end.saturating_duration_since(Instant::now()), &mut ready)?;
            for &ready in ready.iter().filter(|ready| ready.token < REQUESTS) {
                self.serve(ready, |frame| on_frame(ready.token as usize, frame));
            }
        }
        Ok(())
    }
}

impl Client {
    fn serve(
        &mut self,
        ready: Ready,
        epoll: &Epoll,
        buffer: &mut [u8],
        mut on_frame: impl FnMut(Frame<'_>),
    ) -> Result<()> {
        if ready.writable {
            self.wire.flush(epoll)?;
        }
        if !ready.readable {
            return Ok(());
        }
        let Some(bytes) = self.wire.read(buffer)? else { return Ok(()) };
        if bytes.is_empty() {
            return Err("the server has closed the stream".into());
        }
        let (response, frames) = (&mut self.response, &mut self.frames);
        if response.status == 0 {
            self.wire.release_out();
        }
        response.feed(bytes, |piece| frames.feed(piece, &mut on_frame))?;
        match response.status {
            0 | 200 if !response.is_done() => Ok(()),
            200 => Err("the server has ended the stream".into()),
            status => Err(format!("the stream was answered with {status}").into()),
        }
    }
}
