//! The PROXY protocol, versions 1 and 2 (haproxy, "The PROXY protocol", 2020): who a connection is from, said by a
//! proxy before anything else. Pure: reads and writes bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{BufMut, BytesMut};

/// What a version 1 header ends within, CR LF included (§2.1).
const V1_LONGEST: usize = 107;
const V1_BEGIN: &[u8] = b"PROXY";
/// What version 2 begins with (§2.2).
const V2_BEGIN: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// What stands before a version 2 header's addresses.
const V2_FIXED: usize = 16;
/// Addresses and TLVs of a version 2 header may be no longer: nobody needs more, and they are held in memory.
const V2_MOST: usize = 4096;

/// A header that was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Bytes that it took.
    pub length: usize,
    /// Who the connection is from, and where it was to go. None: the proxy's own connection (LOCAL), or it does not say
    /// (UNKNOWN, UNSPEC, a Unix socket); then the connection's own addresses are true.
    pub addresses: Option<Addresses>,
}

/// Both ends of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Addresses {
    /// Who it is from.
    pub source: SocketAddr,
    /// Where it was to go.
    pub destination: SocketAddr,
}

/// Why there is no header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoHeader {
    /// More bytes are needed.
    #[error("the PROXY protocol header is not complete")]
    Incomplete,
    /// These bytes begin no header.
    #[error("the connection does not begin with a PROXY protocol header")]
    Absent,
    /// It is malformed.
    #[error("the PROXY protocol header is malformed")]
    Malformed,
    /// It is longer than allowed.
    #[error("the PROXY protocol header is longer than allowed")]
    TooLong,
}

/// Reads the header that `bytes` begin with.
///
/// # Errors
/// There is none, or not yet.
pub fn read(bytes: &[u8]) -> Result<Header, NoHeader> {
    if begins(bytes, V2_BEGIN)? { read_v2(bytes) } else { read_v1(bytes) }
}

/// Whether `bytes` begin with `what`; they may be too few to say.
fn begins(bytes: &[u8], what: &[u8]) -> Result<bool, NoHeader> {
    let common = bytes.len().min(what.len());
    if bytes[..common] != what[..common] {
        return Ok(false);
    }
    if common == what.len() { Ok(true) } else { Err(NoHeader::Incomplete) }
}

fn read_v1(bytes: &[u8]) -> Result<Header, NoHeader> {
    if !begins(bytes, V1_BEGIN)? {
        return Err(NoHeader::Absent);
    }
    let part = &bytes[..bytes.len().min(V1_LONGEST)];
    let Some(end) = part.windows(2).position(|two| two == b"\r\n") else {
        let over = bytes.len() >= V1_LONGEST;
        return Err(if over { NoHeader::TooLong } else { NoHeader::Incomplete });
    };
    let line = std::str::from_utf8(&part[..end]).map_err(|_| NoHeader::Malformed)?;
    let addresses = v1_addresses(line).ok_or(NoHeader::Malformed)?;
    Ok(Header { length: end + 2, addresses })
}

/// Outer none: malformed; inner none: not said.
fn v1_addresses(line: &str) -> Option<Option<Addresses>> {
    let mut words = line.split(' ');
    words.next().filter(|word| *word == "PROXY")?;
    let family = words.next()?;
    if family == "UNKNOWN" {
        // Whatever follows is ignored (§2.1).
        return Some(None);
    }
    let mut ip = || -> Option<IpAddr> {
        let word = words.next()?;
        match family {
            "TCP4" => word.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => word.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let (from, to) = (ip()?, ip()?);
    let mut port = || words.next().and_then(v1_port);
    let addresses =
        Addresses { source: SocketAddr::new(from, port()?), destination: SocketAddr::new(to, port()?) };
    words.next().is_none().then_some(Some(addresses))
}

/// Digits only, no leading zero.
fn v1_port(word: &str) -> Option<u16> {
    let plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    word.parse().ok().filter(|_| plain)
}

fn read_v2(bytes: &[u8]) -> Result<Header, NoHeader> {
    let Some(&[version_command, family, high, low]) = bytes.get(V2_BEGIN.len()..V2_FIXED) else {
        return Err(NoHeader::Incomplete);
    };
    let rest = usize::from(u16::from_be_bytes([high, low]));
    if version_command >> 4 != 2 || version_command & 0xf > 1 {
        return Err(NoHeader::Malformed);
    }
    if rest > V2_MOST {
        return Err(NoHeader::TooLong);
    }
    let block = bytes.get(V2_FIXED..V2_FIXED + rest).ok_or(NoHeader::Incomplete)?;
    let local = version_command & 0xf == 0;
    // LOCAL carries no addresses, whatever its family says (§2.2; CVE-2024-23327). TLVs follow: skipped.
    let addresses = match family {
        _ if local => None,
        0x11 => Some(v2_addresses(block, ipv4)?),
        0x21 => Some(v2_addresses(block, ipv6)?),
        // UNSPEC, datagrams, Unix sockets: a connection that came here is none of those.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => None,
        _ => return Err(NoHeader::Malformed),
    };
    Ok(Header { length: V2_FIXED + rest, addresses })
}

/// Takes an address from the begin of a block.
type TakeIp = fn(&[u8]) -> Option<(IpAddr, &[u8])>;

fn v2_addresses(block: &[u8], ip: TakeIp) -> Result<Addresses, NoHeader> {
    let read = || {
        let (from, rest) = ip(block)?;
        let (to, rest) = ip(rest)?;
        let port = |at: usize| Some(u16::from_be_bytes(rest.get(at..at + 2)?.try_into().ok()?));
        Some(Addresses {
            source: SocketAddr::new(from, port(0)?),
            destination: SocketAddr::new(to, port(2)?),
        })
    };
    read().ok_or(NoHeader::Malformed)
}

fn ipv4(block: &[u8]) -> Option<(IpAddr, &[u8])> {
    let (ip, rest) = block.split_first_chunk::<4>()?;
    Some((Ipv4Addr::from(*ip).into(), rest))
}

fn ipv6(block: &[u8]) -> Option<(IpAddr, &[u8])> {
    let (ip, rest) = block.split_first_chunk::<16>()?;
    Some((Ipv6Addr::from(*ip).into(), rest))
}

/// Writes a version 1 header.
pub fn write_v1(out: &mut BytesMut, addresses: Option<Addresses>) {
    let line = match addresses.map(same_family) {
        None => "PROXY UNKNOWN\r\n".to_owned(),
        Some(Addresses { source, destination }) => format!(
            "PROXY {} {} {} {} {}\r\n",
            if source.is_ipv4() { "TCP4" } else { "TCP6" },
            source.ip(),
            destination.ip(),
            source.port(),
            destination.port()
        ),
    };
    out.extend_from_slice(line.as_bytes());
}

/// What a version 2 header says of a connection beside its addresses (§2.2, "TLVs").
#[derive(Clone, Copy, Debug, Default)]
pub struct Said<'a> {
    /// `PP2_TYPE_ALPN`: the protocol.
    pub alpn: Option<&'a [u8]>,
    /// `PP2_TYPE_AUTHORITY`: the host that the client named (SNI).
    pub authority: Option<&'a str>,
    /// `PP2_TYPE_SSL`: the version of TLS that the client was served by, such as `TLSv1.3`, and whether it has shown a
    /// certificate that is in order.
    pub ssl: Option<(&'a str, bool)>,
}

/// Numbers of TLVs (§2.2).
const ALPN: u8 = 0x01;
const AUTHORITY: u8 = 0x02;
const SSL: u8 = 0x20;
const SSL_VERSION: u8 = 0x21;
/// Bits of `PP2_TYPE_SSL` (§2.2.6): by TLS, with a certificate.
const CLIENT_SSL: u8 = 1;
const CLIENT_CERT_CONN: u8 = 2;

/// Writes a version 2 header: without addresses it is LOCAL.
pub fn write_v2(out: &mut BytesMut, addresses: Option<Addresses>) {
    write_v2_saying(out, addresses, Said::default());
}

/// Writes a version 2 header that says more than addresses.
pub fn write_v2_saying(out: &mut BytesMut, addresses: Option<Addresses>, said: Said<'_>) {
    let begin = out.len();
    write_v2_addresses(out, addresses);
    if let Some(alpn) = said.alpn {
        tlv(out, ALPN, &[alpn]);
    }
    if let Some(authority) = said.authority {
        tlv(out, AUTHORITY, &[authority.as_bytes()]);
    }
    if let Some((version, certificate)) = said.ssl {
        let client = CLIENT_SSL | if certificate { CLIENT_CERT_CONN } else { 0 };
        // Not 0: no certificate was verified.
        let verify = u32::from(!certificate).to_be_bytes();
        let mut inner = BytesMut::new();
        tlv(&mut inner, SSL_VERSION, &[version.as_bytes()]);
        tlv(out, SSL, &[&[client], &verify, &inner]);
    }
    // Names have limits of their own: all of it is far below 64 KiB.
    let length = u16::try_from(out.len() - begin - V2_FIXED).unwrap_or(u16::MAX);
    out[begin + V2_FIXED - 2..begin + V2_FIXED].copy_from_slice(&length.to_be_bytes());
}

fn tlv(out: &mut BytesMut, kind: u8, parts: &[&[u8]]) {
    out.put_u8(kind);
    out.put_u16(parts.iter().map(|part| part.len()).sum::<usize>() as u16);
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

fn write_v2_addresses(out: &mut BytesMut, addresses: Option<Addresses>) {
    out.extend_from_slice(V2_BEGIN);
    let Some(Addresses { source, destination }) = addresses.map(same_family) else {
        out.extend_from_slice(&[0x20, 0x00, 0, 0]);
        return;
    };
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            out.extend_from_slice(&[0x21, 0x11, 0, 12]);
            out.extend_from_slice(&from.octets());
            out.extend_from_slice(&to.octets());
        }
        (from, to) => {
            out.extend_from_slice(&[0x21, 0x21, 0, 36]);
            out.extend_from_slice(&mapped(from).octets());
            out.extend_from_slice(&mapped(to).octets());
        }
    }
    out.put_u16(source.port());
    out.put_u16(destination.port());
}

/// IPv4 beside IPv6 is written as IPv6: a header has one family. IPv6 that stands for IPv4 is written as that.
fn same_family(addresses: Addresses) -> Addresses {
    let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (source, destination) = (plain(addresses.source), plain(addresses.destination));
    if source.is_ipv4() == destination.is_ipv4() {
        return Addresses { source, destination };
    }
    let wide = |address: SocketAddr| SocketAddr::new(mapped(address.ip()).into(), address.port());
    Addresses { source: wide(source), destination: wide(destination) }
}

fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

#[cfg(test)]
#[path = "proxy_protocol_tests.rs"]
mod tests;
