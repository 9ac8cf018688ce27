//! What the kernel part, opened, says of ClientHellos.

use std::net::SocketAddr;
use std::time::Duration;

use proxy_common::sni::Note;

use super::kernel::Kernel;
use super::maps::MapError;
use super::names::NameStatus;
use super::onlooker::{HelloSeen, Onlooker};

impl Kernel {
    /// How often each name was asked for.
    pub fn names(&self) -> Result<Vec<NameStatus>, MapError> {
        self.lock().names.status()
    }

    /// Is told of ClientHellos that ask for `name`, or of all, for so long.
    pub fn look_on(&self, name: Option<&str>, lasts: Duration) -> Result<(), MapError> {
        let state = &mut *self.lock();
        if state.onlooker.is_none() {
            state.onlooker = Some(Onlooker::open(&self.pins)?);
        }
        match &state.onlooker {
            Some(onlooker) => onlooker.look(name, lasts, &self.clock),
            None => Ok(()),
        }
    }

    /// Is told nothing more.
    pub fn look_away(&self) -> Result<(), MapError> {
        self.lock().onlooker.as_ref().map_or(Ok(()), Onlooker::look_away)
    }

    /// What was told since the last call, at most so much.
    pub fn hellos_seen(&self, most: usize) -> Vec<HelloSeen> {
        let state = &mut *self.lock();
        let mut seen = state.onlooker.as_mut().map_or_else(Vec::new, |onlooker| onlooker.seen(most));
        for hello in &mut seen {
            hello.route = state.names.route(hello.entry);
        }
        seen
    }

    /// The names of listeners, by their numbers.
    pub fn listener_name(&self, number: u16) -> Option<String> {
        self.lock().present.names.get(&number).cloned()
    }

    /// The note that the kernel programs left of a client's connection to a listener, while somebody looks on.
    pub fn hello_note(&self, listener: &str, client: SocketAddr) -> Result<Option<Note>, MapError> {
        let state = self.lock();
        let Some(onlooker) = &state.onlooker else { return Ok(None) };
        let ids = state.present.names.iter().filter(|(_, name)| name.as_str() == listener);
        for (id, _) in ids {
            if let Some(note) = onlooker.note(*id, client)? {
                return Ok(Some(note));
            }
        }
        Ok(None)
    }
}
