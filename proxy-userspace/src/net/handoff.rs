//! Why a connection that is relayed is not handed to whoever could go on with it without us. Knows neither who relays
//! nor who takes them.

use std::net::SocketAddr;

/// What a relayed connection is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passed<'a> {
    /// The listener that took it, by its name.
    pub listener: &'a str,
    /// The backend, as its pool names it.
    pub backend: SocketAddr,
}

macro_rules! kept {
    ($( $(#[doc = $doc:literal])+ $variant:ident = $label:literal, $is_final:literal; )+) => {
        /// Why a connection stays with its relay.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
        #[error("{}", self.describe())]
        #[repr(u8)]
        pub enum Kept { $( $(#[doc = $doc])+ $variant ),+ }

        impl Kept {
            /// All of them, in their order.
            pub const ALL: &'static [Self] = &[ $( Self::$variant ),+ ];

            /// The word for it in metrics and in the CLI.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $( Self::$variant => $label ),+ }
            }

            /// One line for people.
            #[must_use]
            pub const fn describe(self) -> &'static str {
                match self { $( Self::$variant => concat!($($doc),+).trim_ascii_start() ),+ }
            }

            /// Whether it stays so for as long as the connection lives.
            #[must_use]
            pub const fn is_final(self) -> bool {
                match self { $( Self::$variant => $is_final ),+ }
            }
        }
    };
}

kept! {
    /// The listener says `handoff = false`.
    Off = "off", true;
    /// There is no kernel part, or it does not know the listener.
    NoKernel = "no_kernel", true;
    /// It was not made from a port of those that are kept for this.
    Unprepared = "unprepared", true;
    /// All ports that are kept for this were taken.
    Ports = "ports", true;
    /// Client and backend are not of one address family.
    Families = "families", true;
    /// One side has timestamps, the other has none.
    Timestamps = "timestamps", true;
    /// One side sends longer segments than the other takes.
    SegmentSize = "segment_size", true;
    /// Urgent data waits.
    Urgent = "urgent", false;
    /// Bytes are on their way that only this host can send again.
    Busy = "busy", false;
    /// One side has closed.
    Closing = "closing", true;
    /// One side is not reached by an interface of the kernel part.
    Way = "way", true;
    /// The flow table, or the table of connections that were handed over, is full.
    Full = "full", false;
    /// The kernel refused.
    Refused = "refused", true;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_reason_has_a_word_of_its_own_and_a_line() {
        let words: HashSet<_> = Kept::ALL.iter().map(|kept| kept.label()).collect();
        assert_eq!(words.len(), Kept::ALL.len());
        assert!(Kept::ALL.iter().enumerate().all(|(index, kept)| *kept as usize == index));
        assert_eq!(Kept::Off.to_string(), "The listener says `handoff = false`.");
    }
}
