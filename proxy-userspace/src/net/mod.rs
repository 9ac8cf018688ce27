//! What the host's network looks like: devices, routes, neighbours, driver settings. Knows no listener and no backend.

/// Addresses of this host.
pub mod address;
/// Buffers for reading.
pub mod buffers;
/// Who counts as one client.
pub mod customer;
/// Timers that are nearly always put off.
pub mod deadline;
/// Listening sockets that wait for a client's first bytes, acknowledgments that wait for an answer.
pub mod defer;
/// Connections by epoll.
pub mod epoll;
/// Who has a connection to a port of this host.
pub mod established;
/// Driver settings (ethtool).
pub mod ethtool;
/// Connections that are relayed, and may be handed over.
pub mod handoff;
/// Network devices.
pub mod link;
/// Sockets that wait for clients, for several workers.
pub mod listen;
/// Neighbours: addresses on a link and the link-layer addresses behind them.
pub mod neighbour;
/// rtnetlink: requests, answers and announcements.
pub mod netlink;
/// Messages with open files, from process to process.
pub mod pass;
/// Pipes between sockets.
pub mod pipe;
/// Who a connection is from, as proxies say it.
pub mod proxy_protocol;
/// What clients of QUIC say first.
pub mod quic;
/// Sockets whose connections somebody else goes on with.
pub mod repair;
/// The way to an address.
pub mod route;
/// Sockets of this host that wait for clients.
pub mod sockets;
/// Connections, as protocols see them.
pub mod stream;
/// Settings of the kernel under /proc/sys/net.
pub mod sysctl;
/// BPF programs as filters of the clsact qdisc.
pub mod tc;
/// Connections by TLS.
pub mod tls;
/// By which interface packets of a connection come in.
pub mod whence;
/// The window that a socket's peer may send into.
pub mod window;
