//! Facts about the PROXY protocol.

use proptest::prelude::*;

use super::*;

fn addresses(source: &str, destination: &str) -> Addresses {
    Addresses { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let mut bytes = V2_BEGIN.to_vec();
    bytes.extend([command, family]);
    bytes.extend((block.len() as u16).to_be_bytes());
    bytes.extend(block);
    bytes
}

#[test]
fn a_line_of_version_1_names_both_ends() {
    let line = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\nGET / HTTP/1.1\r\n";
    let header = read(line).unwrap();
    assert_eq!(header.length, 45);
    assert_eq!(header.addresses, Some(addresses("192.0.2.1:56324", "198.51.100.2:443")));
    let line = b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n";
    assert_eq!(read(line).unwrap().addresses, Some(addresses("[2001:db8::1]:1", "[2001:db8::2]:65535")));
    assert_eq!(read(b"PROXY UNKNOWN whatever\r\n").unwrap(), Header { length: 24, addresses: None });
}

#[test]
fn a_line_that_is_not_quite_one_is_refused() {
    for line in [
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 056 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 +56 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n",
        "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY TCP5 192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY  TCP4 192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXYTCP4 192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY\r\n",
    ] {
        assert_eq!(read(line.as_bytes()), Err(NoHeader::Malformed), "{line:?}");
    }
    assert_eq!(read(b"GET / HTTP/1.1\r\n\r\n"), Err(NoHeader::Absent));
    assert_eq!(read(b"\r\n\r\nGET"), Err(NoHeader::Absent));
    assert_eq!(read(format!("PROXY UNKNOWN {}", "x".repeat(93)).as_bytes()), Err(NoHeader::TooLong));
    assert_eq!(read(format!("PROXY UNKNOWN {}", "x".repeat(92)).as_bytes()), Err(NoHeader::Incomplete));
}

#[test]
fn version_2_names_both_ends_and_what_follows_them_is_skipped() {
    let mut block = vec![192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 0x01, 0xbb];
    let expected = Some(addresses("192.0.2.1:56324", "198.51.100.2:443"));
    assert_eq!(read(&v2(0x21, 0x11, &block)).unwrap(), Header { length: 28, addresses: expected });
    block.extend([0x04, 0, 3, 1, 2, 3]);
    assert_eq!(read(&v2(0x21, 0x11, &block)).unwrap(), Header { length: 34, addresses: expected });
}

#[test]
fn local_carries_no_addresses_even_if_it_does() {
    let block = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 0x01, 0xbb];
    assert_eq!(read(&v2(0x20, 0x11, &block)).unwrap(), Header { length: 28, addresses: None });
    assert_eq!(read(&v2(0x20, 0x00, &[])).unwrap(), Header { length: 16, addresses: None });
    assert_eq!(read(&v2(0x21, 0x31, &[0; 216])).unwrap().addresses, None);
}

#[test]
fn a_version_2_header_that_is_not_quite_one_is_refused() {
    assert_eq!(read(&v2(0x31, 0x11, &[0; 12])), Err(NoHeader::Malformed));
    assert_eq!(read(&v2(0x22, 0x11, &[0; 12])), Err(NoHeader::Malformed));
    assert_eq!(read(&v2(0x21, 0x41, &[0; 12])), Err(NoHeader::Malformed));
    assert_eq!(read(&v2(0x21, 0x11, &[0; 11])), Err(NoHeader::Malformed));
    assert_eq!(read(&v2(0x21, 0x21, &[0; 35])), Err(NoHeader::Malformed));
    assert_eq!(read(&v2(0x21, 0x11, &[0; V2_MOST + 1])), Err(NoHeader::TooLong));
}

#[test]
fn both_families_in_one_header_are_ipv6() {
    let mixed = addresses("192.0.2.1:1", "[2001:db8::2]:2");
    let mut out = BytesMut::new();
    write_v2(&mut out, Some(mixed));
    let expected = addresses("[::ffff:192.0.2.1]:1", "[2001:db8::2]:2");
    assert_eq!(read(&out).unwrap().addresses, Some(expected));
    out.clear();
    write_v1(&mut out, Some(mixed));
    assert_eq!(read(&out).unwrap().addresses, Some(expected));
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    let v4 = any::<(Ipv4Addr, u16)>().prop_map(SocketAddr::from);
    // Those that stand for IPv4 are written as that.
    let v6 = any::<(Ipv6Addr, u16)>().prop_map(SocketAddr::from);
    prop_oneof![v4, v6.prop_filter("stands for IPv4", |address| address.ip().to_canonical().is_ipv6())]
}

#[test]
fn what_a_connection_is_for_is_said_beside_its_addresses() {
    let [source, destination] = ["192.0.2.1:5000", "203.0.113.1:443"].map(|text| text.parse().unwrap());
    let addresses = Addresses { source, destination };
    let mut out = BytesMut::new();
    let said = Said { alpn: Some(b"h2"), authority: Some("a.test"), ssl: Some(("TLSv1.3", true)) };
    write_v2_saying(&mut out, Some(addresses), said);
    assert_eq!(read(&out), Ok(Header { length: out.len(), addresses: Some(addresses) }));
    let mut tlvs = vec![1, 0, 2, b'h', b'2', 2, 0, 6];
    tlvs.extend(b"a.test");
    tlvs.extend([0x20, 0, 15, 3, 0, 0, 0, 0, 0x21, 0, 7]);
    tlvs.extend(b"TLSv1.3");
    assert_eq!(&out[V2_FIXED + 12..], &tlvs);
}

proptest! {
    #[test]
    fn what_is_written_is_read_and_no_part_of_it_is(
        source in any_address(), destination in any_address(), version in 1..=2, behind in any::<[u8; 9]>()
    ) {
        let written = Addresses { source, destination };
        let mut out = BytesMut::new();
        if version == 1 { write_v1(&mut out, Some(written)) } else { write_v2(&mut out, Some(written)) }
        let length = out.len();
        out.extend_from_slice(&behind);
        let header = read(&out).unwrap();
        prop_assert_eq!(header.length, length);
        prop_assert_eq!(header.addresses, Some(same_family(written)));
        for part in 0..length {
            prop_assert_eq!(read(&out[..part]), Err(NoHeader::Incomplete));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(
        begin in prop_oneof![Just(V1_BEGIN.to_vec()), Just(V2_BEGIN.to_vec())], rest in any::<Vec<u8>>()
    ) {
        let mut bytes = begin;
        bytes.extend(rest);
        if let Ok(header) = read(&bytes) {
            prop_assert!(header.length <= bytes.len());
        }
    }
}
