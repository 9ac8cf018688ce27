//! Integers with a prefix (RFC 7541 §5.1).

use bytes::BufMut;

/// Why a field block cannot be read: the connection's table is lost with it (RFC 9113 §4.3, COMPRESSION_ERROR).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadBlock {
    /// It ends within a field.
    #[error("the field block ends within a field")]
    Truncated,
    /// A number that nobody needs.
    #[error("an integer in a field block is too large")]
    Integer,
    /// An entry that the tables do not have.
    #[error("a field block refers to an entry that is not there")]
    Index,
    /// A string that is no Huffman code.
    #[error("a Huffman-coded string is malformed")]
    Huffman,
    /// A change of the table's size within a block, or to more than was allowed.
    #[error("a field block changes the table's size where or as it may not")]
    TableSize,
}

/// Numbers above this are refused: no index, length or table size needs them.
const MOST: u32 = 1 << 24;

/// Reads an integer with a prefix of `bits` at the beginning of `block`, and takes it off.
///
/// # Errors
/// It does not end, or it is larger than anything needs.
pub fn read(block: &mut &[u8], bits: u32) -> Result<usize, BadBlock> {
    let (&first, rest) = block.split_first().ok_or(BadBlock::Truncated)?;
    *block = rest;
    let mask = (1_u32 << bits) - 1;
    let mut value = u32::from(first) & mask;
    if value < mask {
        return Ok(value as usize);
    }
    for shift in [0, 7, 14, 21] {
        let (&byte, rest) = block.split_first().ok_or(BadBlock::Truncated)?;
        *block = rest;
        value += u32::from(byte & 0x7f) << shift;
        if value > MOST {
            return Err(BadBlock::Integer);
        }
        if byte & 0x80 == 0 {
            return Ok(value as usize);
        }
    }
    Err(BadBlock::Integer)
}

/// Writes an integer with a prefix of `bits`; `first` holds what stands before the prefix.
pub fn write(out: &mut impl BufMut, value: usize, bits: u32, first: u8) {
    let mask = (1_usize << bits) - 1;
    if value < mask {
        out.put_u8(first | value as u8);
        return;
    }
    out.put_u8(first | mask as u8);
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_are_read_and_written() {
        // RFC 7541 §C.1.
        for (value, bits, bytes) in [(10, 5, &[0x0a][..]), (1337, 5, &[0x1f, 0x9a, 0x0a]), (42, 8, &[0x2a])] {
            let mut out = Vec::new();
            write(&mut out, value, bits, 0);
            assert_eq!(out, bytes);
            let mut block = bytes;
            assert_eq!(read(&mut block, bits), Ok(value));
            assert!(block.is_empty());
        }
    }

    #[test]
    fn what_does_not_end_and_what_is_too_large_is_refused() {
        assert_eq!(read(&mut &[][..], 5), Err(BadBlock::Truncated));
        assert_eq!(read(&mut &[0x1f][..], 5), Err(BadBlock::Truncated));
        assert_eq!(read(&mut &[0x1f, 0x80, 0x80][..], 5), Err(BadBlock::Truncated));
        assert_eq!(read(&mut &[0x1f, 0xff, 0xff, 0xff, 0xff, 0x0f][..], 5), Err(BadBlock::Integer));
        // Zeros without end are an attack on whoever reads them.
        assert_eq!(read(&mut &[0x1f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00][..], 5), Err(BadBlock::Integer));
    }
}
