//! Addresses and the two address families: byte order is in the type.

/// A 16-bit number in network byte order, as it stands in a packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Be16(u16);

impl Be16 {
    /// From a number of the host.
    #[inline(always)]
    pub const fn new(host: u16) -> Self {
        Self(host.to_be())
    }
    /// The number, as the host counts.
    #[inline(always)]
    pub const fn get(self) -> u16 {
        u16::from_be(self.0)
    }
    /// The 16 bits as they lie in memory.
    #[inline(always)]
    pub const fn raw(self) -> u16 {
        self.0
    }
    /// From 16 bits as they lie in memory.
    #[inline(always)]
    pub const fn from_raw(raw: u16) -> Self {
        Self(raw)
    }
}

impl core::fmt::Debug for Be16 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(&self.get(), f)
    }
}

/// A 32-bit number in network byte order, as it stands in a packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Be32(u32);

impl Be32 {
    /// From a number of the host.
    #[inline(always)]
    pub const fn new(host: u32) -> Self {
        Self(host.to_be())
    }
    /// The number, as the host counts.
    #[inline(always)]
    pub const fn get(self) -> u32 {
        u32::from_be(self.0)
    }
    /// The 32 bits as they lie in memory.
    #[inline(always)]
    pub const fn raw(self) -> u32 {
        self.0
    }
    /// From 32 bits as they lie in memory.
    #[inline(always)]
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }
}

impl core::fmt::Debug for Be32 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(&self.get(), f)
    }
}

/// An IPv4 address, in network byte order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Ip4(pub Be32);

/// An IPv6 address: four 32-bit words in network byte order (4-aligned, as in a packet behind an Ethernet header).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Ip6(pub [Be32; 4]);

impl Ip4 {
    /// From the four bytes as written, most significant first.
    pub const fn from_octets(o: [u8; 4]) -> Self {
        Self(Be32::from_raw(u32::from_ne_bytes(o)))
    }
    /// The four bytes as written, most significant first.
    pub const fn octets(self) -> [u8; 4] {
        self.0.raw().to_ne_bytes()
    }
}

impl Ip6 {
    /// From the sixteen bytes as written, most significant first.
    pub const fn from_octets(o: [u8; 16]) -> Self {
        Self([
            Be32::from_raw(u32::from_ne_bytes([o[0], o[1], o[2], o[3]])),
            Be32::from_raw(u32::from_ne_bytes([o[4], o[5], o[6], o[7]])),
            Be32::from_raw(u32::from_ne_bytes([o[8], o[9], o[10], o[11]])),
            Be32::from_raw(u32::from_ne_bytes([o[12], o[13], o[14], o[15]])),
        ])
    }
    /// The sixteen bytes as written, most significant first.
    pub const fn octets(self) -> [u8; 16] {
        let (a, b) = (self.0[0].raw().to_ne_bytes(), self.0[1].raw().to_ne_bytes());
        let (c, d) = (self.0[2].raw().to_ne_bytes(), self.0[3].raw().to_ne_bytes());
        [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3], d[0], d[1], d[2], d[3]]
    }
}

impl core::fmt::Debug for Ip4 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(&core::net::Ipv4Addr::from(self.octets()), f)
    }
}

impl core::fmt::Debug for Ip6 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(&core::net::Ipv6Addr::from(self.octets()), f)
    }
}

impl From<core::net::Ipv4Addr> for Ip4 {
    fn from(a: core::net::Ipv4Addr) -> Self {
        Self::from_octets(a.octets())
    }
}

impl From<core::net::Ipv6Addr> for Ip6 {
    fn from(a: core::net::Ipv6Addr) -> Self {
        Self::from_octets(a.octets())
    }
}

impl From<Ip4> for core::net::IpAddr {
    fn from(a: Ip4) -> Self {
        Self::V4(a.octets().into())
    }
}

impl From<Ip6> for core::net::IpAddr {
    fn from(a: Ip6) -> Self {
        Self::V6(a.octets().into())
    }
}

/// An address of one of the two families. Everything generic over a family is generic over this.
pub trait Address:
    Copy + Eq + Default + core::hash::Hash + core::fmt::Debug + Into<core::net::IpAddr> + 'static
{
    /// The 32-bit words of the address.
    type Words: AsRef<[u32]> + Copy;
    /// The family's number (`AF_INET`, `AF_INET6`).
    const FAMILY: u8;
    /// The 32-bit words, as they lie in memory.
    fn words(self) -> Self::Words;
    /// Becomes another address, word by word.
    fn assign(&mut self, other: &Self);
}

impl Address for Ip4 {
    type Words = [u32; 1];
    const FAMILY: u8 = 2;
    #[inline(always)]
    fn words(self) -> [u32; 1] {
        [self.0.raw()]
    }
    #[inline(always)]
    fn assign(&mut self, other: &Self) {
        *self = *other;
    }
}

impl Address for Ip6 {
    type Words = [u32; 4];
    const FAMILY: u8 = 10;
    #[inline(always)]
    fn words(self) -> [u32; 4] {
        [self.0[0].raw(), self.0[1].raw(), self.0[2].raw(), self.0[3].raw()]
    }
    #[inline(always)]
    fn assign(&mut self, other: &Self) {
        let [a, b, c, d] = other.words();
        self.0[0] = Be32::from_raw(a);
        self.0[1] = Be32::from_raw(b);
        self.0[2] = Be32::from_raw(c);
        self.0[3] = Be32::from_raw(d);
    }
}
