//! TLS handshakes with the clients of a listener, counted. A handshake costs so much more than a number that all workers
//! share these.

use std::sync::atomic::{AtomicU64, Ordering};

use super::prometheus::{Kind, Text};

/// What a handshake came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Agreed {
    /// The version.
    pub version: Version,
    /// How secrets were made.
    pub group: Group,
    /// What is spoken.
    pub alpn: Alpn,
    /// A session went on that had begun before.
    pub resumed: bool,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum $name { $($(#[$each])* $variant,)* }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: [Self; [$($word),*].len()] = [$(Self::$variant),*];

            /// The word for it in metrics.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

words! {
    /// A version of TLS.
    Version {
        /// RFC 5246.
        Tls12 = "1.2",
        /// RFC 8446.
        Tls13 = "1.3",
    }
}

words! {
    /// How secrets are made.
    Group {
        /// X25519 and ML-KEM-768: safe from quantum computers, too.
        X25519MlKem768 = "X25519MLKEM768",
        /// RFC 7748.
        X25519 = "X25519",
        /// NIST P-256.
        P256 = "P-256",
        /// NIST P-384.
        P384 = "P-384",
        /// Another, or none: a session of TLS 1.2 that goes on.
        Other = "none",
    }
}

words! {
    /// What a connection is for.
    Alpn {
        /// HTTP/2.
        H2 = "h2",
        /// HTTP/1.1.
        Http11 = "http/1.1",
        /// The client did not say: HTTP/1.1.
        Unsaid = "none",
        /// A CA that looks for its proof (RFC 8737).
        Acme = "acme-tls/1",
    }
}

words! {
    /// Why a handshake failed.
    Failure {
        /// It took too long.
        Timeout = "timeout",
        /// The client has gone.
        Closed = "closed",
        /// The client spoke HTTP without TLS.
        PlainHttp = "plain_http",
        /// No version is known to both.
        Version = "version",
        /// No cipher, group or signature is known to both.
        Incompatible = "incompatible",
        /// No protocol is known to both.
        Alpn = "alpn",
        /// No certificate covers the name that the client asked for.
        UnknownName = "unknown_name",
        /// The client named no host.
        NoName = "no_name",
        /// There is no certificate at all.
        NoCertificate = "no_certificate",
        /// Nothing is being proved for the name.
        NoProof = "no_proof",
        /// A certificate could be got for the name, but it is not permitted.
        NotPermitted = "not_permitted",
        /// A certificate was to be got for the name, and was not.
        NotGot = "not_got",
        /// The client has shown no certificate.
        ClientCertificateMissing = "client_certificate_missing",
        /// The client has shown one that does not count.
        ClientCertificate = "client_certificate",
        /// The client has refused to go on: most often our certificate.
        Alert = "alert",
        /// What the client said is no TLS, or not in its place.
        Protocol = "protocol",
        /// What should not happen.
        Internal = "internal",
        /// There are more than a limit lets through.
        Limited = "limited",
    }
}

const DONE: usize = Version::ALL.len() * Group::ALL.len() * Alpn::ALL.len() * 2;

/// Handshakes of one listener.
#[derive(Debug)]
pub struct Handshakes {
    done: [AtomicU64; DONE],
    failed: [AtomicU64; Failure::ALL.len()],
}

impl Default for Handshakes {
    fn default() -> Self {
        Self {
            done: std::array::from_fn(|_| AtomicU64::new(0)),
            failed: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Agreed {
    fn number(self) -> usize {
        let number = self.version as usize * Group::ALL.len() + self.group as usize;
        (number * Alpn::ALL.len() + self.alpn as usize) * 2 + usize::from(self.resumed)
    }

    fn all() -> impl Iterator<Item = Self> {
        Version::ALL.into_iter().flat_map(|version| {
            Group::ALL.into_iter().flat_map(move |group| {
                Alpn::ALL
                    .into_iter()
                    .flat_map(move |alpn| [false, true].map(|resumed| Self { version, group, alpn, resumed }))
            })
        })
    }
}

impl Handshakes {
    /// One has come to its end.
    pub fn done(&self, agreed: Agreed) {
        self.done[agreed.number()].fetch_add(1, Ordering::Relaxed);
    }

    /// One has failed.
    pub fn failed(&self, why: Failure) {
        self.failed[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self, agreed: Agreed) -> u64 {
        self.done[agreed.number()].load(Ordering::Relaxed)
    }
}

/// Handshakes of these listeners. What has not happened is not listed, but failures of each kind are.
pub fn write(text: &mut Text, listeners: &[(&str, &Handshakes)]) {
    let mut metric = text.metric(
        "proxy_now_tls_handshakes_total",
        Kind::Counter,
        "TLS handshakes with clients, by what they came to.",
    );
    for (listener, handshakes) in listeners {
        for agreed in Agreed::all() {
            let count = handshakes.count(agreed);
            if count > 0 {
                let labels = [
                    ("listener", *listener),
                    ("version", agreed.version.word()),
                    ("group", agreed.group.word()),
                    ("alpn", agreed.alpn.word()),
                    ("resumed", if agreed.resumed { "yes" } else { "no" }),
                ];
                metric.count(&labels, count);
            }
        }
    }
    let mut metric = text.metric(
        "proxy_now_tls_handshake_failures_total",
        Kind::Counter,
        "TLS handshakes with clients that failed, by reason.",
    );
    for (listener, handshakes) in listeners {
        for why in Failure::ALL {
            let labels = [("listener", *listener), ("reason", why.word())];
            metric.count(&labels, handshakes.failed[why as usize].load(Ordering::Relaxed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_a_number_of_its_own() {
        let numbers: Vec<_> = Agreed::all().map(Agreed::number).collect();
        assert_eq!(numbers, (0..DONE).collect::<Vec<_>>());
    }

    #[test]
    fn what_has_happened_is_listed() {
        let (handshakes, mut text) = (Handshakes::default(), Text::default());
        let agreed = Agreed { version: Version::Tls13, group: Group::X25519, alpn: Alpn::H2, resumed: true };
        handshakes.done(agreed);
        handshakes.failed(Failure::Alpn);
        write(&mut text, &[("web", &handshakes)]);
        let text = text.finish();
        let line = "proxy_now_tls_handshakes_total{listener=\"web\",version=\"1.3\",group=\"X25519\",\
                    alpn=\"h2\",resumed=\"yes\"} 1\n";
        assert!(text.contains(line), "{text}");
        let line = "proxy_now_tls_handshake_failures_total{listener=\"web\",reason=\"alpn\"} 1\n";
        assert!(text.contains(line), "{text}");
        assert_eq!(text.matches("handshakes_total{").count(), 1);
    }
}
