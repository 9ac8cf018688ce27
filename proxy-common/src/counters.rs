//! What is counted, per CPU, and summed in userspace.

/// Traffic of one backend of one listener. One a CPU; a listener's traffic is the sum over its backends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Traffic {
    /// Packets from clients.
    pub packets: u64,
    /// Bytes of whole frames from clients.
    pub bytes: u64,
    /// Packets from the backend (`nat` only: with `dsr` answers do not pass here).
    pub return_packets: u64,
    /// Bytes of whole frames from the backend.
    pub return_bytes: u64,
    /// New flows: bare SYNs and first datagrams that were sent to the backend.
    pub new_flows: u64,
}

const _: () = assert!(size_of::<Traffic>() == 40);
