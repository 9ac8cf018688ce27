//! HPACK (RFC 7541): how HTTP/2 writes fields. Knows no frame and no stream.

/// Field blocks in.
pub mod decode;
/// Field blocks out.
pub mod encode;
/// One field, as the tables hold it.
pub mod entry;
/// Huffman-coded strings (§5.2).
pub mod huffman;
/// Integers (§5.1).
pub mod integer;
/// The static and the dynamic table (§2.3).
pub mod table;
