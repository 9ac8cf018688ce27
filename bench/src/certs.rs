//! What many certificates cost: to read them, to hold them, to find one, and a handshake's first flight among them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use proxy_userspace::config;
use proxy_userspace::tls::{Answer, Challenges, Files, ListenerTls, Origin, Store, Tickets};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::Acceptor;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::say::say;

/// How many certificates: the first and the last are compared.
const SIZES: [usize; 3] = [10, 1_000, 10_000];
/// A handshake among the most costs at most so many times one among the fewest.
const MOST_TIMES: f64 = 1.1;
/// Certificates are read within this.
const MOST_START: Duration = Duration::from_secs(5);
/// One certificate with its key and its issuer takes no more memory.
const MOST_BYTES: u64 = 16 << 10;
/// Each size is measured so often, in turn with the others.
const ROUNDS: usize = 20;
/// Handshakes of a round.
const HANDSHAKES: usize = 100;
/// Look-ups of a round.
const LOOKUPS: usize = 10_000;

/// So many certificates, and what serves by them.
struct Scene {
    size: usize,
    read_in: Duration,
    bytes: u64,
    store: Arc<Store>,
    listener: ListenerTls,
    client: Arc<ClientConfig>,
    handshakes: Vec<Duration>,
    lookups: Vec<Duration>,
}

/// Files that go when the bench is over.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left there harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Measures, prints, and says whether the promise is kept.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let folder = Folder(std::env::temp_dir().join(format!("proxy-now-bench-certs-{}", std::process::id())));
    let mut scenes = SIZES.iter().map(|size| Scene::new(&folder.0, *size)).collect::<Result<Vec<_>, _>>()?;
    for _ in 0..ROUNDS {
        scenes.iter_mut().try_for_each(Scene::measure)?;
    }
    say("ECDSA P-256 with one intermediate; a name drawn at random each time; medians of rounds in turn");
    say(&format!(
        "{:<14}{:>12}{:>18}{:>14}{:>22}",
        "certificates", "read (ms)", "memory (KiB each)", "find (ns)", "first flight (us)"
    ));
    for scene in &scenes {
        say(&format!(
            "{:<14}{:>12.1}{:>18.1}{:>14.0}{:>22.1}",
            scene.size,
            scene.read_in.as_secs_f64() * 1e3,
            scene.bytes as f64 / 1024.0,
            median(&scene.lookups) / LOOKUPS as f64 * 1e9,
            median(&scene.handshakes) / HANDSHAKES as f64 * 1e6,
        ));
    }
    let (few, many) = (&scenes[0], &scenes[SIZES.len() - 1]);
    let times = median(&many.handshakes) / median(&few.handshakes);
    say(&format!("first flight among {} : among {}: {times:.2}, to reach {MOST_TIMES}", many.size, few.size));
    say(&format!(
        "to reach: {} read within {MOST_START:?}, {} KiB each at the most",
        many.size,
        MOST_BYTES >> 10
    ));
    let kept = times <= MOST_TIMES && many.read_in <= MOST_START && many.bytes <= MOST_BYTES;
    Ok(if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Scene {
    fn new(folder: &Path, size: usize) -> anyhow::Result<Self> {
        let folder = folder.join(size.to_string());
        fs::create_dir_all(&folder)?;
        let roots = write(&folder, size)?;
        let text = format!(
            "[tls]\ndirectory = {folder:?}\n[listener.web]\nprotocol = \"https\"\nbind = [\"127.0.0.1:8443\"]\n\
             [[route]]\nlistener = \"web\"\nrespond = {{ status = 204 }}\n"
        );
        let config = config::parse(&text, "bench.toml").map_err(|errors| anyhow!("{errors:?}"))?;
        let store = Arc::<Store>::default();
        let before = resident()?;
        let begin = Instant::now();
        let loaded = Files::default().load(&config.tls);
        ensure!(loaded.certificates.len() == size, "{:?}", loaded.troubles.first());
        store.put(Origin::Files, loaded.certificates);
        let read_in = begin.elapsed();
        let bytes = resident()?.saturating_sub(before) / size as u64;
        let tickets = Arc::new(Tickets::new(&config.tls.tickets)?);
        let listener = config.web_listeners.first().context("there is a listener")?;
        let challenges = Arc::<Challenges>::default();
        let listener = ListenerTls::build(listener, &config.tls, &store, &challenges, &tickets)?;
        let mut client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // A certificate is compressed once, when it is first asked for: with many of them, that alone would be seen.
        client.cert_decompressors = Vec::new();
        Ok(Self {
            size,
            read_in,
            bytes,
            store,
            listener: listener.context("it is an https listener")?,
            client: Arc::new(client),
            handshakes: Vec::new(),
            lookups: Vec::new(),
        })
    }

    fn measure(&mut self) -> anyhow::Result<()> {
        let mut number = self.handshakes.len() * 7919;
        let mut next = || {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            name((number >> 33) % self.size)
        };
        let mut took = Duration::ZERO;
        for _ in 0..HANDSHAKES {
            took += self.first_flight(next())?;
        }
        self.handshakes.push(took);
        let names: Vec<String> = (0..LOOKUPS).map(|_| next()).collect();
        let begin = Instant::now();
        let found = names.iter().filter(|name| self.store.find(name).is_some()).count();
        self.lookups.push(begin.elapsed());
        ensure!(found == LOOKUPS, "{found} of {LOOKUPS} were found");
        Ok(())
    }

    /// From a ClientHello to the server's answer to it: key exchange, certificate, signature.
    fn first_flight(&self, name: String) -> anyhow::Result<Duration> {
        let mut client = ClientConnection::new(self.client.clone(), name.try_into()?)?;
        let (mut hello, mut flight) = (Vec::new(), Vec::with_capacity(8192));
        client.write_tls(&mut hello)?;
        let begin = Instant::now();
        let mut acceptor = Acceptor::default();
        acceptor.read_tls(&mut &hello[..])?;
        let accepted = acceptor.accept().map_err(|(error, _)| error)?.context("the hello is whole")?;
        let Answer::Serve(chosen) = self.listener.config_for(&accepted.client_hello(), None) else {
            anyhow::bail!("a name without a certificate");
        };
        let mut server = accepted.into_connection(chosen.config).map_err(|(error, _)| error)?;
        server.write_tls(&mut flight)?;
        let took = begin.elapsed();
        client.read_tls(&mut &flight[..])?;
        // The client verifies name and chain: the right certificate was found.
        client.process_new_packets()?;
        Ok(took)
    }
}

fn name(number: usize) -> String {
    format!("service-{number}.example.com")
}

/// Writes so many pairs; says what to trust.
fn write(folder: &Path, size: usize) -> anyhow::Result<RootCertStore> {
    let ca = |name: &str| -> anyhow::Result<CertificateParams> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        Ok(params)
    };
    let root = CertifiedIssuer::self_signed(ca("Root")?, KeyPair::generate()?)?;
    let middle = CertifiedIssuer::signed_by(ca("Intermediate")?, KeyPair::generate()?, &root)?;
    for number in 0..size {
        let key = KeyPair::generate()?;
        let leaf = CertificateParams::new([name(number)])?.signed_by(&key, &middle)?;
        fs::write(folder.join(format!("{number}.crt")), leaf.pem() + &middle.pem())?;
        fs::write(folder.join(format!("{number}.key")), key.serialize_pem())?;
    }
    let mut roots = RootCertStore::empty();
    roots.add(root.der().clone())?;
    Ok(roots)
}

/// Bytes of memory of this process.
fn resident() -> anyhow::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("the kernel says VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
}

/// Seconds.
fn median(all: &[Duration]) -> f64 {
    let mut all = all.to_vec();
    all.sort_unstable();
    all.get(all.len() / 2).map_or(f64::NAN, Duration::as_secs_f64)
}
