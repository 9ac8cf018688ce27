//! HTTP/1, as far as both sides of the proxy and its clients need it.

use std::io::{self, BufRead};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// A request or an answer.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// The request line or the status line.
    pub(super) first: String,
    /// Fields, as they came.
    pub(super) fields: Vec<(String, String)>,
    /// The body.
    pub(super) body: Vec<u8>,
}

impl Message {
    /// An answer of our own.
    pub(super) fn answer(status: u16, fields: &[(&str, &str)], body: &str) -> Self {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self {
            first: format!("HTTP/1.1 {status} Said"),
            fields: fields.collect(),
            body: body.as_bytes().to_vec(),
        }
    }

    /// Reads a request, or nothing where the client has gone.
    pub(super) fn read_request(reader: &mut impl BufRead) -> Result<Option<Self>> {
        let Some(mut message) = Self::read_head(reader)? else { return Ok(None) };
        let length = message.field("content-length").map_or(Ok(0), str::parse)?;
        message.body = vec![0; length];
        reader.read_exact(&mut message.body)?;
        Ok(Some(message))
    }

    /// Reads an answer that ends with the connection.
    pub(super) fn read_answer(reader: &mut impl BufRead) -> Result<Self> {
        let mut message = Self::read_head(reader)?.context("closed without an answer")?;
        if let Err(why) = reader.read_to_end(&mut message.body)
            // Not everybody says goodbye before they close.
            && why.kind() != io::ErrorKind::UnexpectedEof
        {
            return Err(why.into());
        }
        Ok(message)
    }

    fn read_head(reader: &mut impl BufRead) -> Result<Option<Self>> {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(None);
        }
        let mut message = Self { first: first.trim_end().to_owned(), fields: Vec::new(), body: Vec::new() };
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                bail!("half a head: {}", message.first);
            }
            let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(Some(message)) };
            message.fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    /// The value of a field.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The status of an answer.
    pub(super) fn status(&self) -> u16 {
        self.first.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
    }

    /// The path of a request.
    pub(super) fn path(&self) -> &str {
        self.first.split(' ').nth(1).unwrap_or_default()
    }

    /// The body as JSON.
    pub(super) fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("{}: {}", self.first, String::from_utf8_lossy(&self.body)))
    }

    /// With another body.
    pub(super) fn set_json(&mut self, value: &Value) {
        self.body = value.to_string().into_bytes();
    }

    /// All of it, with `Content-Length`. `first`: another first line.
    pub(super) fn bytes(&self, first: &str) -> Vec<u8> {
        let mut text = format!("{first}\r\n");
        let ours = ["content-length", "transfer-encoding", "connection"];
        for (name, value) in &self.fields {
            if !ours.iter().any(|known| name.eq_ignore_ascii_case(known)) {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n", self.body.len()));
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}
