//! The runner's own few calls: a management request, a first sign of life.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

use anyhow::{bail, ensure};
use serde_json::Value;

use crate::call::render;
use crate::clock;
use crate::reply::Reply;

const PATIENCE: Duration = Duration::from_secs(10);

/// One kept-alive connection.
pub(crate) struct Client {
    address: SocketAddrV4,
    socket: TcpStream,
}

impl Client {
    pub(crate) fn connect(address: SocketAddrV4) -> anyhow::Result<Self> {
        let socket = TcpStream::connect_timeout(&address.into(), PATIENCE)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { address, socket })
    }

    /// Calls and returns the status and the body.
    pub(crate) fn call(&mut self, method: &str, path: &str, key: &str, body: &str) -> anyhow::Result<(u16, Vec<u8>)> {
        self.socket.write_all(&render(method, path, self.address, key, "application/json", body.as_bytes()))?;
        let mut reply = Reply::keeping_body();
        let mut buffer = [0; 16 * 1024];
        while !reply.is_complete() {
            match self.socket.read(&mut buffer)? {
                0 => bail!("{} closed the connection within an answer", self.address),
                count => reply.feed(&buffer[..count])?,
            }
        }
        Ok((reply.status(), reply.into_body()))
    }

    /// Calls and expects success with a JSON body.
    pub(crate) fn json(&mut self, method: &str, path: &str, key: &str, body: &Value) -> anyhow::Result<Value> {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let (status, answer) = self.call(method, path, key, &text)?;
        ensure!((200..300).contains(&status), "{method} {path}: {status} {}", String::from_utf8_lossy(&answer));
        Ok(serde_json::from_slice(&answer)?)
    }
}

/// Waits until a chat call through `address` succeeds.
pub(crate) fn wait_until_it_answers(name: &str, address: SocketAddrV4, key: &str, body: &Value) -> anyhow::Result<()> {
    let until = clock::now() + Duration::from_secs(30);
    loop {
        let answer =
            Client::connect(address).and_then(|mut client| client.json("POST", "/v1/chat/completions", key, body));
        match answer {
            Ok(_) => return Ok(()),
            Err(fault) if clock::now() > until => bail!("{name} at {address} does not answer: {fault:#}"),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
