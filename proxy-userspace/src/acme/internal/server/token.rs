//! Random words: nonces, tokens, and parts of addresses.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// 128 bits, as RFC 8555 §8.1 wants of tokens.
const BYTES: usize = 16;

/// A word that nobody can guess, base64url.
pub(super) fn random() -> Box<str> {
    let mut bytes = [0; BYTES];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness: keys have been made");
    URL_SAFE_NO_PAD.encode(bytes).into()
}
