//! Captured packets: pcap (draft-ietf-opsawg-pcap) and pcapng (draft-ietf-opsawg-pcapng), read piece by piece. What a file
//! says of lengths is believed up to a bound.

use std::io::{self, Read};

/// More than any frame, and any block that holds one.
const MOST_BYTES: usize = 1 << 20;
/// Interfaces of a section.
const MOST_INTERFACES: usize = 4096;

/// pcap's magic numbers: microseconds, nanoseconds.
const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
/// pcapng's blocks.
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const ENHANCED: u32 = 6;
/// The section's byte order.
const ORDER: u32 = 0x1a2b_3c4d;
/// The option that says how long a tick of an interface is, and the end of options.
const RESOLUTION: u16 = 9;
const END: u16 = 0;

/// Why a file cannot be read further.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum BadCapture {
    #[error("this is neither pcap nor pcapng")]
    Unknown,
    #[error("it is broken after {0} packets")]
    Broken(u64),
    #[error(transparent)]
    System(#[from] io::Error),
}

/// A packet.
#[derive(Debug)]
pub(in crate::cli) struct Captured {
    /// In nanoseconds, of the capture's own clock.
    pub(in crate::cli) time: u64,
    /// Bytes that it had on the wire.
    pub(in crate::cli) length: u32,
    /// What its first bytes are: <https://www.tcpdump.org/linktypes.html>.
    pub(in crate::cli) link: u32,
    /// Its first bytes.
    pub(in crate::cli) bytes: Vec<u8>,
}

/// A capture.
#[derive(Debug)]
pub(in crate::cli) struct Capture<R> {
    from: R,
    big: bool,
    packets: u64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Pcap {
        link: u32,
        tick: u64,
    },
    /// Link type and ticks a second of each interface.
    Ng {
        interfaces: Vec<(u32, u64)>,
    },
}

impl<R: Read> Capture<R> {
    /// Reads the head.
    pub(in crate::cli) fn open(mut from: R) -> Result<Self, BadCapture> {
        let mut magic = [0; 4];
        from.read_exact(&mut magic).map_err(|_| BadCapture::Unknown)?;
        if u32::from_be_bytes(magic) == SECTION {
            let mut capture =
                Self { from, big: false, packets: 0, kind: Kind::Ng { interfaces: Vec::new() } };
            capture.section()?;
            return Ok(capture);
        }
        let known = |number| match number {
            MICROSECONDS => Some(1000),
            NANOSECONDS => Some(1),
            _ => None,
        };
        let (little, big) = (known(u32::from_le_bytes(magic)), known(u32::from_be_bytes(magic)));
        let tick = little.or(big).ok_or(BadCapture::Unknown)?;
        let mut rest = [0; 20];
        from.read_exact(&mut rest).map_err(|_| BadCapture::Unknown)?;
        let mut capture = Self { from, big: big.is_some(), packets: 0, kind: Kind::Pcap { link: 0, tick } };
        // The upper bits say how long checksums are.
        let link = capture.u32(&rest[16..]) & 0x0fff_ffff;
        capture.kind = Kind::Pcap { link, tick };
        Ok(capture)
    }

    /// The next packet; none: it is over.
    pub(in crate::cli) fn next(&mut self) -> Result<Option<Captured>, BadCapture> {
        let next = match self.kind {
            Kind::Pcap { link, tick } => self.next_of_pcap(link, tick),
            Kind::Ng { .. } => self.next_of_ng(),
        }?;
        self.packets += u64::from(next.is_some());
        Ok(next)
    }

    fn next_of_pcap(&mut self, link: u32, tick: u64) -> Result<Option<Captured>, BadCapture> {
        let mut head = [0; 16];
        if !self.fill(&mut head)? {
            return Ok(None);
        }
        let (seconds, part) = (u64::from(self.u32(&head)), u64::from(self.u32(&head[4..])));
        let (there, length) = (self.u32(&head[8..]) as usize, self.u32(&head[12..]));
        let bytes = self.take(there)?;
        Ok(Some(Captured { time: seconds * 1_000_000_000 + part * tick, length, link, bytes }))
    }

    fn next_of_ng(&mut self) -> Result<Option<Captured>, BadCapture> {
        loop {
            let mut kind = [0; 4];
            if !self.fill(&mut kind)? {
                return Ok(None);
            }
            let kind = self.u32(&kind);
            if kind == SECTION {
                self.section()?;
                continue;
            }
            let length = self.number()? as usize;
            let body = self.take(length.checked_sub(12).ok_or(BadCapture::Broken(self.packets))?)?;
            self.number()?;
            let found = match kind {
                INTERFACE => self.interface(&body).map(|()| None),
                ENHANCED => self.enhanced(&body),
                // A simple packet has no time: nothing can be said of it.
                _ => Some(None),
            };
            if let Some(packet) = found.ok_or(BadCapture::Broken(self.packets))? {
                return Ok(Some(packet));
            }
        }
    }

    /// A section begins, behind its first four bytes.
    fn section(&mut self) -> Result<(), BadCapture> {
        let mut head = [0; 8];
        self.from.read_exact(&mut head).map_err(|_| BadCapture::Broken(self.packets))?;
        self.big = match (u32::from_le_bytes(word(&head[4..])), u32::from_be_bytes(word(&head[4..]))) {
            (ORDER, _) => false,
            (_, ORDER) => true,
            _ => return Err(BadCapture::Broken(self.packets)),
        };
        let length = self.u32(&head) as usize;
        self.take(length.checked_sub(12).ok_or(BadCapture::Broken(self.packets))?)?;
        self.kind = Kind::Ng { interfaces: Vec::new() };
        Ok(())
    }

    fn interface(&mut self, body: &[u8]) -> Option<()> {
        let link = u32::from(self.u16(body.get(..2)?));
        let mut options = body.get(8..)?;
        let mut ticks = 1_000_000;
        while let (Some(code), Some(length)) = (options.get(..2), options.get(2..4)) {
            let (code, length) = (self.u16(code), usize::from(self.u16(length)));
            if code == END {
                break;
            }
            let value = options.get(4..4 + length)?;
            if let (RESOLUTION, Some(byte)) = (code, value.first()) {
                let power = u32::from(byte & 0x7f);
                ticks = if byte & 0x80 == 0 { 10u64.checked_pow(power)? } else { 1u64.checked_shl(power)? };
            }
            options = options.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
        }
        let Kind::Ng { interfaces } = &mut self.kind else { return None };
        (interfaces.len() < MOST_INTERFACES).then(|| interfaces.push((link, ticks.max(1))))
    }

    fn enhanced(&self, body: &[u8]) -> Option<Option<Captured>> {
        let number = |at: usize| Some(self.u32(body.get(at..at + 4)?));
        let Kind::Ng { interfaces } = &self.kind else { return None };
        let (link, ticks) = *interfaces.get(number(0)? as usize)?;
        let time = u64::from(number(4)?) << 32 | u64::from(number(8)?);
        let time = u64::try_from(u128::from(time) * 1_000_000_000 / u128::from(ticks)).ok()?;
        let (there, length) = (number(12)? as usize, number(16)?);
        let bytes = body.get(20..)?.get(..there)?.to_vec();
        Some(Some(Captured { time, length, link, bytes }))
    }

    /// False: it is over.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<bool, BadCapture> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.from.read(&mut buffer[filled..])? {
                0 if filled == 0 => return Ok(false),
                0 => return Err(BadCapture::Broken(self.packets)),
                count => filled += count,
            }
        }
        Ok(true)
    }

    fn take(&mut self, count: usize) -> Result<Vec<u8>, BadCapture> {
        if count > MOST_BYTES {
            return Err(BadCapture::Broken(self.packets));
        }
        let mut bytes = vec![0; count];
        if count > 0 && !self.fill(&mut bytes)? {
            return Err(BadCapture::Broken(self.packets));
        }
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u32, BadCapture> {
        let bytes = self.take(4)?;
        Ok(self.u32(&bytes))
    }

    fn u32(&self, bytes: &[u8]) -> u32 {
        if self.big { u32::from_be_bytes(word(bytes)) } else { u32::from_le_bytes(word(bytes)) }
    }

    fn u16(&self, bytes: &[u8]) -> u16 {
        let bytes = [bytes[0], bytes[1]];
        if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }
}

fn word(bytes: &[u8]) -> [u8; 4] {
    [bytes[0], bytes[1], bytes[2], bytes[3]]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A pcap of these packets, in microseconds.
    pub(crate) fn pcap(link: u32, packets: &[(u64, Vec<u8>)]) -> Vec<u8> {
        let mut file = MICROSECONDS.to_le_bytes().to_vec();
        file.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0]);
        file.extend(link.to_le_bytes());
        for (time, bytes) in packets {
            let (seconds, part) = (time / 1_000_000, time % 1_000_000);
            for number in [seconds as u32, part as u32, bytes.len() as u32, bytes.len() as u32] {
                file.extend(number.to_le_bytes());
            }
            file.extend(bytes);
        }
        file
    }

    fn times(file: &[u8]) -> Vec<(u64, usize)> {
        let mut capture = Capture::open(file).unwrap();
        std::iter::from_fn(|| capture.next().unwrap())
            .map(|packet| (packet.time, packet.bytes.len()))
            .collect()
    }

    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let length = (body.len() + 12) as u32;
        let ends = length.to_be_bytes();
        [&kind.to_be_bytes()[..], &ends, body, &ends].concat()
    }

    #[test]
    fn packets_are_read_with_their_times() {
        let file = pcap(1, &[(1_000_001, vec![1; 60]), (2_500_000, vec![2; 3])]);
        assert_eq!(times(&file), [(1_000_001_000, 60), (2_500_000_000, 3)]);
    }

    #[test]
    fn pcapng_of_any_order_and_resolution_is_read() {
        let mut interface = vec![0, 1, 0, 0, 0, 0, 0, 0];
        // if_tsresol: milliseconds.
        interface.extend([0, 9, 0, 1, 3, 0, 0, 0, 0, 0, 0, 0]);
        let packet = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 208, 0, 0, 0, 4, 0, 0, 0, 90, 1, 2, 3, 4];
        let section = [0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255];
        let file = [
            block(SECTION, &section),
            block(INTERFACE, &interface),
            block(99, &[]),
            block(ENHANCED, &packet),
        ];
        assert_eq!(times(&file.concat()), [(2_000_000_000, 4)]);
    }

    #[test]
    fn what_is_no_capture_or_breaks_off_is_told() {
        assert!(matches!(Capture::open(&b"GET / HTTP/1.1\r\n"[..]), Err(BadCapture::Unknown)));
        let file = pcap(1, &[(1, vec![1; 60]), (2, vec![2; 60])]);
        let mut capture = Capture::open(&file[..file.len() - 1]).unwrap();
        assert!(capture.next().unwrap().is_some());
        assert!(matches!(capture.next(), Err(BadCapture::Broken(1))));
        let mut huge = pcap(1, &[(1, vec![])]);
        let at = huge.len() - 8;
        huge[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(Capture::open(&huge[..]).unwrap().next(), Err(BadCapture::Broken(0))));
    }
}
