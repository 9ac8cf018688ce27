//! Frames of Initial packets (RFC 9000 §12.5): few kinds are allowed there.

use super::crypto::Crypto;
use super::fault::NoFlight;
use super::number::Cursor;

const PADDING: u64 = 0;
const PING: u64 = 1;
const ACK: u64 = 2;
const ACK_ECN: u64 = 3;
const CRYPTO: u64 = 6;
const CONNECTION_CLOSE: u64 = 0x1c;

/// Takes from the frames what they bring of the message.
pub(super) fn take(frames: &[u8], crypto: &mut Crypto) -> Result<(), NoFlight> {
    // A packet without any frame breaks the rules (RFC 9000 §12.4).
    if frames.is_empty() {
        return Err(NoFlight::Malformed);
    }
    let mut rest = Cursor(frames);
    while !rest.0.is_empty() {
        one(&mut rest, crypto)?;
    }
    Ok(())
}

fn one(rest: &mut Cursor<'_>, crypto: &mut Crypto) -> Result<(), NoFlight> {
    let mut number = || rest.number().ok_or(NoFlight::Malformed);
    match number()? {
        PADDING | PING => {}
        kind @ (ACK | ACK_ECN) => {
            let (_largest, _delay, ranges, _first) = (number()?, number()?, number()?, number()?);
            for _ in 0..ranges {
                let (_gap, _length) = (number()?, number()?);
            }
            if kind == ACK_ECN {
                let _marks = (number()?, number()?, number()?);
            }
        }
        CRYPTO => {
            let offset = number()?;
            let piece = rest.long().ok_or(NoFlight::Malformed)?;
            crypto.take(offset, piece)?;
        }
        CONNECTION_CLOSE => return Err(NoFlight::Closed),
        _ => return Err(NoFlight::Malformed),
    }
    Ok(())
}
