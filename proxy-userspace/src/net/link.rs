//! Network devices, as rtnetlink tells of them.

use std::io;

use super::netlink::{Attributes, Message, Socket, attribute, flag, kind, number};

/// A network device.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Link {
    /// Its number in this namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// `IFF_UP` and kin.
    pub flags: u32,
    /// The longest IP packet it carries.
    pub mtu: u32,
    /// Its link-layer address: six bytes, or none.
    pub mac: Vec<u8>,
    /// The device it is a port of (bond, bridge), or 0.
    pub master: u32,
    /// The device below it (VLAN), or its peer (veth), or 0.
    pub below: u32,
    /// Whether `below` is a number of another namespace.
    pub below_elsewhere: bool,
    /// The kind of a virtual device (`vlan`, `veth`, `bond` …), else empty.
    pub kind: String,
    /// 802.1Q identifier, of a VLAN device.
    pub vlan_id: Option<u16>,
    /// The XDP program on it.
    pub xdp: Option<AttachedXdp>,
}

/// An XDP program on a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AttachedXdp {
    /// Its number.
    pub program: u32,
    /// Whether the driver runs it, not the generic code behind the driver.
    pub native: bool,
}

const IFF_UP: u32 = 1;
const IFF_RUNNING: u32 = 1 << 6;

impl Link {
    /// Whether it is up and has a carrier.
    pub const fn is_running(&self) -> bool {
        self.flags & IFF_UP != 0 && self.flags & IFF_RUNNING != 0
    }

    /// Whether it is up.
    pub const fn is_up(&self) -> bool {
        self.flags & IFF_UP != 0
    }

    /// Reads an announcement or an answer about a device.
    pub fn parse(message: &Message) -> Option<Self> {
        let (head, attributes) = message.split(16)?;
        let mut link = Self { index: number(&head[4..])?, flags: number(&head[8..])?, ..Self::default() };
        for (kind, value) in attributes {
            match kind {
                1 => link.mac = value.to_vec(),
                3 => link.name = text(value),
                4 => link.mtu = number(value)?,
                5 => link.below = number(value)?,
                10 => link.master = number(value)?,
                18 => link.read_kind(Attributes(value)),
                37 => link.below_elsewhere = true,
                43 => link.xdp = read_xdp(Attributes(value)),
                _ => {}
            }
        }
        Some(link)
    }

    fn read_kind(&mut self, info: Attributes<'_>) {
        for (kind, value) in info {
            match kind {
                1 => self.kind = text(value),
                2 if self.kind == "vlan" => {
                    let id = Attributes(value).find(|(kind, _)| *kind == 1);
                    self.vlan_id = id.and_then(|(_, id)| Some(u16::from_ne_bytes(id.try_into().ok()?)));
                }
                _ => {}
            }
        }
    }
}

/// `IFLA_XDP`: 2 is the mode (1 native, 2 generic, 3 in hardware), 4 the program, 5 and 6 those of two modes at once.
fn read_xdp(attributes: Attributes<'_>) -> Option<AttachedXdp> {
    let (mut mode, mut program) = (0, None);
    for (kind, value) in attributes {
        match kind {
            2 => mode = *value.first()?,
            4..=6 => program = program.or(number(value)),
            _ => {}
        }
    }
    program.filter(|_| mode != 0).map(|program| AttachedXdp { program, native: mode != 2 })
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_end_matches('\0').to_owned()
}

/// All devices of this namespace.
pub fn all(socket: &mut Socket) -> io::Result<Vec<Link>> {
    let answers = socket.request(kind::GET_LINK, flag::DUMP, &[0; 16])?;
    Ok(answers.iter().filter(|m| m.kind == kind::NEW_LINK).filter_map(Link::parse).collect())
}

/// A device by its name; none if there is no such device.
pub fn by_name(socket: &mut Socket, name: &str) -> io::Result<Option<Link>> {
    let mut body = vec![0; 16];
    let mut bytes = name.as_bytes().to_vec();
    bytes.push(0);
    attribute(&mut body, 3, &bytes);
    match socket.request(kind::GET_LINK, 0, &body) {
        Ok(answers) => Ok(answers.first().and_then(Link::parse)),
        // ERANGE, EINVAL: no device can have such a name.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ERANGE | libc::EINVAL)) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
