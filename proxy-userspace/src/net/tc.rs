//! BPF programs as filters of the clsact qdisc: how programs stand on an interface's way in before Linux 6.6.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::netlink::{Attributes, Socket, attribute, flag, number};

const NEW_QDISC: u16 = 36;
const NEW_FILTER: u16 = 44;
const DEL_FILTER: u16 = 45;
const GET_FILTER: u16 = 46;
/// `TC_H_CLSACT`, and its ingress side.
const CLSACT: u32 = 0xffff_fff1;
const INGRESS: u32 = 0xffff_fff2;
const CLSACT_HANDLE: u32 = 0xffff_0000;
/// Priority 1 of our own, and `ETH_P_ALL` in network order.
const INFO: u32 = PRIORITY << 16 | 0x0300;
const PRIORITY: u32 = 0x706e;
const HANDLE: u32 = 1;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_FD: u16 = 6;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
/// `TCA_BPF_FLAG_ACT_DIRECT`: the program's result is the verdict.
const DIRECT_ACTION: u32 = 1;

fn message(ifindex: u32, handle: u32, parent: u32, info: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    for word in [ifindex, handle, parent, info] {
        body.extend_from_slice(&word.to_ne_bytes());
    }
    body
}

/// Puts a program on the way in, in the place of an earlier one of ours.
pub fn replace_filter(ifindex: u32, program: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let mut socket = Socket::open()?;
    let mut qdisc = message(ifindex, CLSACT_HANDLE, CLSACT, 0);
    attribute(&mut qdisc, TCA_KIND, b"clsact\0");
    match socket.request(NEW_QDISC, flag::ACK | flag::CREATE | EXCLUSIVE, &qdisc) {
        Err(error) if error.raw_os_error() != Some(libc::EEXIST) => return Err(error),
        _ => {}
    }
    let mut options = Vec::new();
    attribute(&mut options, TCA_BPF_FD, &program.as_raw_fd().to_ne_bytes());
    attribute(&mut options, TCA_BPF_NAME, format!("{name}\0").as_bytes());
    attribute(&mut options, TCA_BPF_FLAGS, &DIRECT_ACTION.to_ne_bytes());
    let mut filter = message(ifindex, HANDLE, INGRESS, INFO);
    attribute(&mut filter, TCA_KIND, b"bpf\0");
    attribute(&mut filter, TCA_OPTIONS, &options);
    socket.request(NEW_FILTER, flag::ACK | flag::CREATE | flag::REPLACE, &filter).map(drop)
}

/// `NLM_F_EXCL`.
const EXCLUSIVE: u16 = 0x200;

/// Removes our filter, if it is there. The qdisc stays: others may use it.
pub fn remove_filter(ifindex: u32) -> io::Result<()> {
    if !has_filter(ifindex)? {
        return Ok(());
    }
    let mut filter = message(ifindex, HANDLE, INGRESS, INFO);
    attribute(&mut filter, TCA_KIND, b"bpf\0");
    Socket::open()?.request(DEL_FILTER, flag::ACK, &filter).map(drop)
}

/// Whether our filter is there.
pub fn has_filter(ifindex: u32) -> io::Result<bool> {
    let mut socket = Socket::open()?;
    let filters = match socket.request(GET_FILTER, flag::DUMP, &message(ifindex, 0, INGRESS, 0)) {
        Ok(filters) => filters,
        // No such qdisc, so no filter.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOENT)) => return Ok(false),
        Err(error) => return Err(error),
    };
    Ok(filters.iter().filter_map(|message| message.split(20)).any(|(head, attributes)| {
        let ours = number(&head[16..]).is_some_and(|info| info >> 16 == PRIORITY);
        ours && is_bpf(attributes)
    }))
}

fn is_bpf(mut attributes: Attributes<'_>) -> bool {
    attributes.any(|(kind, value)| kind == TCA_KIND && value.starts_with(b"bpf"))
}
