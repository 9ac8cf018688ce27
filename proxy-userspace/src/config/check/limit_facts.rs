//! What can be wrong with limits, in words.

use std::fmt;

use ipnet::IpNet;
use proxy_common::limits::{LIMITS, PLAN_RULES};

use crate::config::diagnostic::Fact;
use crate::config::limit::{LimitAction, Measure, Per};
use crate::config::nearest::{instead, list, nearest};

#[derive(Debug, thiserror::Error)]
#[error("limit {name:?} counts nothing")]
pub(super) struct Nothing<'a> {
    pub(super) name: &'a str,
}

impl Fact for Nothing<'_> {
    fn help(&self) -> Option<String> {
        let measures = list(Measure::ALL.map(Measure::name));
        Some(format!("say how much of what is let through: connections = \"100/s\"; there are: {measures}"))
    }
}

pub(super) struct NoSuchListener<'a> {
    pub(super) limit: &'a str,
    pub(super) name: &'a str,
    pub(super) known: &'a [String],
}

impl fmt::Display for NoSuchListener<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, name, .. } = self;
        write!(f, "limit {limit:?} names the listener {name:?}, and there is none of that name")
    }
}

impl Fact for NoSuchListener<'_> {
    fn help(&self) -> Option<String> {
        Some(instead("listener", "listeners are", self.name, self.known))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("listener {table:?} is not bound to two families that {name:?} could be one of")]
pub(super) struct NoFamily<'a> {
    pub(super) name: &'a str,
    pub(super) table: &'a str,
}

impl Fact for NoFamily<'_> {
    fn help(&self) -> Option<String> {
        Some(format!("write it as: {:?}", self.table))
    }
}

pub(super) struct NoSuchRoute<'a> {
    pub(super) limit: &'a str,
    pub(super) name: &'a str,
    pub(super) known: &'a [String],
}

impl fmt::Display for NoSuchRoute<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, name, .. } = self;
        write!(f, "limit {limit:?} names the route {name:?}, and there is none of that name")
    }
}

impl Fact for NoSuchRoute<'_> {
    fn help(&self) -> Option<String> {
        let known = || self.known.iter().map(String::as_str);
        Some(match nearest(self.name, known()) {
            Some(name) => format!("did you mean {name:?}?"),
            None if self.known.is_empty() => format!("give a [[route]] the name: name = {:?}", self.name),
            None => {
                format!("give a [[route]] the name: name = {:?}; routes are: {}", self.name, list(known()))
            }
        })
    }
}

pub(super) struct PerNot<'a> {
    pub(super) name: &'a str,
    pub(super) measure: Measure,
    pub(super) per: &'a Per,
}

impl fmt::Display for PerNot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, measure, per } = self;
        let why = match measure {
            Measure::Handshakes => "a handshake has no request yet",
            Measure::Connections | Measure::Concurrent => "they are counted before anything is read of them",
            _ => "the kernel knows addresses only",
        };
        write!(f, "limit {name:?} cannot count {} per {:?}: {why}", measure.name(), per.text())
    }
}

impl Fact for PerNot<'_> {
    fn help(&self) -> Option<String> {
        let (measure, apart) = (self.measure.name(), "or make a limit of its own for requests");
        Some(match self.measure {
            Measure::Handshakes => format!("count {measure} per ip, subnet/N, listener, sni or ja4, {apart}"),
            _ => format!("count {measure} per ip, subnet/N, listener or backend, {apart}"),
        })
    }
}

pub(super) struct ActionNot<'a> {
    pub(super) name: &'a str,
    pub(super) measure: Measure,
    pub(super) action: LimitAction,
}

impl fmt::Display for ActionNot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, measure, action } = self;
        write!(f, "limit {name:?} counts {}, and {:?} is no action for that", measure.name(), action.name())
    }
}

impl Fact for ActionNot<'_> {
    fn help(&self) -> Option<String> {
        let actions = list(self.measure.actions().iter().map(|action| action.name()));
        let measure = self.measure.name();
        Some(format!("actions for {measure} are: {actions}; make a limit of its own for {measure}"))
    }
}

pub(super) struct NotHere<'a> {
    pub(super) name: &'a str,
    pub(super) action: LimitAction,
    pub(super) why: &'static str,
}

impl fmt::Display for NotHere<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, action, why } = self;
        write!(f, "limit {name:?}: {:?} cannot be done on its listeners: {why}", action.name())
    }
}

impl Fact for NotHere<'_> {
    fn help(&self) -> Option<String> {
        Some(match self.action {
            LimitAction::Close => "write it as: action = \"reset\", or \"drop\"".to_owned(),
            _ => "write it as: action = \"drop\"".to_owned(),
        })
    }
}

pub(super) struct RouteNot<'a> {
    pub(super) name: &'a str,
    pub(super) measure: Measure,
}

impl fmt::Display for RouteNot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, measure } = self;
        write!(f, "limit {name:?} is for a route and counts {}: only requests have a route", measure.name())
    }
}

impl Fact for RouteNot<'_> {
    fn help(&self) -> Option<String> {
        Some(format!("remove route, or make a limit of its own for {}", self.measure.name()))
    }
}

/// A listener has nothing of what a limit counts.
pub(super) struct CountedNowhere<'a> {
    pub(super) name: &'a str,
    pub(super) measure: Measure,
    pub(super) per: &'a Per,
    pub(super) listener: &'a str,
    pub(super) speaks: &'static str,
}

impl fmt::Display for CountedNowhere<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, measure, per, listener, speaks } = self;
        let (measure, per) = (measure.name(), per.text());
        write!(
            f,
            "limit {name:?} counts {measure} per {per:?}, and listener {listener:?} ({speaks}) has none"
        )
    }
}

impl Fact for CountedNowhere<'_> {
    fn help(&self) -> Option<String> {
        let measure = self.measure.name();
        Some(match (self.measure, self.per) {
            (Measure::Handshakes, _) => "handshakes are counted on https listeners".to_owned(),
            (_, Per::Sni | Per::Ja4) => format!("{measure} per sni or ja4 are counted on https listeners"),
            (Measure::Requests | Measure::Bandwidth, _) => {
                "requests and bandwidth are counted on http and https listeners".to_owned()
            }
            (_, Per::Backend) => format!("{measure} per backend are counted on tcp and udp listeners"),
            _ => format!("{measure} are counted on listeners with an address"),
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("limit {name:?} counts {}, and no listener has any", measure.name())]
pub(super) struct NothingOfIt<'a> {
    pub(super) name: &'a str,
    pub(super) measure: Measure,
}

impl Fact for NothingOfIt<'_> {
    fn help(&self) -> Option<String> {
        Some(format!("remove {}, or add a listener that has them", self.measure.name()))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("limit {name:?} counts packets or bytes, and there is no [kernel] that sees them")]
pub(super) struct NeedsKernel<'a> {
    pub(super) name: &'a str,
}

impl Fact for NeedsKernel<'_> {
    fn help(&self) -> Option<String> {
        Some("say which interfaces packets arrive on: [kernel] interfaces = [\"eth0\"]".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("limit {name:?} is for nobody of this family: {network} is everybody")]
pub(super) struct ExemptAll<'a> {
    pub(super) name: &'a str,
    pub(super) network: IpNet,
}

impl Fact for ExemptAll<'_> {
    fn help(&self) -> Option<String> {
        Some("name those who are exempt; to try a limit there is action = \"observe\"".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("there are more than {LIMITS} limits")]
pub(super) struct TooManyLimits;

impl Fact for TooManyLimits {
    fn help(&self) -> Option<String> {
        Some("a limit without listener holds for all of them, each key by itself".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("more than {PLAN_RULES} things are counted of the packets of listener {listener:?}")]
pub(super) struct TooManyRules<'a> {
    pub(super) listener: &'a str,
}

impl Fact for TooManyRules<'_> {
    fn help(&self) -> Option<String> {
        Some(
            "packets, bytes, connections and concurrent of each limit count as one each; remove some"
                .to_owned(),
        )
    }
}
