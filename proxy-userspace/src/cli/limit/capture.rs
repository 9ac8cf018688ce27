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
/// Of old captures: the interface in 16 bits.
const PACKET: u32 = 2;
/// Without a time.
const SIMPLE: u32 = 3;
const ENHANCED: u32 = 6;
/// The section's byte order.
const ORDER: u32 = 0x1a2b_3c4d;
/// Options of an interface: how long a tick is, and what is to be added to its times, in seconds. The end of options.
const RESOLUTION: u16 = 9;
const OFFSET: u16 = 14;
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
    /// In nanoseconds, of the capture's own clock. None: the capture does not say.
    pub(in crate::cli) time: Option<u64>,
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
    Pcap { link: u32, tick: u64 },
    Ng { interfaces: Vec<Interface> },
}

/// What a section says of an interface.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: u32,
    /// Bytes of a frame that are kept at most; 0: all.
    most: u32,
    /// Ticks a second.
    ticks: u64,
    /// Seconds, to be added to times.
    offset: i64,
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
        let time = Some(seconds * 1_000_000_000 + part * tick);
        Ok(Some(Captured { time, length, link, bytes }))
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
                ENHANCED => self.enhanced(&body).map(Some),
                PACKET => self.old(&body).map(Some),
                SIMPLE => self.simple(&body).map(Some),
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
        let (link, most) = (u32::from(self.u16(body.get(..2)?)), self.u32(body.get(4..8)?));
        let mut options = body.get(8..)?;
        let (mut ticks, mut offset) = (1_000_000, 0);
        while let (Some(code), Some(length)) = (options.get(..2), options.get(2..4)) {
            let (code, length) = (self.u16(code), usize::from(self.u16(length)));
            if code == END {
                break;
            }
            match (code, options.get(4..4 + length)?) {
                (RESOLUTION, [byte, ..]) => {
                    let power = u32::from(byte & 0x7f);
                    ticks =
                        if byte & 0x80 == 0 { 10u64.checked_pow(power)? } else { 1u64.checked_shl(power)? };
                }
                (OFFSET, value) if value.len() == 8 => {
                    let (first, second) = (self.u32(value), self.u32(&value[4..]));
                    let (high, low) = if self.big { (first, second) } else { (second, first) };
                    offset = (u64::from(high) << 32 | u64::from(low)).cast_signed();
                }
                _ => {}
            }
            options = options.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
        }
        let Kind::Ng { interfaces } = &mut self.kind else { return None };
        let interface = Interface { link, most, ticks: ticks.max(1), offset };
        (interfaces.len() < MOST_INTERFACES).then(|| interfaces.push(interface))
    }

    fn enhanced(&self, body: &[u8]) -> Option<Captured> {
        let number = self.u32(body.get(..4)?);
        self.timed(self.interface_of(number)?, body.get(4..)?)
    }

    fn old(&self, body: &[u8]) -> Option<Captured> {
        let number = u32::from(self.u16(body.get(..2)?));
        self.timed(self.interface_of(number)?, body.get(4..)?)
    }

    /// A packet, from its time on.
    fn timed(&self, interface: Interface, body: &[u8]) -> Option<Captured> {
        let number = |at: usize| Some(self.u32(body.get(at..at + 4)?));
        let ticks = u128::from(number(0)?) << 32 | u128::from(number(4)?);
        let time = i128::try_from(ticks * 1_000_000_000 / u128::from(interface.ticks)).ok()?;
        let time = u64::try_from(time + i128::from(interface.offset) * 1_000_000_000).ok()?;
        let (there, length) = (number(8)? as usize, number(12)?);
        let bytes = body.get(16..)?.get(..there)?.to_vec();
        Some(Captured { time: Some(time), length, link: interface.link, bytes })
    }

    /// Of the first interface, without a time: as much of it as the block and what is kept of frames have room for.
    fn simple(&self, body: &[u8]) -> Option<Captured> {
        let interface = self.interface_of(0)?;
        let (length, bytes) = (self.u32(body.get(..4)?), body.get(4..)?);
        let kept = if interface.most == 0 { length } else { length.min(interface.most) };
        let bytes = bytes.get(..bytes.len().min(kept as usize))?.to_vec();
        Some(Captured { time: None, length, link: interface.link, bytes })
    }

    fn interface_of(&self, number: u32) -> Option<Interface> {
        let Kind::Ng { interfaces } = &self.kind else { return None };
        interfaces.get(number as usize).copied()
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
            .map(|packet| (packet.time.unwrap(), packet.bytes.len()))
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
    fn pcapng_of_several_sections_and_interfaces_and_old_blocks_is_read() {
        const SECTION_BODY: [u8; 16] =
            [0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255];
        let section = block(SECTION, &SECTION_BODY);
        // Ethernet, 6 bytes kept, microseconds; raw IP, an offset of 5 s, 2^-10 s; the offset comes first, a comment before it.
        let ethernet = block(INTERFACE, &[0, 1, 0, 0, 0, 0, 0, 6]);
        let options = [
            &[0, 1, 0, 3, b'e', b't', b'h', 0, 0, 14, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5][..],
            &[0, 9, 0, 1, 0x8a, 0, 0, 0, 0, 0, 0, 0],
        ];
        let raw = block(INTERFACE, &[&[0, 101, 0, 0, 0, 0, 0, 0][..], &options.concat()].concat());
        let enhanced = block(
            ENHANCED,
            &[&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 1, 0, 0, 0, 90][..], &[7, 0, 0, 0]].concat(),
        );
        let old = block(
            PACKET,
            &[&[0, 0, 0, 9, 0, 0, 0, 0, 0, 0x0f, 0x42, 0x40, 0, 0, 0, 2, 0, 0, 0, 60][..], &[7, 7, 0, 0]]
                .concat(),
        );
        let simple = block(SIMPLE, &[&[0, 0, 0, 7][..], &[7, 7, 7, 7, 7, 7, 0, 0]].concat());
        let file = [&section, &ethernet, &raw, &enhanced, &old, &simple, &section, &raw, &simple]
            .map(|block| &block[..]);
        let mut file = Capture::open(&*file.concat())
            .map(|mut capture| {
                std::iter::from_fn(|| capture.next().unwrap())
                    .map(|packet| (packet.link, packet.time, packet.length, packet.bytes.len()))
                    .collect::<Vec<_>>()
            })
            .unwrap();
        assert_eq!(file.pop(), Some((101, None, 7, 7)), "of the second section, whose frames are kept whole");
        assert_eq!(
            file,
            [(101, Some(6_000_000_000), 90, 1), (1, Some(1_000_000_000), 60, 2), (1, None, 7, 6)]
        );
        // An interface that no section has told of.
        let stray = [&section[..], &block(ENHANCED, &[0; 24])].concat();
        assert!(matches!(Capture::open(&stray[..]).unwrap().next(), Err(BadCapture::Broken(0))));
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
