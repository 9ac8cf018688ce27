//! The host that a client names.

use super::cursor::{Cursor, only_long};

/// `host_name` (RFC 6066 §3).
const HOST_NAME: u8 = 0;
/// What a name in the DNS has at most, as text.
const MOST: usize = 255;

/// The host that a client names (RFC 6066 §3), as it was written.
#[derive(Clone, Copy, Debug)]
pub struct ServerName<'a>(&'a [u8]);

impl<'a> ServerName<'a> {
    /// The bytes, as they were sent: visible ASCII.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The name in lower case. Names are the same in both.
    pub fn lower(self) -> impl ExactSizeIterator<Item = u8> + Clone {
        self.0.iter().map(u8::to_ascii_lowercase)
    }

    /// Whether it is this name.
    pub fn is(self, name: &str) -> bool {
        self.0.eq_ignore_ascii_case(name.as_bytes())
    }

    /// Out of the extension: the first host, if there is one. None: the extension is malformed.
    pub(super) fn read(body: &'a [u8]) -> Option<Option<Self>> {
        let mut list = Cursor(only_long(body)?);
        let mut found = None;
        while !list.is_empty() {
            let kind = list.byte()?;
            let name = list.long()?;
            if kind == HOST_NAME {
                // No more than one name of the same type: readers could choose differently.
                if found.is_some() || name.is_empty() || name.len() > MOST {
                    return None;
                }
                if !name.iter().all(u8::is_ascii_graphic) {
                    return None;
                }
                found = Some(Self(name));
            }
        }
        Some(found)
    }
}
