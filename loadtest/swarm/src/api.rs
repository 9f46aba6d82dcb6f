//! The few calls that prepare a run: one after the other, blocking, a connection each. Never used while measuring.

use crate::Result;
use crate::request::Target;
use crate::response::Response;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) struct Api {
    pub(crate) target: Target,
    /// Of a superuser; empty before `log_in`.
    pub(crate) token: String,
}

impl Api {
    pub(crate) fn log_in(target: Target, email: &str, password: &str) -> Result<Api> {
        let mut api = Api { target, token: String::new() };
        let body = json!({"identity": email, "password": password});
        let answer = api.call("POST", "/api/collections/_superusers/auth-with-password", Some(&body))?;
        api.token = answer["token"].as_str().ok_or("a log-in without a token")?.to_owned();
        Ok(api)
    }

    /// Anything but a 2xx is an error.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let (status, answer) =
            self.exchange(method, path, body).map_err(|error| format!("{method} {path}: {error}"))?;
        match status {
            200..=299 if answer.is_empty() => Ok(Value::Null),
            200..=299 => Ok(serde_json::from_slice(&answer)?),
            _ => Err(format!("{method} {path}: {status} {}", String::from_utf8_lossy(&answer)).into()),
        }
    }

    pub(crate) fn exchange(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::V4(self.target.address), TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let mut request = Vec::new();
        let body = body.map(Value::to_string);
        self.target.write(&mut request, method, path, &self.token, body.as_deref().map(str::as_bytes));
        stream.write_all(&request)?;
        let mut response = Response::new();
        let mut answer = Vec::new();
        let mut buffer = [0; 16 * 1024];
        while !response.is_done() {
            let count = stream.read(&mut buffer)?;
            if count == 0 && !response.end() {
                return Err("the server has closed the connection".into());
            }
            response.feed(&buffer[..count], |piece| answer.extend_from_slice(piece))?;
        }
        Ok((response.status, answer))
    }
}
