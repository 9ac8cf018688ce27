//! A key of session tickets.
//!
//! A ticket: the key's name (16 bytes), a nonce (12), the session encrypted, the tag (16).

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use aws_lc_rs::rand;

const NAME: usize = 16;
const KEY: usize = 32;
const TAG: usize = 16;

/// A key of one period.
pub(super) struct TicketKey {
    period: u64,
    name: [u8; NAME],
    /// SIV, since nonces are drawn at random, by several machines perhaps, for more tickets than 96 bits are enough
    /// for with GCM (RFC 8452 §1).
    key: LessSafeKey,
}

impl TicketKey {
    /// Bytes that a ticket is longer than its session.
    pub(super) const OVERHEAD: usize = NAME + NONCE_LEN + TAG;

    /// A new one. None without random numbers.
    pub(super) fn random(period: u64) -> Option<Self> {
        let (mut name, mut key) = ([0; NAME], [0; KEY]);
        rand::fill(&mut name).ok()?;
        rand::fill(&mut key).ok()?;
        Self::of(period, name, &key)
    }

    fn of(period: u64, name: [u8; NAME], key: &[u8; KEY]) -> Option<Self> {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, key).ok()?);
        Some(Self { period, name, key })
    }

    /// When it encrypts.
    pub(super) fn period(&self) -> u64 {
        self.period
    }

    /// Whether a ticket says that it is this key's.
    pub(super) fn made(&self, ticket: &[u8]) -> bool {
        ticket.starts_with(&self.name)
    }

    /// A ticket.
    pub(super) fn seal(&self, scope: &[u8], session: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut ticket = Vec::with_capacity(session.len() + Self::OVERHEAD);
        ticket.extend_from_slice(&self.name);
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(session);
        let sealed = &mut ticket[NAME + NONCE_LEN..];
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(scope), sealed).ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    /// The session of a ticket; none: it is not ours, or not of this scope.
    pub(super) fn open(&self, scope: &[u8], ticket: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = ticket.get(NAME..)?.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut session = sealed.to_vec();
        let len = self.key.open_in_place(nonce, Aad::from(scope), &mut session).ok()?.len();
        session.truncate(len);
        Some(session)
    }
}

/// What keys are derived from on machines that share it.
#[derive(Clone)]
pub(super) struct Secret {
    prk: Arc<Prk>,
    /// To see whether it changed, without keeping it.
    digest: [u8; 32],
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Secret {
    /// Of at least 32 random bytes.
    pub(super) fn new(bytes: &[u8]) -> Self {
        let mut own = [0; 32];
        own.copy_from_slice(digest(&SHA256, bytes).as_ref());
        let prk = Salt::new(HKDF_SHA256, b"proxy-now session tickets").extract(bytes);
        Self { prk: Arc::new(prk), digest: own }
    }

    /// The key of a period (RFC 5869): the same on every machine.
    pub(super) fn key(&self, period: u64, rotate: std::time::Duration) -> Option<TicketKey> {
        let when = [period.to_be_bytes(), rotate.as_secs().to_be_bytes()].concat();
        let (mut name, mut key) = ([0; NAME], [0; KEY]);
        self.prk.expand(&[b"name", &when], Length(NAME)).ok()?.fill(&mut name).ok()?;
        self.prk.expand(&[b"key", &when], Length(KEY)).ok()?.fill(&mut key).ok()?;
        TicketKey::of(period, name, &key)
    }
}

/// Bytes that are derived.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}
