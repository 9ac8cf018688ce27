//! What must hold of a ClientHello, whatever it is and however it comes.

use proxy_common::client_hello::{ClientHello, NoHello, Reassembly, Step, whole};

/// Records of this much content each.
pub fn records(message: &[u8], content: usize) -> Vec<u8> {
    message.chunks(content).flat_map(|content| [&[22, 3, 1], &long(content)[..]].concat()).collect()
}

/// Reads a stream whole and in pieces, and checks that both ways find the same.
pub fn check(stream: &[u8], piece: usize) {
    let (end, message) = push(stream, stream.len().max(1));
    let (end_of_pieces, message_of_pieces) = push(stream, piece.max(1));
    assert_eq!(end, end_of_pieces);
    if !matches!(end, Step::Refused(_)) {
        assert_eq!(message, message_of_pieces);
    }
    match whole(stream) {
        Ok(found) => assert_eq!((found, matches!(end, Step::Done(_))), (&message[..], true)),
        Err(NoHello::Truncated(at)) => assert_eq!((at, end), (stream.len(), Step::NeedMore)),
        Err(NoHello::Split) => {}
        Err(why) => assert_eq!(end, Step::Refused(why)),
    }
    if let Step::Done(_) = end {
        check_message(&message, piece);
    }
}

/// How a stream in pieces ends, after how many bytes of all, and what was in it.
fn push(stream: &[u8], piece: usize) -> (Step, Vec<u8>) {
    let (mut reassembly, mut message, mut before) = (Reassembly::default(), Vec::new(), 0);
    for piece in stream.chunks(piece) {
        match reassembly.push(piece, |some| message.extend_from_slice(some)) {
            Step::NeedMore => before += piece.len(),
            Step::Done(count) => return (Step::Done(before + count), message),
            refused => return (refused, message),
        }
    }
    (Step::NeedMore, message)
}

fn check_message(message: &[u8], cut: usize) {
    let Ok(hello) = ClientHello::read(message) else { return };
    let mut body = hello.legacy_version().to_be_bytes().to_vec();
    body.extend(&message[6..38]);
    body.extend(short(hello.session_id()));
    body.extend(long(&hello.cipher_suites().flat_map(u16::to_be_bytes).collect::<Vec<_>>()));
    body.extend(short(hello.compression_methods()));
    let extensions: Vec<u8> = hello
        .extensions()
        .flat_map(|extension| [&extension.id.to_be_bytes()[..], &long(extension.body)].concat())
        .collect();
    // None may be said by a list of none, and by no list.
    if !extensions.is_empty() || message.len() > 4 + body.len() {
        body.extend(long(&extensions));
    }
    assert_eq!(&message[4..], body, "what was read is not what was there");
    let most = message.len();
    let counted = hello.alpn().count() + hello.key_shares().count() + hello.groups().count();
    assert!(counted + hello.signature_algorithms().count() + hello.supported_versions().count() <= most);
    assert!(hello.server_name().is_none_or(|name| hello.has_server_name() && name.as_bytes().len() < 256));
    let cut = cut.min(message.len() - 1);
    assert!(matches!(ClientHello::read(&message[..cut]), Err(NoHello::Truncated(at)) if at <= cut));
}

fn short(bytes: &[u8]) -> Vec<u8> {
    [&[bytes.len() as u8], bytes].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}
