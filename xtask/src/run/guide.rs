//! What the demonstration tells its reader.

use super::traffic::Answers;
use crate::say;
use proxy_tests::world::{Family, World};

/// Who answered how often.
pub(super) fn tally(world: &World, family: Family, answers: &Answers) {
    let total: usize = answers.values().sum();
    say::line(&format!("\n{} requests to http://{}/ were answered by", total, world.service(family)));
    for (server, count) in answers {
        let address = world.number_of(server).map(|number| world.backend(family, number).to_string());
        let bar = "#".repeat(count * 60 / total.max(1));
        say::line(&format!("  {server}  {:<22}{count:>4}  {bar}", address.unwrap_or_default()));
    }
}

/// What can be tried by hand.
pub(super) fn commands(world: &World) {
    let (client, balancer) = (world.client().name(), world.balancer.name());
    let socket = world.folder().join("admin.sock");
    let (v4, v6) = (world.service(Family::V4), world.service(Family::V6));
    let backend = world.backend(Family::V4, 0);
    let from = world.client_address(Family::V4, 0);
    let lines = [
        "\nTry it by hand, in another terminal of this folder:".to_string(),
        format!("  ip netns exec {client} curl 'http://{v4}/'"),
        format!("  ip netns exec {client} curl 'http://{v6}/'"),
        format!("  export PROXY_NOW_SOCKET={}", socket.display()),
        "  target/release/proxy-now status".into(),
        format!("  target/release/proxy-now explain tcp {from}:40000 {v4}"),
        format!("  target/release/proxy-now drain {backend}     # no new connections to b0"),
        format!("  target/release/proxy-now undrain {backend}"),
        format!("  ip netns exec {balancer} target/release/proxy-now doctor"),
        format!(
            "  $EDITOR {}     # it is read again when it changes",
            world.folder().join("proxy.toml").display()
        ),
        "\nCtrl-C ends it and leaves nothing behind.".into(),
    ];
    say::line(&lines.join("\n"));
}
