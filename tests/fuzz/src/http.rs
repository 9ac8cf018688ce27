//! What must hold of HTTP: as the daemon's own tests say.

use proxy_userspace::l7::fuzz::TARGETS;

/// Checks one input of a target.
pub fn check(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of that name");
    (target.check)(data);
}

/// First inputs, by target.
pub fn seeds() -> impl Iterator<Item = (&'static str, Vec<Vec<u8>>)> {
    TARGETS.iter().map(|target| (target.name, (target.seeds)()))
}
