//! What limits are told: rates, and whose traffic is counted together.

use serde_json::{Value as Json, json};

use super::parsed::{Parsed, PlainText, bad};
use super::text::check_name;
use super::wrong::{text, wrong_value};
use crate::config::diagnostic::Fact;
use crate::config::limit::{Measure, Per, Rate};
use crate::config::nearest::nearest;
use crate::config::report::{Report, Reported};
use crate::config::table::{Kind, Place};
use crate::config::template::{is_token, parse_template};
use crate::config::unit::parse_rate;

/// How much of a measure is let through.
#[derive(Debug)]
pub(in crate::config) struct RateOf(pub(in crate::config) Measure);

impl RateOf {
    const fn example(&self) -> &'static str {
        if self.0.is_in_bytes() { "\"10MB/s burst 20MB\"" } else { "\"100/s burst 200\"" }
    }
}

impl Kind for RateOf {
    type Value = Rate;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<Rate, Reported> {
        let text = text(place, &self.wanted(), self.example(), report)?;
        parse_rate(self.0, text).map_err(|fact| wrong_value(place, &fact, fact.help(), report))
    }

    fn wanted(&self) -> String {
        if self.0.is_in_bytes() { "a rate in bytes".to_owned() } else { "a rate".to_owned() }
    }

    fn schema(&self) -> Json {
        let unit = if self.0.is_in_bytes() { " *([KMGT]iB|[kMGT]?B)?" } else { "" };
        let pattern = format!("^ *[0-9]+{unit} */ *[smhd]( +burst +[0-9]+{unit})? *$");
        json!({ "type": "string", "pattern": pattern })
    }
}

/// Words that [`PER`] knows, as people are told of them.
const WORDS: [&str; 9] =
    ["ip", "subnet/24/64", "listener", "backend", "sni", "ja4", "route", "header.NAME", "cookie.NAME"];

/// The first bits of IPv6 addresses that are counted together, if nothing is said: what one customer has.
const V6_BITS: u8 = 64;

/// Whose traffic is counted together.
pub(in crate::config) const PER: Parsed<Per> = Parsed {
    wanted: "a word that says whose traffic is counted together, or a text with variables",
    example: "\"ip\"",
    pattern: "^(ip|subnet/[0-9]{1,2}(/[0-9]{1,3})?|listener|backend|sni|ja4|route|header\\..+|cookie\\..+|.*\\{.*)$",
    parse: |text| match text {
        "ip" => Ok(Per::Ip),
        "listener" => Ok(Per::Listener),
        "backend" => Ok(Per::Backend),
        "sni" => Ok(Per::Sni),
        "ja4" => Ok(Per::Ja4),
        "route" => Ok(Per::Route),
        "subnet" => bad(BadPer::Subnet),
        _ => longer(text),
    },
};

fn longer(text: &str) -> Result<Per, Box<dyn Fact>> {
    if text.contains(['{', '}']) {
        return parse_template(text, false).map(Per::Template).or_else(bad);
    }
    if let Some(lengths) = text.strip_prefix("subnet/") {
        return subnet(lengths).map_or_else(|| bad(BadPer::Subnet), Ok);
    }
    if let Some(name) = text.strip_prefix("header.") {
        return name.parse().map(Per::Header).or_else(|_| bad(BadPer::Name));
    }
    match text.strip_prefix("cookie.") {
        Some(name) if is_token(name) => Ok(Per::Cookie(name.into())),
        Some(_) => bad(BadPer::Name),
        None => bad(BadPer::Unknown(text.into())),
    }
}

fn subnet(lengths: &str) -> Option<Per> {
    let length = |text: &str, most: u8| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u8>().ok().filter(|length| digits && *length <= most)
    };
    Some(match lengths.split_once('/') {
        Some((v4, v6)) => Per::Subnet { v4: length(v4, 32)?, v6: length(v6, 128)? },
        None => Per::Subnet { v4: length(lengths, 32)?, v6: V6_BITS },
    })
}

/// The name of a listener; of one that is bound to both families, with `.v4` or `.v6` behind it, one of both.
pub(in crate::config) const LISTENER_NAME: PlainText = Parsed {
    wanted: "the name of a listener",
    example: "\"web\"",
    pattern: "^[A-Za-z0-9_-]{1,60}(\\.v[46])?$",
    parse: |text| {
        let name = text.strip_suffix(".v4").or_else(|| text.strip_suffix(".v6")).unwrap_or(text);
        if check_name(name).is_ok() { Ok(text.into()) } else { bad(BadListener) }
    },
};

#[derive(Debug, thiserror::Error)]
#[error(
    "a listener's name has 1 to 60 letters, digits, - and _; .v4 or .v6 behind it names one of its families"
)]
struct BadListener;

impl Fact for BadListener {}

/// Why a text does not say whose traffic is counted together.
#[derive(Debug, thiserror::Error)]
enum BadPer {
    #[error("there is no such word here")]
    Unknown(Box<str>),
    #[error("a subnet has the number of its first bits: of IPv4 0 to 32, then of IPv6 0 to 128")]
    Subnet,
    #[error("it names nothing that a request can have")]
    Name,
}

impl Fact for BadPer {
    fn help(&self) -> Option<String> {
        let known = || WORDS.join(", ");
        Some(match self {
            Self::Unknown(word) => match nearest(word, WORDS) {
                Some(right) => {
                    format!("did you mean {right:?}? Allowed: {}, or a text like \"{{client_ip}}\"", known())
                }
                None => format!("allowed: {}, or a text like \"{{client_ip}}\"", known()),
            },
            Self::Subnet => "write it as: \"subnet/24\" or \"subnet/24/56\"".to_owned(),
            Self::Name => "write it as: \"header.x-user\" or \"cookie.session\"".to_owned(),
        })
    }
}
