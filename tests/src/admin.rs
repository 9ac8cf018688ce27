//! The admin socket, asked without a process: what starting the command line takes is no part of what is measured.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use anyhow::{Result, ensure};

use crate::wait::SOON;
use crate::world::World;

/// A connection to the admin socket of a world's daemon, which stays.
#[derive(Debug)]
pub struct Admin(UnixStream);

impl Admin {
    /// Connects.
    ///
    /// # Errors
    /// When there is no daemon.
    pub fn connect(world: &World) -> Result<Self> {
        let socket = UnixStream::connect(world.folder().join("admin.sock"))?;
        socket.set_read_timeout(Some(SOON))?;
        Ok(Self(socket))
    }

    /// Asks for something to be done, in JSON: what the daemon says of it.
    ///
    /// # Errors
    /// When it says that it does not, or nothing.
    pub fn post(&mut self, path: &str, body: &str) -> Result<String> {
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
        self.0.write_all(format!("{head}{body}").as_bytes())?;
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let count = self.0.read(&mut buffer)?;
            ensure!(count > 0, "the daemon closed: {}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&buffer[..count]);
            let text = String::from_utf8_lossy(&answer).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if length.is_some_and(|length: usize| body.len() >= length) {
                ensure!(head.starts_with("HTTP/1.1 200"), "{text}");
                return Ok(body.to_owned());
            }
        }
    }
}
