//! Which server is asked, and how a request looks on the wire.

use crate::Result;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, ToSocketAddrs};
use std::str::FromStr;

/// `http://HOST:PORT`; IPv4 only.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddrV4,
    host: String,
}

impl Target {
    pub(crate) fn local(port: u16) -> Target {
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        Target { address, host: address.to_string() }
    }

    /// Writes a request. An empty token is left out; a body is JSON.
    pub(crate) fn write(&self, out: &mut Vec<u8>, method: &str, path: &str, token: &str, body: Option<&[u8]>) {
        self.write_with(out, method, path, token, "", body);
    }

    /// The same with more header lines, each with its end.
    pub(crate) fn write_with(
        &self,
        out: &mut Vec<u8>,
        method: &str,
        path: &str,
        token: &str,
        headers: &str,
        body: Option<&[u8]>,
    ) {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.host);
        if !token.is_empty() {
            let _ = write!(out, "Authorization: {token}\r\n");
        }
        out.extend_from_slice(headers.as_bytes());
        match body {
            Some(body) => {
                let _ = write!(out, "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
                out.extend_from_slice(body);
            }
            None => out.extend_from_slice(b"\r\n"),
        }
    }
}

impl FromStr for Target {
    type Err = Box<dyn std::error::Error>;

    fn from_str(url: &str) -> Result<Target> {
        let host = url.strip_prefix("http://").ok_or("a URL begins with http://")?.trim_end_matches('/').to_owned();
        let with_port = if host.contains(':') { host.clone() } else { format!("{host}:80") };
        let address = with_port
            .to_socket_addrs()?
            .find_map(|address| match address {
                SocketAddr::V4(address) => Some(address),
                SocketAddr::V6(_) => None,
            })
            .ok_or_else(|| format!("{host} has no IPv4 address"))?;
        Ok(Target { address, host })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let target: Target = "http://127.0.0.1:8090/".parse().unwrap();
        assert_eq!((target.address.port(), target.host.as_str()), (8090, "127.0.0.1:8090"));
        assert!("https://127.0.0.1:8090".parse::<Target>().is_err());
    }

    #[test]
    fn requests() {
        let mut out = Vec::new();
        Target::local(80).write(&mut out, "GET", "/a", "", None);
        Target::local(80).write(&mut out, "POST", "/b", "t", Some(b"{}"));
        let expected = "GET /a HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\nPOST /b HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\
            Authorization: t\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
