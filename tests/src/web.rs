//! Configurations with HTTP listeners, and curl.

use std::net::SocketAddr;

use anyhow::{Context, Result};

use crate::netns::Namespace;
use crate::program;
use crate::world::World;

/// A configuration: the admin socket of the world, and these lines.
#[must_use]
pub fn text(world: &World, lines: &str) -> String {
    format!("[admin]\nsocket = {:?}\n\n{lines}", world.folder().join("admin.sock"))
}

/// A listener `web` at `bind` whose requests all go to one pool of these backends.
#[must_use]
pub fn simple(world: &World, bind: SocketAddr, backends: &[SocketAddr]) -> String {
    let backends: Vec<String> = backends.iter().map(SocketAddr::to_string).collect();
    text(
        world,
        &format!(
            "[listener.web]\nbind = [\"{bind}\"]\nprotocol = \"http\"\n\n\
             [[route]]\nlistener = \"web\"\npool = \"app\"\n\n[pool.app]\nbackends = {backends:?}\n"
        ),
    )
}

/// An answer, as curl saw it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Heads, all of them: those of 1xx too.
    pub heads: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of the last field of that name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.heads.lines().rev();
        lines.find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Asks by curl, with these words (options and a URL).
///
/// # Errors
/// When curl fails.
pub fn curl(namespace: &Namespace, words: &[&str]) -> Result<Answer> {
    let mut command =
        program::command(&["curl", "--silent", "--show-error", "--max-time", "30", "--include"]);
    command.args(words);
    let output = program::run(namespace, &mut command)?;
    let (heads, body) = split(&output.stdout);
    anyhow::ensure!(
        output.status.success(),
        "curl {} ({}): {}{heads}",
        words.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let last = heads.rsplit("HTTP/").next().unwrap_or_default();
    let status = last.split(' ').nth(1).and_then(|word| word.trim().parse().ok());
    Ok(Answer { status: status.with_context(|| format!("no status in {heads:?}"))?, heads, body })
}

/// Heads and body: a body begins after the first head that is not followed by another.
fn split(bytes: &[u8]) -> (String, Vec<u8>) {
    let mut at = 0;
    while bytes[at..].starts_with(b"HTTP/") {
        let Some(end) = bytes[at..].windows(4).position(|four| four == b"\r\n\r\n") else { break };
        at += end + 4;
        // Only 1xx answers have another head behind them.
        let head = String::from_utf8_lossy(&bytes[..at]);
        let last = head.rsplit("HTTP/").next().unwrap_or_default();
        if last.split(' ').nth(1).is_none_or(|status| !status.starts_with('1')) {
            break;
        }
    }
    (String::from_utf8_lossy(&bytes[..at]).into_owned(), bytes[at..].to_vec())
}
