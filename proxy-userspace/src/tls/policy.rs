//! Versions, ciphers and groups by name: Mozilla's "modern" and "intermediate", without what nobody needs any more.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{cipher_suite as suite, default_provider, kx_group as group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion, version};

use crate::config::TlsPolicy;

/// TLS 1.3 (RFC 8446 §B.4): all three, the client's order. Who has no AES in hardware asks for ChaCha20 first.
const TLS13: [SupportedCipherSuite; 3] =
    [suite::TLS13_AES_128_GCM_SHA256, suite::TLS13_AES_256_GCM_SHA384, suite::TLS13_CHACHA20_POLY1305_SHA256];

/// TLS 1.2: forward secrecy and AEAD only (RFC 9325 §4.2).
const TLS12: [SupportedCipherSuite; 6] = [
    suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// The hybrid first: what is recorded today is not read by a quantum computer later.
const GROUPS: [&dyn SupportedKxGroup; 4] =
    [group::X25519MLKEM768, group::X25519, group::SECP256R1, group::SECP384R1];

/// Ciphers and groups of a policy, on aws-lc-rs.
pub(super) fn provider(policy: TlsPolicy) -> Arc<CryptoProvider> {
    let cipher_suites = match policy {
        TlsPolicy::Modern => TLS13.to_vec(),
        TlsPolicy::Intermediate => [&TLS13[..], &TLS12[..]].concat(),
    };
    Arc::new(CryptoProvider { cipher_suites, kx_groups: GROUPS.to_vec(), ..default_provider() })
}

static MODERN: [&SupportedProtocolVersion; 1] = [&version::TLS13];
static INTERMEDIATE: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];

/// Versions of a policy.
pub(super) fn versions(policy: TlsPolicy) -> &'static [&'static SupportedProtocolVersion] {
    match policy {
        TlsPolicy::Modern => &MODERN,
        TlsPolicy::Intermediate => &INTERMEDIATE,
    }
}
