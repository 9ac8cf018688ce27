//! The one form of a request's path that everything compares and sends on.

use std::fmt;

use bytes::Bytes;

/// Path and query of a request. The path is canonical: matched, rewritten and sent on in this form only.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestTarget {
    /// The path, then `?` and the query if there is one. ASCII.
    text: Bytes,
    /// Length of the path.
    path: usize,
}

/// Why a target is refused: the answer is 400.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadTarget {
    /// It does not begin with `/`.
    #[error("the path does not begin with a slash")]
    NoSlash,
}

impl RequestTarget {
    /// Makes a path and query canonical; keeps the bytes if they are already.
    ///
    /// # Errors
    /// It is no path.
    pub fn parse(text: Bytes) -> Result<Self, BadTarget> {
        if text.first() != Some(&b'/') {
            return Err(BadTarget::NoSlash);
        }
        let path = text.iter().position(|&byte| byte == b'?').unwrap_or(text.len());
        Ok(Self { text, path })
    }

    /// The canonical path. Begins with `/`, or is `*`.
    pub fn path(&self) -> &str {
        std::str::from_utf8(&self.text[..self.path]).unwrap_or("/")
    }

    /// The query, without `?`.
    pub fn query(&self) -> Option<&str> {
        std::str::from_utf8(self.text.get(self.path + 1..)?).ok()
    }

    /// Path and query.
    pub fn as_bytes(&self) -> &Bytes {
        &self.text
    }
}

impl fmt::Debug for RequestTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.text).fmt(f)
    }
}
