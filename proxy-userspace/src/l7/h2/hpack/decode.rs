//! Field blocks in (RFC 7541 §3, §6).

use super::entry::{self, Entry, Name};
use super::huffman;
use super::integer::{self, BadBlock};
use super::table::Table;

/// What a peer may keep in our table: the protocol's default (RFC 9113 §6.5.2), which we do not change.
pub const TABLE_BYTES: usize = 4096;

/// What takes the fields of a block.
pub trait Fields {
    /// One field. `never_index`: whoever sends it on may not put it into a table (RFC 7541 §7.1.3).
    fn field(&mut self, entry: &Entry, never_index: bool);
}

/// Reads the field blocks of one connection, in order, each whole.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { table: Table::new(TABLE_BYTES), name: Vec::new(), value: Vec::new() }
    }
}

impl Decoder {
    /// Reads one block.
    ///
    /// # Errors
    /// It is malformed: the connection cannot go on.
    pub fn decode(&mut self, mut block: &[u8], fields: &mut impl Fields) -> Result<(), BadBlock> {
        let mut begun = false;
        while let Some(&first) = block.first() {
            match first {
                // Indexed (§6.1).
                0x80.. => {
                    let index = integer::read(&mut block, 7)?;
                    fields.field(self.table.get(index).ok_or(BadBlock::Index)?, false);
                }
                // With incremental indexing (§6.2.1).
                0x40.. => {
                    let entry = self.literal(&mut block, 6)?;
                    fields.field(&entry, false);
                    self.table.insert(entry);
                }
                // The table's size: only where a block begins (§4.2).
                0x20.. => {
                    let most = integer::read(&mut block, 5)?;
                    if begun || most > TABLE_BYTES {
                        return Err(BadBlock::TableSize);
                    }
                    self.table.resize(most);
                    continue;
                }
                // Never indexed (§6.2.3), and without indexing (§6.2.2).
                _ => {
                    let entry = self.literal(&mut block, 4)?;
                    fields.field(&entry, first & 0x10 != 0);
                }
            }
            begun = true;
        }
        Ok(())
    }

    /// A literal field, whose name may be an index.
    fn literal(&mut self, block: &mut &[u8], bits: u32) -> Result<Entry, BadBlock> {
        let index = integer::read(block, bits)?;
        let (name, name_bytes) = if index == 0 {
            let name = string(block, &mut self.name)?;
            (Name::read(name), name.len())
        } else {
            let entry = self.table.get(index).ok_or(BadBlock::Index)?;
            (entry.name.clone(), entry.name_bytes)
        };
        let value = string(block, &mut self.value)?;
        Ok(Entry { name, name_bytes, value: entry::value(value), value_bytes: value.len() })
    }
}

/// A string (§5.2), as it stands in the block or decoded into `scratch`.
fn string<'s, 'b: 's>(block: &mut &'b [u8], scratch: &'s mut Vec<u8>) -> Result<&'s [u8], BadBlock> {
    let coded = block.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer::read(block, 7)?;
    let (text, rest) = block.split_at_checked(length).ok_or(BadBlock::Truncated)?;
    *block = rest;
    if !coded {
        return Ok(text);
    }
    scratch.clear();
    huffman::decode(text, scratch)?;
    Ok(scratch)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use http::{HeaderMap, HeaderValue, StatusCode};
    use proptest::prelude::*;

    use super::super::encode::Encoder;
    use super::*;

    #[derive(Default)]
    struct Seen(Vec<(String, Option<String>, bool)>);

    impl Fields for Seen {
        fn field(&mut self, entry: &Entry, never_index: bool) {
            let name = match &entry.name {
                Name::Field(name) => name.to_string(),
                name => format!("{name:?}"),
            };
            let value = entry.value.as_ref().map(|value| value.to_str().unwrap_or("?").to_owned());
            self.0.push((name, value, never_index));
        }
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    fn read(decoder: &mut Decoder, block: &[u8]) -> Result<String, BadBlock> {
        let mut seen = Seen::default();
        decoder.decode(block, &mut seen)?;
        let one = |(name, value, never): &(String, Option<String>, bool)| {
            format!("{name}={}{}", value.as_deref().unwrap_or("!"), if *never { " (never)" } else { "" })
        };
        Ok(seen.0.iter().map(one).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn the_forms_of_a_field_are_read() {
        // RFC 7541 §C.2.1 to §C.2.4.
        let cases = [
            ("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", "custom-key=custom-header"),
            ("040c 2f73 616d 706c 652f 7061 7468", "Path=/sample/path"),
            ("1008 7061 7373 776f 7264 0673 6563 7265 74", "password=secret (never)"),
            ("82", "Method=GET"),
        ];
        for (block, fields) in cases {
            assert_eq!(read(&mut Decoder::default(), &hex(block)).unwrap(), fields);
        }
    }

    #[test]
    fn later_blocks_refer_to_earlier_ones() {
        // RFC 7541 §C.3 (plain), §C.4 (Huffman): the same three requests.
        let plain = [
            "828684410f7777772e6578616d706c652e636f6d",
            "828684be58086e6f2d6361636865",
            "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
        ];
        let coded = [
            "828684418cf1e3c2e5f23a6ba0ab90f4ff",
            "828684be5886a8eb10649cbf",
            "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
        ];
        for blocks in [plain, coded] {
            let mut decoder = Decoder::default();
            let read: Vec<_> = blocks.iter().map(|block| read(&mut decoder, &hex(block)).unwrap()).collect();
            assert_eq!(read[0], "Method=GET Scheme=http Path=/ Authority=www.example.com");
            assert_eq!(
                read[1],
                "Method=GET Scheme=http Path=/ Authority=www.example.com cache-control=no-cache"
            );
            assert_eq!(
                read[2],
                "Method=GET Scheme=https Path=/index.html Authority=www.example.com custom-key=custom-value"
            );
            assert_eq!(decoder.table.get(64).unwrap().name, Name::Authority);
        }
    }

    #[test]
    fn a_small_table_forgets_its_oldest() {
        // RFC 7541 §C.5 with a table of 256 bytes.
        let mut decoder = Decoder::default();
        let blocks = [
            "3fe101 4803333032 580770726976617465 611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54 \
             6e1768747470733a2f2f7777772e6578616d706c652e636f6d",
            "4803333037c1c0bf",
        ].map(|block| block.replace(['\\', '\n'], ""));
        assert_eq!(
            read(&mut decoder, &hex(&blocks[0])).unwrap(),
            "Status=302 cache-control=private date=Mon, 21 Oct 2013 20:13:21 GMT location=https://www.example.com"
        );
        assert!(
            read(&mut decoder, &hex(&blocks[1]))
                .unwrap()
                .starts_with("Status=307 cache-control=private date=")
        );
        // `302` had to go for `307`.
        assert!(decoder.table.get(66).is_none());
    }

    #[test]
    fn what_the_rfc_forbids_is_refused() {
        let cases = [
            ("§2.3.3: index 0", "80", BadBlock::Index),
            ("§2.3.3: beyond both tables", "be", BadBlock::Index),
            ("§2.3.3: a name beyond both tables", "7f00 0161", BadBlock::Index),
            ("§4.2: the size changes after a field", "8220", BadBlock::TableSize),
            ("§6.3: more than allowed", "3fe220", BadBlock::TableSize),
            ("§5.1: too large", "ffffffffffff0f", BadBlock::Integer),
            ("§5.2: a string longer than the block", "4005 6162", BadBlock::Truncated),
            ("a name without a value", "4001 61", BadBlock::Truncated),
            ("§5.2: padding longer than seven bits", "4002 6162 83 6402 ff", BadBlock::Huffman),
            ("§5.2: EOS", "4002 6162 84 ffff ffff", BadBlock::Huffman),
        ];
        for (what, block, error) in cases {
            assert_eq!(read(&mut Decoder::default(), &hex(block)), Err(error), "{what}");
        }
        // Two changes at the beginning are right: to the smallest, then to the last (§4.2).
        assert_eq!(read(&mut Decoder::default(), &hex("203fe11f82")).unwrap(), "Method=GET");
    }

    #[test]
    fn malformed_fields_keep_the_tables_in_step() {
        // `X: 1` with upper case, then `a: \r`; both are indexed, and the next block refers to them.
        let mut decoder = Decoder::default();
        assert_eq!(read(&mut decoder, &hex("40015801 31 40016101 0d")).unwrap(), "Malformed=1 a=!");
        assert_eq!(read(&mut decoder, &hex("bebf 7e0162")).unwrap(), "a=! Malformed=1 a=b");
    }

    #[test]
    fn what_is_sent_is_read_and_begins_with_the_size_when_it_shrank() {
        let mut fields = HeaderMap::new();
        fields.insert("content-type", HeaderValue::from_static("text/plain"));
        fields.append("x-a", HeaderValue::from_static("1"));
        let mut secret = HeaderValue::from_static("s");
        secret.set_sensitive(true);
        fields.append("set-cookie", secret);
        let (mut encoder, mut out) = (Encoder::default(), BytesMut::new());
        encoder.head(StatusCode::OK, Some(1204), &fields, &mut out);
        let expected = "Status=200 content-length=1204 content-type=text/plain x-a=1 set-cookie=s (never)";
        assert_eq!(read(&mut Decoder::default(), &out).unwrap(), expected);
        // The smallest of several changes is what must be told (§4.2).
        encoder.allow(0);
        encoder.allow(100);
        for first in [0x20, 0x08] {
            out.clear();
            encoder.head(StatusCode::BAD_GATEWAY, None, &HeaderMap::new(), &mut out);
            assert_eq!(out[0], first);
            assert_eq!(read(&mut Decoder::default(), &out).unwrap(), "Status=502");
        }
    }

    proptest! {
        #[test]
        fn no_block_is_too_much(blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 1..8)) {
            let mut decoder = Decoder::default();
            for block in blocks {
                let _ = read(&mut decoder, &block);
            }
        }
    }
}
