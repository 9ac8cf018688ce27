//! Facts about the whole system: the real daemon, real traffic, in worlds of network namespaces.

/// Limits, how exact they are and who is told; bans that last.
mod abuse;
/// Certificates that come by themselves.
mod acme;
/// What the daemon attaches to, and what it leaves behind.
mod attach;
/// What cannot work is said clearly.
mod bad_input;
/// Who is kept out.
mod bans;
/// A table of a million flows.
mod capacity;
/// Certificates of our own CA, and what responders say of others.
mod certificates;
/// The command line, as a user has it.
mod cli;
/// What must be refused, and survived.
mod conformance;
/// Live flows stay where they are, whatever happens to the daemon.
mod continuity;
/// Reload, drain, health.
mod control;
/// The packet corpus through the loaded program.
mod corpus;
/// Clients are known by their ClientHello.
mod fingerprints;
/// SYN floods.
mod floods;
/// VLAN tags, fragments, extension headers, ICMP errors.
mod frames;
/// The harness itself.
mod harness;
/// HTTPS.
mod https;
/// CAs and certificates, and openssl as a client.
mod issuer;
/// Limits as operators change them.
mod limits_cli;
/// Limits that the kernel part keeps.
mod limits_kernel;
/// Limits of HTTP.
mod limits_web;
/// Connections that are steered by their ClientHello.
mod passthrough;
/// The network around the balancer changes.
mod surroundings;
/// Packet in, packet out, verdict, counters.
mod table;
/// Every protocol, family and way of forwarding.
mod traffic;
/// HTTP.
mod web;
/// How backends are reached.
mod web_backends;
/// WebSockets and gRPC, by other people's libraries.
mod web_clients;
/// Reloads and upgrades under load.
mod web_continuity;
/// What is held in memory.
mod web_memory;
/// Who gets requests, and how many.
mod web_pools;
/// Which route a request takes, however its path is spelled.
mod web_routes;

fn main() -> std::process::ExitCode {
    let facts = [
        harness::FACTS,
        acme::harness::FACTS,
        acme::issue::FACTS,
        acme::renew::FACTS,
        acme::crash::FACTS,
        acme::storage::FACTS,
        acme::choices::FACTS,
        acme::sharing::FACTS,
        acme::trouble::FACTS,
        traffic::FACTS,
        frames::FACTS,
        table::ROOTLESS,
        table::FACTS,
        corpus::FACTS,
        control::FACTS,
        surroundings::FACTS,
        bans::FACTS,
        continuity::FACTS,
        floods::FACTS,
        attach::FACTS,
        bad_input::FACTS,
        cli::FACTS,
        limits_cli::ROOTLESS,
        limits_cli::FACTS,
        limits_kernel::FACTS,
        web::FACTS,
        web::seen::FACTS,
        web_pools::FACTS,
        web_routes::FACTS,
        web_backends::FACTS,
        web_clients::FACTS,
        web_memory::FACTS,
        https::FACTS,
        fingerprints::FACTS,
        certificates::FACTS,
        limits_web::FACTS,
        conformance::FACTS,
        acme::on_demand::ALONE,
        continuity::ALONE,
        capacity::ALONE,
        floods::ALONE,
        conformance::ALONE,
        web_continuity::ALONE,
        limits_web::ALONE,
    ];
    proxy_tests::runner::main(&[&facts, passthrough::ALL, abuse::ALL].concat())
}
