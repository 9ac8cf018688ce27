//! Sockets of this host: whose connection a packet is, and the one that is made of a cookie.

use core::ffi::c_void;
use core::mem::size_of;

use aya_ebpf::{
    bindings::{__sk_buff, TC_ACT_OK},
    helpers::generated,
};
use proxy_common::{addr::Address, flow::FlowKey};
use proxy_ebpf::{parsed::Internet, work::Offer, world::Socket};

use super::packet::Frame;

/// Says that the metadata is a note of this kind.
const MAGIC: u32 = 0x706e_6f78;
/// `BPF_F_CURRENT_NETNS` of linux/bpf.h.
const THIS_NAMESPACE: u64 = u64::MAX;
/// `TCP_LISTEN` of net/tcp_states.h.
const LISTEN: u32 = 10;
/// The bytes of an Ethernet header: at TC its tags are gone.
const ETHERNET: u32 = 14;
/// What stands in for the number of `bpf_sk_assign_tcp_reqsk`, which each kernel has its own for: the daemon writes it
/// into the program before it loads it.
const ASSIGN: usize = 0x706e_6f79;

/// What XDP found out about a packet whose client has returned a cookie.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Vouched {
    magic: u32,
    value: u32,
    echo: u32,
    size: u16,
    scale: u8,
    flags: u8,
    /// Where the TCP header starts in a frame without tags.
    l4: u32,
}

impl Vouched {
    /// Whether it is a note of ours.
    #[inline(always)]
    pub(crate) const fn is_ours(&self) -> bool {
        self.magic == MAGIC
    }
}

const TIMESTAMPS: u8 = 1;
const SACK: u8 = 2;

const _: () = assert!(size_of::<Vouched>() == 20, "XDP metadata is at most 32 bytes, in words");

/// A 5-tuple for the kernel (`struct bpf_sock_tuple`): addresses and ports of one family.
#[repr(C)]
struct Tuple<const N: usize> {
    addresses: [u32; N],
    ports: u32,
}

/// `struct bpf_tcp_req_attrs` of linux/tcp.h.
#[repr(C)]
struct Attributes {
    value: u32,
    echo: u32,
    size: u16,
    our_scale: u8,
    their_scale: u8,
    ecn: u8,
    scales: u8,
    sack: u8,
    timestamps: u8,
    microseconds: u8,
    reserved: [u8; 3],
}

/// What sockets of this host have to do with a 5-tuple.
#[inline(never)]
pub(crate) fn find<A: Address>(frame: &Frame, key: &FlowKey<A>) -> Socket {
    let ports = u32::from(key.source_port.raw()) | u32::from(key.destination_port.raw()) << 16;
    match (key.source.words().as_ref(), key.destination.words().as_ref()) {
        (&[s], &[d]) => state(frame, &mut Tuple { addresses: [s, d], ports }),
        (&[s0, s1, s2, s3], &[d0, d1, d2, d3]) => {
            state(frame, &mut Tuple { addresses: [s0, s1, s2, s3, d0, d1, d2, d3], ports })
        }
        _ => Socket::None,
    }
}

#[inline(always)]
fn state<const N: usize>(frame: &Frame, tuple: &mut Tuple<N>) -> Socket {
    // SAFETY: the helper reads the tuple, whose size it is told; what it returns is looked at only if it is there, and
    // given back.
    unsafe {
        let size = size_of::<Tuple<N>>() as u32;
        let tuple = core::ptr::from_mut(tuple).cast();
        let socket = generated::bpf_skc_lookup_tcp(frame.ctx.cast(), tuple, size, THIS_NAMESPACE, 0);
        if socket.is_null() {
            return Socket::None;
        }
        let state = (*socket).state;
        generated::bpf_sk_release(socket.cast());
        if state == LISTEN { Socket::Listens } else { Socket::Has }
    }
}

/// Leaves the note on a frame. `None`: the driver has no room for metadata.
#[inline(always)]
pub(crate) fn vouch<A: Address>(frame: &mut Frame, ip: &Internet<A>, offer: &Offer) -> Option<()> {
    // SAFETY: the helper checks the room.
    if unsafe { generated::bpf_xdp_adjust_meta(frame.ctx, -(size_of::<Vouched>() as i32)) } != 0 {
        return None;
    }
    // SAFETY: `ctx` is the program's own context.
    let (meta, data) = unsafe { ((*frame.ctx).data_meta as usize, (*frame.ctx).data as usize) };
    if meta + size_of::<Vouched>() > data {
        return None;
    }
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    let note = Vouched {
        magic: MAGIC,
        value: offer.value,
        echo: offer.echo,
        size: offer.size,
        scale: offer.scale,
        flags: flag(offer.timestamps, TIMESTAMPS) | flag(offer.sack, SACK),
        l4: ip.l4 - ip.link.tags * 4,
    };
    // SAFETY: the bounds were checked; the room is this program's.
    unsafe { *(meta as *mut Vouched) = note };
    Some(())
}

/// Makes a socket of a packet that XDP vouched for. Where the kernel does not want to, the packet goes on as it is, and
/// the host resets it.
#[inline(never)]
pub(crate) fn obey(skb: *mut __sk_buff, note: &Vouched) -> i32 {
    // SAFETY: the program's own context.
    let v4 = unsafe { (*skb).protocol } == u32::from(0x0800u16.to_be());
    if v4 {
        let mut tuple = Tuple { addresses: [0; 2], ports: 0 };
        assign(skb, note, &mut tuple, ETHERNET + 12);
    } else {
        let mut tuple = Tuple { addresses: [0; 8], ports: 0 };
        assign(skb, note, &mut tuple, ETHERNET + 8);
    }
    TC_ACT_OK as i32
}

#[inline(always)]
fn assign<const N: usize>(skb: *mut __sk_buff, note: &Vouched, tuple: &mut Tuple<N>, addresses: u32) {
    let scales = note.flags & TIMESTAMPS != 0 && note.scale <= 14;
    let mut attributes = Attributes {
        value: note.value,
        echo: note.echo,
        size: note.size,
        our_scale: if scales { proxy_ebpf::stage::cookie::WINDOW_SCALE } else { 0 },
        their_scale: if scales { note.scale } else { 0 },
        ecn: 0,
        scales: scales as u8,
        sack: (note.flags & SACK != 0) as u8,
        timestamps: (note.flags & TIMESTAMPS != 0) as u8,
        microseconds: 0,
        reserved: [0; 3],
    };
    // SAFETY: the helpers are told the sizes of what they read and write; the socket is used only if it is there, and
    // given back. The last call is the kernel's function once the daemon has written its number.
    unsafe {
        let load = |at: u32, to: *mut u32, words: usize| {
            generated::bpf_skb_load_bytes(skb.cast(), at, to.cast::<c_void>(), words as u32 * 4) == 0
        };
        if !load(addresses, tuple.addresses.as_mut_ptr(), N) || !load(note.l4, &raw mut tuple.ports, 1) {
            return;
        }
        let size = size_of::<Tuple<N>>() as u32;
        let tuple = core::ptr::from_mut(tuple).cast();
        let socket = generated::bpf_skc_lookup_tcp(skb.cast(), tuple, size, THIS_NAMESPACE, 0);
        if socket.is_null() {
            return;
        }
        if (*socket).state == LISTEN {
            let listener = generated::bpf_skc_to_tcp_sock(socket.cast());
            if !listener.is_null() {
                let assign: unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_void, u32) -> i64 =
                    core::mem::transmute(ASSIGN);
                let _refused = assign(
                    skb.cast(),
                    listener.cast(),
                    (&raw mut attributes).cast(),
                    size_of::<Attributes>() as u32,
                );
            }
        }
        generated::bpf_sk_release(socket.cast());
    }
}

const _: () = assert!(size_of::<Attributes>() == 20);
