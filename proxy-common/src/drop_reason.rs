//! Why a packet was dropped: one list, which numbers the counter, the metric label, the trace event and the CLI row.

macro_rules! numbered {
    ($(#[$meta:meta])* $name:ident { $( $(#[doc = $doc:literal])+ $variant:ident = $label:literal ),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u32)]
        pub enum $name { $( $(#[doc = $doc])+ $variant ),+ }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[ $( Self::$variant ),+ ];
            /// How many there are: the size of the counter table.
            pub const COUNT: u32 = Self::ALL.len() as u32;

            /// The word for it in metrics, in the CLI and in documents.
            pub const fn label(self) -> &'static str {
                match self { $( Self::$variant => $label ),+ }
            }

            /// One line for people.
            pub const fn describe(self) -> &'static str {
                match self { $( Self::$variant => concat!($($doc),+) ),+ }
            }

            /// Its number: the index of its counter.
            #[inline(always)]
            pub const fn index(self) -> u32 {
                self as u32
            }
        }
    };
}

numbered! {
    /// Why a packet was dropped. Append only: numbers are part of the ABI.
    DropReason {
        /// Ends before its headers do.
        Truncated = "truncated",
        /// More than two VLAN tags.
        VlanDepth = "vlan_depth",
        /// An IPv4 header with an impossible version, length or total length.
        Ipv4Header = "ipv4_header",
        /// An IPv4 header checksum that does not add up.
        Ipv4Checksum = "ipv4_checksum",
        /// An IPv6 header with an impossible version or payload length.
        Ipv6Header = "ipv6_header",
        /// More IPv6 extension headers than are walked, or one out of place.
        Ipv6Extensions = "ipv6_extensions",
        /// A source address that no client can have (loopback, multicast, link-local, or the destination itself).
        MartianSource = "martian_source",
        /// A TCP header with an impossible length.
        TcpHeader = "tcp_header",
        /// A UDP header with an impossible length.
        UdpHeader = "udp_header",
        /// An ICMP error that quotes too little, or something that cannot have been sent.
        IcmpError = "icmp_error",
        /// A fragment too small, beyond 65,535 bytes, or otherwise never made by an honest stack.
        FragmentMalformed = "fragment_malformed",
        /// A later fragment whose first one was not seen.
        FragmentUnknown = "fragment_unknown",
        /// Time to live ran out here.
        TtlExpired = "ttl_expired",
        /// The listener has no backend in its ring.
        NoBackend = "no_backend",
        /// Every candidate port towards the backend is taken.
        PortsExhausted = "ports_exhausted",
        /// No route to the next hop.
        NoRoute = "no_route",
        /// The route says unreachable, prohibit or blackhole.
        RouteRefused = "route_refused",
        /// Forwarding is off on the interface (`net.ipv4.ip_forward`, `net.ipv6.conf.*.forwarding`).
        ForwardingDisabled = "forwarding_disabled",
        /// The next hop's link-layer address is not known yet, and the packet could not wait for it.
        NoNeighbour = "no_neighbour",
        /// Longer than the way out can carry, and not to be fragmented here.
        TooBig = "too_big",
        /// A `dsr` backend that is not on the same L2 segment.
        DsrNotOnLink = "dsr_not_on_link",
        /// The frame could not be changed in place.
        Rewrite = "rewrite",
        /// From an address that is banned.
        Banned = "banned",
        /// An ACK to a guarded listener, of no connection, and without a cookie of ours.
        CookieInvalid = "cookie_invalid",
        /// A cookie of ours came back, and the driver has no room for what the host must be told of it.
        CookieUnused = "cookie_unused",
        /// A reset that showed that its sender is there, as it was asked to.
        SynProof = "syn_proof",
        /// An answer to a client that may be forged, longer than `amplification` allows.
        Amplification = "amplification",
        /// ICMP that nobody asked for, above `icmp_limit`.
        IcmpLimit = "icmp_limit",
        /// A limit was exceeded.
        Limit = "limit",
        /// Of a connection that is just being handed over: kept back, and sent on its way a moment later.
        HandoffHeld = "handoff_held",
        /// A ClientHello that names a host whose route refuses it.
        Sni = "sni",
        /// The program that would have gone on with it is not there.
        ProgramMissing = "program_missing",
        /// TCP of no known `nat` connection: a reset, or, while the listener is guarded, anything of who is not known to be there.
        FlowUnknown = "flow_unknown",
    }
}

numbered! {
    /// What is worth counting though the packet goes on. Append only: numbers are part of the ABI.
    Notice {
        /// Forwarded by the ring because the flow table is full.
        FlowTableFull = "flow_table_full",
        /// A flow entered the flow table.
        FlowCreated = "flow_created",
        /// A packet of no known flow in the middle of a connection, forwarded by the ring.
        FlowUnknown = "flow_unknown",
        /// A SYN for a 5-tuple that had a flow: a new flow.
        FlowReused = "flow_reused",
        /// A young flow gave way to a newer one.
        YoungReplaced = "young_replaced",
        /// A next hop was looked up in the routing table.
        HopResolved = "hop_resolved",
        /// Handed to the host's stack to resolve the neighbour and send.
        NeighbourPending = "neighbour_pending",
        /// An ICMP error was translated to the flow's other side.
        IcmpTranslated = "icmp_translated",
        /// A later fragment followed its first.
        FragmentFollowed = "fragment_followed",
        /// Answered with ICMP "fragmentation needed" or "packet too big".
        TooBigAnswered = "too_big_answered",
        /// SYNs came too fast for a listener: it is guarded.
        GuardOn = "guard_on",
        /// A listener is guarded no more.
        GuardOff = "guard_off",
        /// A SYN was answered with a cookie.
        CookieGiven = "cookie_given",
        /// A cookie came back: the host takes the connection.
        CookieTaken = "cookie_taken",
        /// A SYN was answered with a question whether its sender is there.
        ProofAsked = "proof_asked",
        /// A limit's key found no place in the table of keys; the sketch decided.
        LimitTableFull = "limit_table_full",
        /// An event for the daemon found no room in the ring buffer.
        EventsLost = "events_lost",
        /// A frame of a connection that was being handed over found no room to wait: its sender sends it again.
        HandoffLost = "handoff_lost",
        /// A ClientHello was read before a socket existed.
        PeekRead = "peek_read",
        /// A ClientHello that does not name its host in the first segment: read by the worker.
        PeekCut = "peek_cut",
        /// A ClientHello in several records: read by the worker.
        PeekRecords = "peek_records",
        /// A ClientHello that contradicts itself: judged by the worker.
        PeekMalformed = "peek_malformed",
        /// A ClientHello with more in it than is walked in the kernel: read by the worker.
        PeekLong = "peek_long",
        /// A ClientHello whose name is longer than 64 bytes, or not plainly a host's: read by the worker.
        PeekName = "peek_name",
        /// A flow without a proof of life found no room among its like, and stays young.
        UnprovedFull = "unproved_full",
        /// A young flow lost its port to a newer one: none was free.
        PortRetaken = "port_retaken",
    }
}
