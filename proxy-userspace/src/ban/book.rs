//! The book: what is banned, by whom, and until when. One writer at a time.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proxy_common::ban::{By, FOR_EVER, Note, NoteKey, TABLES, moment, source, table};
use proxy_common::limits::BAN_NOTES;
use rustix::time::{ClockId, clock_gettime};

use super::place::Place;
use super::table::{Builder, Built, Content, List, Wanted, all, enter, look, moment_of, take_out};
use super::view::{Tables, View};

/// Why nothing was banned, or no longer is.
#[derive(Debug, thiserror::Error)]
pub enum BanError {
    /// There are as many as there may be.
    #[error("there are {BAN_NOTES} bans already, and no more fit: put them into a list of [ban]")]
    Full,
    /// It is not the book's to remove.
    #[error("{prefix} is kept out by {by}: take it out there, or allow it ([ban] allow)")]
    NotHere {
        /// What was to be removed.
        prefix: IpNet,
        /// Who wants it.
        by: String,
    },
    /// The tables say no.
    #[error("the tables of bans cannot be changed: {0}")]
    Place(#[from] io::Error),
}

/// What became of a removal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Removed {
    /// It was banned.
    Yes,
    /// It was not.
    WasNot,
}

/// A ban, as it is shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Who is kept out.
    pub prefix: IpNet,
    /// For how much longer; none: for ever.
    pub left: Option<Duration>,
    /// Packets and connections that met it.
    pub hits: u32,
    /// Who wants it: `operator`, `auto`, `config`, or the list's name.
    pub by: String,
    /// Why.
    pub why: String,
    /// The operator's user.
    pub uid: Option<u32>,
    /// Since when, in seconds since 1970.
    pub since: Option<u64>,
}

/// The book.
#[derive(Debug)]
pub struct Book {
    place: Arc<dyn Place>,
    view: Arc<View>,
    tables: Tables,
    notes: HashMap<IpNet, Note>,
    content: Arc<Content>,
}

impl Book {
    /// Takes over what is there: bans of before go on.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(place: Arc<dyn Place>, view: Arc<View>) -> io::Result<Self> {
        let mut tables = Tables::default();
        for number in 0..TABLES {
            tables[number as usize] = place.present(number)?;
        }
        let notes = place.notes()?.into_iter().filter_map(|(key, note)| Some((net(&key)?, note))).collect();
        let mut book = Self { place, view, tables, notes, content: Arc::default() };
        book.recover()?;
        book.view.put(&book.tables);
        book.tick()?;
        Ok(book)
    }

    /// What lists and the configuration of before have left in the tables.
    fn recover(&mut self) -> io::Result<()> {
        let names = self.place.list_names()?;
        let mut content = Content::default();
        let mut lists: Vec<List> =
            names.into_iter().map(|name| List { name, prefixes: Vec::new() }).collect();
        for (number, memory) in (0..).zip(&self.tables) {
            let Some(memory) = memory else { continue };
            all(number, &**memory, 0, |prefix, _, _, by| match by {
                source::NOTED => {}
                source::DENY => content.deny.push(prefix),
                source::ALLOW => content.allow.push(prefix),
                source::NEEDED => content.needed.push(prefix),
                list => {
                    if let Some(list) = lists.get_mut(usize::from(list.saturating_sub(source::LISTS))) {
                        list.prefixes.push(prefix);
                    }
                }
            });
        }
        content.lists = lists.into_iter().map(Arc::new).collect();
        self.content = Arc::new(content);
        Ok(())
    }

    /// What the tables were made from.
    pub fn content(&self) -> &Arc<Content> {
        &self.content
    }

    /// What makes tables of this.
    pub fn builder(&self, content: Arc<Content>) -> Builder {
        let (place, notes, old) = (self.place.clone(), self.notes.clone(), self.tables.clone());
        Builder { place, content, notes, old, seed: fastrand::u32(..) }
    }

    /// Puts tables in force that were made aside, with what was banned and unbanned meanwhile.
    ///
    /// # Errors
    /// The kernel refuses one; the others may be in force by then.
    pub fn put(&mut self, built: Built) -> io::Result<()> {
        let Built { tables, content, notes } = built;
        let names: Vec<String> = content.lists.iter().map(|list| list.name.clone()).collect();
        self.place.put_list_names(&names)?;
        self.content = content;
        let mut again = [false; TABLES as usize];
        for (prefix, note) in &self.notes {
            if notes.get(prefix) != Some(note) {
                let number = number(prefix);
                again[number] |= !self.enter_note(tables[number].as_deref(), prefix, note);
            }
        }
        for prefix in notes.keys().filter(|prefix| !self.notes.contains_key(*prefix)) {
            if let Some(memory) = &tables[number(prefix)]
                && look(&**memory, prefix).is_some_and(|(_, _, by)| by == source::NOTED)
            {
                take_out(&**memory, prefix);
            }
        }
        for (number, memory) in (0..).zip(tables) {
            self.place.put(number, memory.as_ref())?;
            self.tables[number as usize] = memory;
        }
        self.view.put(&self.tables);
        (0..TABLES).filter(|number| again[*number as usize]).try_for_each(|number| self.rebuild(number))
    }

    /// Makes tables of this, and puts them in force.
    ///
    /// # Errors
    /// There is no memory, or the kernel refuses them.
    pub fn replace(&mut self, content: Content) -> io::Result<()> {
        let built = self.builder(Arc::new(content)).build()?;
        self.put(built)
    }

    /// Makes one table anew.
    fn rebuild(&mut self, number: u32) -> io::Result<()> {
        let memory = self.builder(self.content.clone()).table(number)?;
        self.place.put(number, memory.as_ref())?;
        self.tables[number as usize] = memory;
        self.view.put(&self.tables);
        Ok(())
    }

    /// Whether the table holds the note now, or what is stronger.
    fn enter_note(&self, memory: Option<&dyn super::Memory>, prefix: &IpNet, note: &Note) -> bool {
        let Some(memory) = memory else { return false };
        match look(memory, prefix) {
            // A list, or the configuration: it is for ever.
            Some((FOR_EVER, _, by)) if by != source::NOTED => true,
            _ => {
                let until = moment_of(note.until);
                enter(memory, &Wanted { prefix: *prefix, until, source: source::NOTED })
            }
        }
    }

    /// Bans a prefix for a time, or (`None`) for ever; or bans it for another time. By whom: an operator's user, or a
    /// rule.
    ///
    /// # Errors
    /// There is no room.
    pub fn add(
        &mut self,
        prefix: IpNet,
        time: Option<Duration>,
        by: By,
        uid: u32,
        why: &str,
    ) -> Result<(), BanError> {
        let prefix = prefix.trunc();
        if self.notes.len() >= BAN_NOTES as usize && !self.notes.contains_key(&prefix) {
            self.tick()?;
            if self.notes.len() >= BAN_NOTES as usize {
                return Err(BanError::Full);
            }
        }
        let until = match time {
            None => Note::FOR_EVER,
            Some(time) => {
                let ticks = time.as_millis() * u128::from(self.place.hz()) / 1000;
                let ticks = u64::try_from(ticks).unwrap_or(u64::MAX / 2).max(1);
                self.place.ticks()?.saturating_add(ticks).min(Note::FOR_EVER - 1)
            }
        };
        let note = Note { until, since: now(), uid, by: by as u8, pad: [0; 3], why: padded(why) };
        self.place.put_note(&key(&prefix), &note)?;
        self.notes.insert(prefix, note);
        let number = number(&prefix);
        if !self.enter_note(self.tables[number].as_deref(), &prefix, &note) {
            self.rebuild(number as u32)?;
        }
        Ok(())
    }

    /// Ends a ban.
    ///
    /// # Errors
    /// A list or the configuration wants it.
    pub fn remove(&mut self, prefix: IpNet) -> Result<Removed, BanError> {
        let prefix = prefix.trunc();
        let noted = self.notes.remove(&prefix).is_some();
        if noted {
            self.place.remove_note(&key(&prefix))?;
        }
        let Some(memory) = &self.tables[number(&prefix)] else { return Ok(Removed::WasNot) };
        match look(&**memory, &prefix) {
            Some((_, _, source::NOTED)) => take_out(&**memory, &prefix),
            Some((_, _, by)) => return Err(BanError::NotHere { prefix, by: self.name_of(by) }),
            None => {}
        }
        Ok(if noted { Removed::Yes } else { Removed::WasNot })
    }

    /// The bans of operators and rules; with `all` those of lists and the configuration, too.
    ///
    /// # Errors
    /// The clock cannot be read.
    pub fn rows(&self, all_of_them: bool) -> io::Result<Vec<Row>> {
        let now = self.place.ticks()?;
        let mut rows: Vec<Row> =
            self.notes.iter().filter_map(|(prefix, note)| self.row(prefix, note, now)).collect();
        if all_of_them {
            for number in [table(2, false), table(10, false)] {
                let Some(memory) = &self.tables[number as usize] else { continue };
                all(number, &**memory, moment(now), |prefix, _, hits, by| {
                    if by != source::NOTED {
                        let by = self.name_of(by);
                        let (why, uid, since) = (String::new(), None, None);
                        rows.push(Row { prefix, left: None, hits, by, why, uid, since });
                    }
                });
            }
        }
        rows.sort_by_key(|row| row.prefix);
        Ok(rows)
    }

    fn row(&self, prefix: &IpNet, note: &Note, now: u64) -> Option<Row> {
        let left = (note.until != Note::FOR_EVER).then(|| note.until.saturating_sub(now));
        if left == Some(0) {
            return None;
        }
        let memory = self.tables[number(prefix)].as_ref();
        let hits = memory.and_then(|memory| look(&**memory, prefix)).map_or(0, |(_, hits, _)| hits);
        let operator = note.by == By::Operator as u8;
        Some(Row {
            prefix: *prefix,
            left: left.map(|ticks| Duration::from_millis(ticks * 1000 / u64::from(self.place.hz()))),
            hits,
            by: if operator { "operator" } else { "auto" }.to_owned(),
            why: text(&note.why),
            uid: operator.then_some(note.uid),
            since: Some(note.since),
        })
    }

    fn name_of(&self, by: u16) -> String {
        match by {
            source::NOTED => "operator".to_owned(),
            source::DENY => "config".to_owned(),
            source::ALLOW | source::NEEDED => "an allow-list".to_owned(),
            list => self
                .content
                .lists
                .get(usize::from(list.saturating_sub(source::LISTS)))
                .map_or_else(|| "a list".to_owned(), |list| list.name.clone()),
        }
    }

    /// What is never kept out and covers all of this.
    pub fn allowed(&self, prefix: &IpNet) -> Option<IpNet> {
        let Content { allow, needed, .. } = &*self.content;
        allow.iter().chain(needed).find(|allow| allow.contains(prefix)).copied()
    }

    /// How many bans there are of operators and rules, and how many prefixes of lists and the configuration.
    pub fn counts(&self) -> (usize, usize) {
        let lists: usize = self.content.lists.iter().map(|list| list.prefixes.len()).sum();
        (self.notes.len(), lists + self.content.deny.len())
    }

    /// Tells workers what time it is, and forgets what has ended. To be called a few times a second.
    ///
    /// # Errors
    /// The clock cannot be read.
    pub fn tick(&mut self) -> io::Result<()> {
        let now = self.place.ticks()?;
        self.view.set_moment(moment(now));
        let ended: Vec<IpNet> =
            self.notes.iter().filter(|(_, note)| note.until <= now).map(|(prefix, _)| *prefix).collect();
        for prefix in ended {
            self.notes.remove(&prefix);
            self.place.remove_note(&key(&prefix))?;
        }
        Ok(())
    }
}

/// The table of a ban.
fn number(prefix: &IpNet) -> usize {
    table(if matches!(prefix, IpNet::V4(_)) { 2 } else { 10 }, false) as usize
}

fn key(prefix: &IpNet) -> NoteKey {
    let (address, length) = match prefix {
        IpNet::V4(net) => (net.network().to_ipv6_mapped(), net.prefix_len() + 96),
        IpNet::V6(net) => (net.network(), net.prefix_len()),
    };
    NoteKey { address: address.octets(), length, pad: [0; 7] }
}

fn net(key: &NoteKey) -> Option<IpNet> {
    let address = std::net::Ipv6Addr::from(key.address);
    match address.to_ipv4_mapped() {
        Some(v4) if key.length >= 96 => Ipv4Net::new(v4, key.length - 96).ok().map(IpNet::V4),
        _ => Ipv6Net::new(address, key.length).ok().map(IpNet::V6),
    }
}

/// A text, cut at a character's end.
fn padded(text: &str) -> [u8; 104] {
    let mut bytes = [0; 104];
    let end = (0..=text.len().min(bytes.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    bytes[..end].copy_from_slice(&text.as_bytes()[..end]);
    bytes
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn now() -> u64 {
    u64::try_from(clock_gettime(ClockId::Realtime).tv_sec).unwrap_or(0)
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
