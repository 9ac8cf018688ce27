//! From `limit set` to the first packet, and the first request, that obeys: no later than the command itself takes to start.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use proxy_tests::client::{Http, Udp};
use proxy_tests::config::{self, Listener, Protocol};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::runner::{Fact, figure};
use proxy_tests::wait::{SOON, until};
use proxy_tests::world::{Family, World};

pub(crate) const ALONE: &[Fact] = facts![alone:
    a_packet_obeys_a_change_as_soon_as_the_command_has_started,
    a_request_obeys_a_change_as_soon_as_the_command_has_started,
];

/// What is promised, beyond the command's own start.
const PROMISED: f64 = 5.0;
/// So often it is tried at the least, and at the most: somebody else's work makes some tries slow.
const TRIES: std::ops::Range<usize> = 5..25;
/// An answer that has not come by then does not come.
const SILENCE: Duration = Duration::from_millis(300);
const OPEN: [&str; 2] = ["=1000000/s", "burst=1000000"];
const SHUT: [&str; 2] = ["=1/h", "burst=1"];

/// How long something takes, in milliseconds.
fn taken(begin: Instant, end: Instant) -> f64 {
    end.saturating_duration_since(begin).as_secs_f64() * 1e3
}

/// Changes a limit of `measure` while `ask` asks without end, which says whether it was served; in milliseconds, how much
/// later than a command that does nothing has ended the first was asked that was not served. The best of some tries.
fn effect(
    daemon: &Daemon<'_>,
    measure: &str,
    mut ask: impl FnMut() -> Result<bool> + Send,
) -> Result<Vec<f64>> {
    let set = |[amount, burst]: [&str; 2]| {
        daemon.cli(&["limit", "set", "per-client", &format!("{measure}{amount}"), burst])
    };
    let mut late = Vec::new();
    let best = |late: &[f64]| late.iter().copied().fold(f64::MAX, f64::min);
    while late.len() < TRIES.start || late.len() < TRIES.end && best(&late) > PROMISED {
        let mut serve = || -> Result<()> {
            set(OPEN)?;
            until("it is served again", SOON, || {
                ensure!(ask()?, "it is not served");
                Ok(())
            })
        };
        serve()?;
        let own = Instant::now();
        daemon.cli(&["--version"])?;
        let own = taken(own, Instant::now());
        let over = AtomicBool::new(false);
        let (begin, first) = std::thread::scope(|scope| -> Result<_> {
            let sender = scope.spawn(|| -> Result<Option<Instant>> {
                while !over.load(Ordering::Relaxed) {
                    let asked = Instant::now();
                    if !ask()? {
                        return Ok(Some(asked));
                    }
                }
                Ok(None)
            });
            let begin = Instant::now();
            let done = set(SHUT);
            // The one that tries the new limit may be asked after that.
            std::thread::sleep(SILENCE);
            over.store(true, Ordering::Relaxed);
            let first = sender.join().map_err(|_| anyhow::anyhow!("the sender panicked"))?;
            done?;
            Ok((begin, first?.context("everything was served")?))
        })?;
        late.push(taken(begin, first) - own);
    }
    late.sort_by(f64::total_cmp);
    Ok(late)
}

fn judge(what: &str, late: &[f64]) -> Result<()> {
    let best = late.first().context("no try")?;
    figure(&format!(
        "from `limit set` to the first {what} that obeys, beyond the command's own start: {best:.1} ms, half of {} within {:.1} ms",
        late.len(),
        late[late.len() / 2],
    ));
    ensure!(*best <= PROMISED, "{late:?} ms");
    Ok(())
}

fn a_packet_obeys_a_change_as_soon_as_the_command_has_started() -> Result<()> {
    let world = World::routed().build()?;
    let text = config::text(&world, &[Listener::of(&world, Protocol::Udp, Family::V4)]);
    let limit = "[limit.per-client]\npackets = \"1000000/s burst 1000000\"\n";
    let daemon = Daemon::start(&world, &format!("{text}\n{limit}"))?;
    let udp = Udp::connect(world.client(), world.service_udp(Family::V4))?;
    udp.ask(b"?")?;
    udp.socket().set_read_timeout(Some(SILENCE))?;
    let mut number = 0_u64;
    let late = effect(&daemon, "packets", || {
        number += 1;
        Ok(udp.ask(&number.to_be_bytes()).is_ok())
    })?;
    judge("packet", &late)
}

fn a_request_obeys_a_change_as_soon_as_the_command_has_started() -> Result<()> {
    let world = World::routed().build()?;
    let to: SocketAddr = world.service(Family::V4);
    let listener =
        format!("[listener.web]\nbind = [\"{to}\"]\nprotocol = \"http\"\n[[route]]\nrespond = 204\n");
    let limit = "[limit.per-client]\nrequests = \"1000000/s burst 1000000\"\n";
    let daemon = Daemon::start(&world, &proxy_tests::web::text(&world, &format!("{listener}\n{limit}")))?;
    let mut http = Http::connect(world.client(), to)?;
    let late = effect(&daemon, "requests", || Ok(http.get("/")?.status == 204))?;
    judge("request", &late)
}
