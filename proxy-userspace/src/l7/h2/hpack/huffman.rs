//! Huffman-coded strings (RFC 7541 §5.2 and Appendix B).
//!
//! The code is canonical: it follows from the lengths alone. Most symbols have a code of at most eight bits, which one
//! look at a table decodes; the others are found by their length.

use super::integer::BadBlock;

/// Bits of each symbol's code (Appendix B). EOS, the 257th, has thirty.
#[rustfmt::skip]
const BITS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

const LONGEST: usize = 30;
static TABLES: Tables = Tables::new();

struct Tables {
    /// By the next eight bits: the symbol and its bits; 0 bits: its code is longer.
    short: [(u8, u8); 256],
    /// Symbols in the order of their codes.
    ordered: [u8; 256],
    /// By bits: the first code that is longer, moved to the top of 32 bits.
    end: [u32; LONGEST + 1],
    /// By bits: the first code, and its place in `ordered`.
    first: [(u32, u16); LONGEST + 1],
}

impl Tables {
    const fn new() -> Self {
        let mut tables = Self {
            short: [(0, 0); 256],
            ordered: [0; 256],
            end: [0; LONGEST + 1],
            first: [(0, 0); LONGEST + 1],
        };
        let (mut code, mut place, mut bits) = (0_u32, 0_usize, 1_usize);
        while bits <= LONGEST {
            tables.first[bits] = (code, place as u16);
            let mut symbol = 0;
            while symbol < 256 {
                if BITS[symbol] as usize == bits {
                    tables.ordered[place] = symbol as u8;
                    if bits <= 8 {
                        let from = (code as usize) << (8 - bits);
                        let mut at = from;
                        while at < from + (1 << (8 - bits)) {
                            tables.short[at] = (symbol as u8, bits as u8);
                            at += 1;
                        }
                    }
                    code += 1;
                    place += 1;
                }
                symbol += 1;
            }
            tables.end[bits] = code << (32 - bits);
            code <<= 1;
            bits += 1;
        }
        tables
    }
}

/// Decodes `from` to the end of `into`.
///
/// # Errors
/// It holds EOS, or does not end in less than eight bits of one (§5.2).
pub fn decode(from: &[u8], into: &mut Vec<u8>) -> Result<(), BadBlock> {
    let mut input = from.iter();
    // The next bits stand at the top.
    let (mut bits, mut count) = (0_u64, 0_u32);
    loop {
        while count <= 56 {
            let Some(&byte) = input.next() else { break };
            bits |= u64::from(byte) << (56 - count);
            count += 8;
        }
        let (symbol, length) = TABLES.short[(bits >> 56) as usize];
        let (symbol, length) =
            if length != 0 && u32::from(length) <= count { (symbol, u32::from(length)) } else { long(bits)? };
        if length > count {
            // What is left is the beginning of EOS, all ones, and shorter than a byte.
            let padding = count < 8 && (bits >> (64 - 8)) as u8 == !(0xff_u8.checked_shr(count).unwrap_or(0));
            return if padding { Ok(()) } else { Err(BadBlock::Huffman) };
        }
        into.push(symbol);
        bits <<= length;
        count -= length;
    }
}

/// A symbol whose code is not in the table of short ones, and its bits: more than there can be, if it is EOS.
fn long(bits: u64) -> Result<(u8, u32), BadBlock> {
    let top = (bits >> 32) as u32;
    for length in 5..=LONGEST {
        if top < TABLES.end[length] {
            let (code, place) = TABLES.first[length];
            let symbol =
                TABLES.ordered[(usize::from(place) + ((top >> (32 - length)) - code) as usize) & 0xff];
            return Ok((symbol, length as u32));
        }
    }
    // EOS itself, or its beginning.
    if bits >> 34 == (1 << 30) - 1 { Err(BadBlock::Huffman) } else { Ok((0, 64)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Codes by symbol, for tests: the proxy sends plain strings.
    fn encode(text: &[u8]) -> Vec<u8> {
        let mut codes = [(0_u64, 0_u32); 256];
        let mut code = 0;
        for bits in 1..=LONGEST {
            for symbol in (0..256).filter(|&symbol| BITS[symbol] as usize == bits) {
                codes[symbol] = (code, bits as u32);
                code += 1;
            }
            code <<= 1;
        }
        let (mut out, mut held, mut count) = (Vec::new(), 0_u64, 0_u32);
        for &byte in text {
            let (code, bits) = codes[byte as usize];
            held = held << bits | code;
            count += bits;
            while count >= 8 {
                count -= 8;
                out.push((held >> count) as u8);
            }
            held &= (1 << count) - 1;
        }
        if count > 0 {
            out.push(((held << (8 - count)) | (0xff >> count)) as u8);
        }
        out
    }

    fn decoded(bytes: &[u8]) -> Result<Vec<u8>, BadBlock> {
        let mut into = Vec::new();
        decode(bytes, &mut into).map(|()| into)
    }

    #[test]
    fn the_examples_of_the_rfc_are_decoded() {
        // RFC 7541 §C.4.1, §C.4.2, §C.6.1.
        let example = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(decoded(&example).unwrap(), b"www.example.com");
        assert_eq!(decoded(&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]).unwrap(), b"no-cache");
        assert_eq!(decoded(&[0x64, 0x02]).unwrap(), b"302");
        assert_eq!(encode(b"www.example.com"), example);
        assert_eq!(decoded(&[]).unwrap(), b"");
    }

    #[test]
    fn eos_and_wrong_padding_are_refused() {
        // §5.2: EOS, whole.
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xff]), Err(BadBlock::Huffman));
        assert_eq!(decoded(&[0x1f, 0xff, 0xff, 0xff, 0xff]), Err(BadBlock::Huffman));
        // Padding of eight bits and more.
        assert_eq!(decoded(&[0xff]), Err(BadBlock::Huffman));
        assert_eq!(decoded(&[0x64, 0x02, 0xff]), Err(BadBlock::Huffman));
        assert_eq!(decoded(&[0xff, 0xff, 0xff]), Err(BadBlock::Huffman));
        // Padding of zeros: `0` (00000) and three zeros; and a single zero bit.
        assert_eq!(decoded(&[0x00]), Err(BadBlock::Huffman));
        assert_eq!(decoded(&[0x07]).unwrap(), b"0");
        assert_eq!(decoded(&[0x06]), Err(BadBlock::Huffman));
        // A code that is cut.
        assert_eq!(decoded(&[0xff, 0xc0]), Err(BadBlock::Huffman));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decoded(&encode(&text)).unwrap(), text);
        }

        #[test]
        fn only_one_code_is_accepted_for_a_text(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(text) = decoded(&bytes) {
                prop_assert_eq!(encode(&text), bytes);
            }
        }
    }
}
