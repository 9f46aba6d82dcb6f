//! The server: actix-server's workers, each with the whole service, on sockets of our own ([`super::socket`]).

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;
use std::{io, net};

use actix_http::HttpServiceBuilder;
use actix_server::Server;
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::rt::net::TcpStream;

use super::socket::Socket;
use crate::app::App;

/// A burst of reconnects after a restart must find room in the accept queue.
const BACKLOG: u32 = 4096;

/// How long open requests may take to end after [`actix_server::ServerHandle::stop`], in seconds.
const GRACE: u64 = 2;

/// How long a connection may be idle between two requests.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Listens on the address (`HOST:PORT`; port 0 takes a free one). Also gives the first address that it found.
pub fn bind(app: App, address: &str) -> io::Result<(Server, SocketAddr)> {
    let mut builder = Server::build()
        .workers(std::thread::available_parallelism().map_or(2, usize::from))
        .backlog(BACKLOG)
        .max_concurrent_connections(100_000)
        .worker_max_blocking_threads(2)
        .shutdown_timeout(GRACE)
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let mut first = None;
    for address in address.to_socket_addrs()? {
        let listener = listen(address)?;
        let address = listener.local_addr()?;
        first.get_or_insert(address);
        let (app, stopping) = (app.clone(), stopping.clone());
        builder = builder.listen("http", listener, move || {
            let stopping = stopping.clone();
            let service =
                super::service(app.clone()).into_factory().map_err(|error: actix_web::Error| error.error_response());
            let http = HttpServiceBuilder::<Socket, _>::default()
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    async move { stopping.notified().await }
                })
                .keep_alive(KEEP_ALIVE)
                .client_request_timeout(HEAD_TIMEOUT)
                .client_disconnect_timeout(Duration::from_secs(1))
                // A client that closed its side is gone.
                .h1_allow_half_closed(false)
                .local_addr(address)
                .on_connect_ext(|socket: &Socket, data: &mut _| socket.remember(data))
                .h1(map_config(service, |_| AppConfig::default()));
            fn_service(|stream: TcpStream| async move {
                // Answers and events are written whole: there is nothing to wait for.
                let _ = stream.set_nodelay(true);
                let peer = stream.peer_addr().ok();
                Ok((Socket::new(stream), peer))
            })
            .and_then(http)
        })?;
    }
    let first = first.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the name has no address"))?;
    Ok((builder.run(), first))
}

fn listen(address: SocketAddr) -> io::Result<net::TcpListener> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    // After a restart the address is still known to connections of before.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG as i32)?;
    Ok(socket.into())
}
