//! ClientHellos, made by hand: as clients send them, and as nobody should.

use proxy_common::client_hello::{ClientHello, NoHello, Outline, Reassembly, Step, id, outline::alpn};

/// Numbers that look random, and are the same for the same seed (SplitMix64, Steele et al. 2014).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// Whether it is one of `n`.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of them.
    pub fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for end in (1..all.len()).rev() {
            all.swap(end, self.below(end + 1));
        }
    }

    fn grease(&mut self) -> u16 {
        self.below(16) as u16 * 0x1010 + 0x0a0a
    }
}

/// What a ClientHello is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// `legacy_version`.
    pub legacy_version: u16,
    /// `legacy_session_id`.
    pub session_id: Vec<u8>,
    /// `cipher_suites`.
    pub suites: Vec<u16>,
    /// The extensions; `None`: not even their length.
    pub extensions: Option<Vec<(u16, Vec<u8>)>>,
}

impl Hello {
    /// A small one that asks for `name`, in TLS 1.3.
    #[must_use]
    pub fn asking_for(name: &str) -> Self {
        Self {
            legacy_version: 0x0303,
            session_id: vec![7; 32],
            suites: vec![0x1301, 0x1302, 0xc02b],
            extensions: Some(vec![
                (0, server_name(name.as_bytes())),
                (10, long(&words(&[29, 23]))),
                (13, long(&words(&[0x0403, 0x0804]))),
                (16, protocols(&["h2", "http/1.1"])),
                (43, short(&words(&[0x0304, 0x0303]))),
                (51, long(&[&[0, 29][..], &long(&[9; 32])].concat())),
            ]),
        }
    }

    /// The same with an extension more, in front of the others.
    #[must_use]
    pub fn after(mut self, number: u16, body: Vec<u8>) -> Self {
        self.extensions.get_or_insert_default().insert(0, (number, body));
        self
    }

    /// The message of the handshake.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        let mut body = self.legacy_version.to_be_bytes().to_vec();
        body.extend([3; 32]);
        body.extend(short(&self.session_id));
        body.extend(long(&words(&self.suites)));
        body.extend(short(&[0]));
        if let Some(extensions) = &self.extensions {
            let one = |(id, body): &(u16, Vec<u8>)| [&id.to_be_bytes()[..], &long(body)].concat();
            body.extend(long(&extensions.iter().flat_map(one).collect::<Vec<_>>()));
        }
        let length = (body.len() as u32).to_be_bytes();
        [&[1, length[1], length[2], length[3]], &body[..]].concat()
    }

    /// The message in one record.
    #[must_use]
    pub fn record(&self) -> Vec<u8> {
        records(&self.message(), 1 << 14)
    }
}

/// Records of this much content.
#[must_use]
pub fn records(message: &[u8], content: usize) -> Vec<u8> {
    message.chunks(content).flat_map(|content| [&[22, 3, 1][..], &long(content)].concat()).collect()
}

/// The body of `server_name`.
#[must_use]
pub fn server_name(name: &[u8]) -> Vec<u8> {
    long(&[&[0][..], &long(name)].concat())
}

/// The body of `application_layer_protocol_negotiation`.
#[must_use]
pub fn protocols(names: &[&str]) -> Vec<u8> {
    long(&names.iter().flat_map(|name| short(name.as_bytes())).collect::<Vec<_>>())
}

fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn short(bytes: &[u8]) -> Vec<u8> {
    [&[bytes.len() as u8], bytes].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

/// What a client sends, and how much of it its first segment holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    /// All of it.
    pub stream: Vec<u8>,
    /// Bytes of the first segment.
    pub first: usize,
    /// Nothing is odd about it, and all of it is in the first segment: whoever reads anything reads this.
    pub plain: bool,
}

impl Sent {
    /// The first segment.
    #[must_use]
    pub fn segment(&self) -> &[u8] {
        &self.stream[..self.first]
    }
}

/// Something that a client may send. Half of what comes is plain, the rest is odd in one way or in several.
#[must_use]
pub fn any(dice: &mut Dice) -> Sent {
    let mut plain = true;
    let mut hello = ordinary(dice);
    if dice.one_in(3) {
        plain = false;
        distort(dice, &mut hello);
    }
    let message = hello.message();
    let mut stream = match dice.below(12) {
        0 => {
            plain = false;
            records(&message, 1 + dice.below(message.len() + 40))
        }
        _ => records(&message, 1 << 14),
    };
    if dice.one_in(5) {
        plain = false;
        for _ in 0..=dice.below(3) {
            let at = dice.below(stream.len());
            stream[at] = if dice.one_in(2) { dice.next() as u8 } else { stream[at].wrapping_add(1) };
        }
    }
    let whole = stream.len();
    let first = match dice.below(4) {
        0 => 1 + dice.below(whole),
        1 => 1460,
        _ => whole,
    };
    let first = first.min(whole);
    Sent { first, plain: plain && first == whole && whole <= 2048, stream }
}

/// A ClientHello as clients send it.
fn ordinary(dice: &mut Dice) -> Hello {
    if dice.one_in(20) {
        let suites = vec![0x002f, 0x0035];
        let extensions = if dice.one_in(2) { None } else { Some(Vec::new()) };
        return Hello { legacy_version: 0x0301, session_id: Vec::new(), suites, extensions };
    }
    let mut suites: Vec<u16> = (0..1 + dice.below(40)).map(|_| dice.next() as u16).collect();
    let mut extensions = vec![
        (10, long(&words(&[0x11ec, 29, 23]))),
        (11, short(&[0])),
        (13, long(&words(&[0x0403, 0x0804]))),
        (23, Vec::new()),
        (0xff01, vec![0]),
        (35, Vec::new()),
    ];
    if !dice.one_in(8) {
        extensions.push((0, server_name(name(dice).as_bytes())));
    }
    if !dice.one_in(6) {
        let all = ["h2", "http/1.1", "h3", "acme-tls/1", "imap", "spdy/3", "h2c"];
        let names: Vec<&str> = (0..1 + dice.below(5)).map(|_| *dice.of(&all)).collect();
        extensions.push((16, protocols(&names)));
    }
    if !dice.one_in(6) {
        let mut versions: Vec<u16> = vec![0x0304, 0x0303];
        if dice.one_in(2) {
            versions.extend([0x0302, 0x0301]);
        }
        if dice.one_in(2) {
            versions.insert(0, dice.grease());
        }
        extensions.push((43, short(&words(&versions))));
    }
    let share = if dice.one_in(2) { 32 } else { 1216 };
    extensions.push((51, long(&[&[0x11, 0xec][..], &long(&dice.bytes(share))].concat())));
    if dice.one_in(2) {
        extensions.push((dice.grease(), Vec::new()));
        extensions.push((dice.grease() ^ 0xf0f0, vec![0]));
        suites.insert(0, dice.grease());
    }
    if dice.one_in(4) {
        extensions.push((0xfe0d, [&[0][..], &dice.bytes(180)].concat()));
    }
    dice.shuffle(&mut extensions);
    if dice.one_in(4) {
        let length = dice.below(300);
        extensions.push((21, vec![0; length]));
    }
    let session_id = if dice.one_in(3) { Vec::new() } else { dice.bytes(32) };
    Hello { legacy_version: 0x0303, session_id, suites, extensions: Some(extensions) }
}

/// A host: labels of letters, digits, `-` and `_`, in whatever case; at most 64 bytes.
fn name(dice: &mut Dice) -> String {
    let mut name = String::new();
    for label in 0..=dice.below(6) {
        if label > 0 {
            name.push('.');
        }
        for _ in 0..=dice.below(15) {
            name.push(char::from(
                *dice.of(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"),
            ));
        }
    }
    name.truncate(64);
    if name.ends_with('.') {
        name.pop();
    }
    name
}

/// Makes one thing of it odd.
fn distort(dice: &mut Dice, hello: &mut Hello) {
    let extensions = hello.extensions.get_or_insert_default();
    extensions.retain(|(id, _)| *id != 0);
    let odd = |name: &str| (0, server_name(name.as_bytes()));
    match dice.below(14) {
        0 => extensions.push(odd(&"a".repeat(60 + dice.below(10)))),
        1 => extensions.push(odd(&format!("{}.test", "b".repeat(100 + dice.below(150))))),
        2 => {
            let names = ["", ".", "a.", ".a", "a..b", "a b", "[::1]", "a:443", "é.test", "a\0b"];
            let name: &&str = dice.of(&names);
            extensions.push(odd(name));
        }
        3 => {
            let two = [&server_name(b"one.test")[2..], &server_name(b"two.test")[2..]].concat();
            extensions.push((0, long(&two)));
        }
        4 => extensions.push((0, long(&[&[7][..], &long(b"?"), &server_name(b"a.test")[2..]].concat()))),
        5 => extensions.extend([odd("first.test"), odd("second.test")]),
        6 => hello.suites = (0..100 + dice.below(100)).map(|_| dice.next() as u16).collect(),
        7 => {
            extensions.push(odd("behind.test"));
            let many = 30 + dice.below(40) as u16;
            extensions.extend((0..many).map(|number| (0x6000 + number, vec![1])));
            dice.shuffle(extensions);
        }
        8 => {
            extensions.retain(|(id, _)| *id != 16);
            let names: Vec<&str> = (0..7 + dice.below(5)).map(|_| *dice.of(&["h2", "x", "h3"])).collect();
            extensions.push((16, protocols(&names)));
            extensions.push(odd("many.test"));
        }
        9 => {
            extensions.retain(|(id, _)| *id != 43);
            let versions: Vec<u16> = (0..10 + dice.below(20)).map(|_| dice.next() as u16).collect();
            extensions.push((43, short(&words(&versions))));
        }
        10 => {
            let length = 25 + dice.below(20);
            hello.session_id = dice.bytes(length);
        }
        11 => extensions.insert(0, (21, vec![0; dice.below(3000)])),
        12 => {
            let (id, length) = (*dice.of(&[0, 16, 43, 51, 10]), dice.below(12));
            extensions.retain(|(known, _)| *known != id);
            extensions.push((id, dice.bytes(length)));
        }
        _ => hello.suites.clear(),
    }
}

/// What the kernel programs say of a ClientHello, where they say anything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The host.
    pub name: Option<String>,
    /// The outline, if all of it was there.
    pub outline: Option<Outline>,
}

/// Checks that userspace, which sees all of the stream, says the same. Whether there was an answer.
///
/// # Panics
/// They do not agree, or there was no answer to what is plain.
pub fn check(sent: &Sent, answer: Option<&Answer>) -> bool {
    let Some(answer) = answer else {
        assert!(!sent.plain, "nothing is odd about {:02x?}", sent.stream);
        return false;
    };
    let whole = answer.outline.is_some();
    let mut message = Vec::new();
    let step = Reassembly::default().push(&sent.stream, |some| message.extend_from_slice(some));
    if !matches!(step, Step::Done(_)) {
        assert!(!whole, "the first segment had it: {:02x?}", sent.stream);
        return true;
    }
    match ClientHello::read(&message) {
        Ok(hello) => {
            let name = hello.server_name().map(|name| name.lower().map(char::from).collect::<String>());
            assert_eq!(answer.name, name);
            assert!(answer.outline.is_none_or(|outline| outline == Outline::of(&hello)), "{answer:?}");
        }
        // Extensions that the kernel programs do not read may be anything; userspace refuses what contradicts itself.
        Err(NoHello::Extension(id::ALPN)) => {
            assert!(answer.outline.is_none_or(|outline| outline.alpn & alpn::MORE != 0), "{answer:?}");
        }
        Err(NoHello::Extension(number) | NoHello::Repeated(number)) => {
            assert!(!whole || ![id::SERVER_NAME, id::SUPPORTED_VERSIONS].contains(&number), "{number}");
        }
        Err(why) => assert!(!whole, "{why}: {:02x?}", sent.stream),
    }
    true
}
