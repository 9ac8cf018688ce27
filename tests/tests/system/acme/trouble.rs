//! What is wrong is said in a sentence, and the other hosts go on.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::runner::Fact;
use proxy_tests::wait::{SOON, until};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::pebble::{self, Settings, here};
use super::stand::{ISSUED, Stand};
use super::visit;
use crate::issuer::Ca;

pub(crate) const FACTS: &[Fact] = facts![
    broken_files_are_named_and_the_other_hosts_are_served,
    a_ca_that_cannot_be_reached_is_named_and_the_other_hosts_are_served,
];

/// Writes a pair of files.
fn pair(stand: &Stand, name: &str, chain: &str, key: &str) -> Result<[PathBuf; 2]> {
    let paths = ["crt", "key"].map(|end| stand.world.folder().join(format!("{name}.{end}")));
    fs::write(&paths[0], chain)?;
    fs::write(&paths[1], key)?;
    fs::set_permissions(&paths[1], fs::Permissions::from_mode(0o600))?;
    Ok(paths)
}

fn table([cert, key]: &[PathBuf; 2]) -> String {
    format!("[[tls.certificate]]\ncert = {cert:?}\nkey = {key:?}\n")
}

/// A certificate that signs itself, for a host, and its key.
fn own(host: &str, edit: impl Fn(&mut CertificateParams)) -> Result<(String, String)> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![host.to_owned()])?;
    edit(&mut params);
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// Waits until a host is served with the certificate in this file.
fn served(stand: &Stand, host: &str, chain: &Path, daemon: &Daemon<'_>) -> Result<()> {
    until(&format!("{host} is served"), SOON, || {
        let visit = visit::ask(&stand.world.balancer, here(pebble::HTTPS), host, chain, "GET /", "")?;
        ensure!(visit.answer.body == b"here", "{:?}\n{}", visit.answer, daemon.log());
        Ok(())
    })
}

const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAc\n-----END ENCRYPTED PRIVATE KEY-----\n";

fn broken_files_are_named_and_the_other_hosts_are_served() -> Result<()> {
    let stand = Stand::build(Settings::new())?;
    let good = own("good.example.com", |_| {})?;
    let other = own("other.example.com", |_| {})?;
    let expired = own("expired.example.com", |params| params.not_after = date_time_ymd(2020, 1, 1))?;
    let files = pair(&stand, "good", &good.0, &good.1)?;
    let mut text = table(&files);
    for (name, chain, key) in [
        ("mismatched", &*other.0, &*good.1),
        ("encrypted", &other.0, ENCRYPTED),
        ("garbage", "nothing that anybody knows", "neither"),
        ("empty", "", ""),
        ("expired", &expired.0, &expired.1),
    ] {
        text.push_str(&table(&pair(&stand, name, chain, key)?));
    }
    let [chain, key] = pair(&stand, "keyless", &other.0, &other.1)?;
    fs::remove_file(&key)?;
    text.push_str(&table(&[chain, key]));
    // Its issuer first: the wrong way round.
    let ca = Ca::new(&stand.world.folder().join("reversed"), "ca")?;
    ca.issue("leaf", &["reversed.example.com"])?;
    let root = PathBuf::from(ca.path("ca.pem"));
    let chain = fs::read_to_string(&root)? + &fs::read_to_string(ca.path("leaf.crt"))?;
    text.push_str(&table(&pair(&stand, "turned", &chain, &fs::read_to_string(ca.path("leaf.key"))?)?));
    let hosts = ["good.example.com", "reversed.example.com"];
    let config = stand.config("", &hosts).replace("tls = \"acme\"", "tls = \"files\"");
    let daemon = Daemon::start(&stand.world, &format!("{config}\n{text}"))?;
    served(&stand, "good.example.com", &files[0], &daemon)?;
    served(&stand, "reversed.example.com", &root, &daemon)?;
    let log = daemon.log();
    for name in ["mismatched", "encrypted", "garbage", "empty", "expired", "keyless", "turned"] {
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(&format!("{name}."))).collect();
        ensure!(lines.len() == 1, "{} lines tell of {name}:\n{log}", lines.len());
    }
    let secret = good.1.lines().nth(1).context("a key has lines")?;
    ensure!(
        !log.contains(secret) && !log.contains("MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAc"),
        "a key is in the log"
    );
    // A file that is put right is served, without anybody asking for it.
    let right = own("good.example.com", |_| {})?;
    fs::write(&files[0], "half of it")?;
    until("the broken file is told of", SOON, || {
        ensure!(daemon.log().matches("good.").count() > log.matches("good.").count(), "{}", daemon.log());
        Ok(())
    })?;
    let before = stand.world.folder().join("before.crt");
    fs::write(&before, &good.0)?;
    served(&stand, "good.example.com", &before, &daemon)?;
    pair(&stand, "good", &right.0, &right.1)?;
    served(&stand, "good.example.com", &files[0], &daemon)
}

fn a_ca_that_cannot_be_reached_is_named_and_the_other_hosts_are_served() -> Result<()> {
    let stand = Stand::build(Settings::new())?;
    let good = own("good.example.com", |_| {})?;
    let files = pair(&stand, "good", &good.0, &good.1)?;
    let config = stand.config("", &["app.example.com", "good.example.com"]).replace("tls = \"acme\"\n", "");
    // Nobody listens there.
    let config = config.replace(":14001/", ":14999/");
    let daemon = Daemon::start(&stand.world, &format!("{config}\n{}", table(&files)))?;
    served(&stand, "good.example.com", &files[0], &daemon)?;
    // It is asked some times before that is given up.
    until("what is wrong is listed", ISSUED, || {
        let row = Stand::listed(&daemon, "app.example.com")?;
        let error = row["last_error"].as_str().unwrap_or_default();
        ensure!(error.contains("14999"), "{row}");
        Ok(())
    })?;
    served(&stand, "good.example.com", &files[0], &daemon)
}
