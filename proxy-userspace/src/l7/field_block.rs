//! The end-to-end fields of a head: kept as the lines that came as long as nobody changes them. What is only passed on
//! is copied as it is, and never taken apart.

use std::cell::OnceCell;
use std::ops::{Deref, DerefMut};

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue, VIA};
use smallvec::SmallVec;

use crate::route::Fields;

/// From and to, in a head.
pub type Span = (u32, u32);

/// Parts of a head that hold lines to pass on: what lies between them is for the connection.
pub type Runs = SmallVec<[Span; 3]>;

/// There is a Via.
const HAS_VIA: u8 = 1;
/// There is a Date.
const HAS_DATE: u8 = 2;
/// There is something that only proxies say.
const HAS_WAY: u8 = 4;

/// The end-to-end fields of a head. A map to who reads or changes them.
#[derive(Clone, Default, Debug)]
pub struct FieldBlock {
    /// What holds the lines.
    head: Bytes,
    /// Lines `name: value`, each with its end; names are in lower case, and everything is valid.
    runs: Runs,
    /// What is among them.
    marks: u8,
    /// Stands behind the lines,
    via: Option<&'static str>,
    /// and behind that, these.
    more: Vec<(HeaderName, HeaderValue)>,
    /// Made of the lines when somebody asks for it.
    map: OnceCell<Box<HeaderMap>>,
    /// The map was changed: it counts, and the lines do not.
    changed: bool,
}

/// What is among lines, as they are read.
#[derive(Clone, Copy, Default, Debug)]
pub struct Marks(u8);

impl Marks {
    /// Takes note of a field, whose name is in lower case.
    pub fn see(&mut self, name: &[u8]) {
        self.0 |= match name {
            b"via" => HAS_VIA,
            b"date" => HAS_DATE,
            // More than those that are meant: who asks looks more closely.
            [b'x', b'-' | b'_', b'f' | b'r', ..] => HAS_WAY,
            [b'c', b'l', b'i', ..] | [b'x', b'-' | b'_', b'c', b'l', ..] => HAS_WAY,
            _ if name.starts_with(b"forwarded") => HAS_WAY,
            _ => 0,
        };
    }
}

impl FieldBlock {
    /// Of these lines of a head, each `name: value` with CR LF, names in lower case, all of it valid.
    pub fn of_lines(head: Bytes, runs: Runs, marks: Marks) -> Self {
        Self { head, runs, marks: marks.0, ..Self::default() }
    }

    /// Whether nothing in it says which way the request came. False where that is not known.
    pub fn says_no_way(&self) -> bool {
        !self.changed && self.marks & (HAS_WAY | HAS_VIA) == 0 && self.via.is_none()
    }

    /// Whether there is a Via.
    pub fn has_via(&self) -> bool {
        if self.changed { self.contains_key(VIA) } else { self.marks & HAS_VIA != 0 || self.via.is_some() }
    }

    /// Whether there is a Date.
    pub fn has_date(&self) -> bool {
        if self.changed { self.contains_key(http::header::DATE) } else { self.marks & HAS_DATE != 0 }
    }

    /// Says by which hop it came. False: there is a Via already, or others have changed the fields.
    pub fn say_via(&mut self, via: &'static str) -> bool {
        if self.changed || self.has_via() {
            return false;
        }
        self.map = OnceCell::new();
        self.via = Some(via);
        true
    }

    /// One more field, that is neither Via nor Date.
    pub fn add(&mut self, name: HeaderName, value: HeaderValue) {
        if self.changed {
            self.append(name, value);
        } else {
            self.map = OnceCell::new();
            self.more.push((name, value));
        }
    }

    /// The first value of a field.
    pub fn value(&self, name: &HeaderName) -> Option<HeaderValue> {
        if self.changed {
            return self.get(name).cloned();
        }
        match self.lines().find(|(own, _)| *own == name.as_str().as_bytes()) {
            Some((_, value)) => HeaderValue::from_maybe_shared(self.head.slice_ref(value)).ok(),
            None => self.more.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone()),
        }
    }

    /// Writes the lines. False: there are none, but a map.
    pub fn put_lines(&self, out: &mut BytesMut) -> bool {
        if self.changed {
            return false;
        }
        for &(from, to) in &self.runs {
            out.put_slice(&self.head[from as usize..to as usize]);
        }
        if let Some(via) = self.via {
            out.put_slice(b"via: ");
            out.put_slice(via.as_bytes());
            out.put_slice(b"\r\n");
        }
        for (name, value) in &self.more {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                out.put_slice(part);
            }
        }
        true
    }

    /// All of them by name.
    pub fn into_map(mut self) -> HeaderMap {
        std::mem::take(&mut *self)
    }

    /// Names and values.
    fn lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let runs = self.runs.iter().map(|&(from, to)| &self.head[from as usize..to as usize]);
        runs.flat_map(|run| run.split_inclusive(|&byte| byte == b'\n')).filter_map(|line| {
            let colon = memchr::memchr(b':', line)?;
            Some((&line[..colon], line.get(colon + 2..line.len() - 2)?))
        })
    }

    fn read(&self) -> Box<HeaderMap> {
        let mut map = HeaderMap::new();
        for (name, value) in self.lines() {
            // They are valid: who made this has seen to it.
            let name = HeaderName::from_bytes(name);
            let value = HeaderValue::from_maybe_shared(self.head.slice_ref(value));
            if let (Ok(name), Ok(value)) = (name, value) {
                map.append(name, value);
            }
        }
        if let Some(via) = self.via {
            map.append(VIA, HeaderValue::from_static(via));
        }
        for (name, value) in &self.more {
            map.append(name.clone(), value.clone());
        }
        Box::new(map)
    }
}

impl Deref for FieldBlock {
    type Target = HeaderMap;

    fn deref(&self) -> &HeaderMap {
        self.map.get_or_init(|| self.read())
    }
}

impl DerefMut for FieldBlock {
    fn deref_mut(&mut self) -> &mut HeaderMap {
        let _ = HeaderMap::len(self);
        self.changed = true;
        self.map.get_mut().expect("it was just made")
    }
}

impl PartialEq for FieldBlock {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Fields for FieldBlock {
    fn map(&self) -> &HeaderMap {
        self
    }
}

impl From<HeaderMap> for FieldBlock {
    fn from(map: HeaderMap) -> Self {
        Self { map: OnceCell::from(Box::new(map)), changed: true, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"accept: a\r\nhost: h\r\nvia: 1.0 x\r\nempty: \r\naccept: b\r\n";

    /// All but the host.
    fn block() -> FieldBlock {
        let mut marks = Marks::default();
        marks.see(b"via");
        FieldBlock::of_lines(Bytes::from_static(HEAD), Runs::from_slice(&[(0, 11), (20, 52)]), marks)
    }

    fn written(block: &FieldBlock) -> Option<String> {
        let mut out = BytesMut::new();
        block.put_lines(&mut out).then(|| String::from_utf8(out.to_vec()).unwrap())
    }

    #[test]
    fn lines_are_passed_on_as_they_are_until_somebody_changes_them() {
        let mut block = block();
        let lines = "accept: a\r\nvia: 1.0 x\r\nempty: \r\naccept: b\r\n";
        assert_eq!(written(&block).unwrap(), lines);
        assert_eq!(block.len(), 4);
        assert_eq!(written(&block).unwrap(), lines);
        block.insert("x", HeaderValue::from_static("y"));
        assert_eq!(written(&block), None);
        assert_eq!(block.get_all("accept").iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(
            (&block["empty"], &block["x"]),
            (&HeaderValue::from_static(""), &HeaderValue::from_static("y"))
        );
    }

    #[test]
    fn what_is_asked_often_is_known_without_a_map() {
        let mut block = block();
        assert!(block.has_via() && !block.has_date() && !block.says_no_way());
        assert_eq!(block.value(&VIA).unwrap(), "1.0 x");
        assert_eq!(block.value(&http::header::HOST), None);
        assert!(!block.say_via("1.1 y"));
        assert!(block.map.get().is_none());
        block.remove(VIA);
        assert!(!block.has_via());
    }

    #[test]
    fn a_via_stands_in_lines_and_in_the_map() {
        let mut block =
            FieldBlock::of_lines(Bytes::from_static(HEAD), Runs::from_slice(&[(0, 11)]), Marks::default());
        assert!(block.says_no_way());
        assert_eq!(block.len(), 1);
        assert!(block.say_via("1.1 y"));
        assert!(block.has_via() && !block.says_no_way());
        assert_eq!(written(&block).unwrap(), "accept: a\r\nvia: 1.1 y\r\n");
        assert_eq!(block[VIA], "1.1 y");
    }

    #[test]
    fn fields_are_added_without_a_map() {
        let mut block = block();
        let name = HeaderName::from_static("ratelimit");
        block.add(name.clone(), HeaderValue::from_static("1"));
        assert!(block.map.get().is_none());
        assert!(written(&block).unwrap().ends_with("accept: b\r\nratelimit: 1\r\n"));
        assert_eq!(block.value(&name).unwrap(), "1");
        assert_eq!((block.len(), &block["ratelimit"]), (5, &HeaderValue::from_static("1")));
        block.remove("accept");
        block.add(name.clone(), HeaderValue::from_static("2"));
        assert_eq!(block.get_all(name).iter().collect::<Vec<_>>(), ["1", "2"]);
    }
}
