//! What is asked and answered about bans, as it stands in JSON.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// What can be asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BansRequest {
    /// `GET /bans`, with `?all=true` those of lists and the configuration, too.
    List {
        /// Also those.
        all: bool,
    },
    /// `POST /bans/add`
    Add(AddBans),
    /// `POST /bans/remove`
    Remove(RemoveBans),
}

/// Who is to be banned.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddBans {
    /// Addresses and networks.
    pub prefixes: Vec<String>,
    /// For so many milliseconds; none: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
    /// Why.
    #[serde(default)]
    pub why: String,
    /// Also what would be refused.
    #[serde(default)]
    pub force: bool,
    /// Where the operator's own session comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<IpAddr>,
}

/// Whose bans are to end.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveBans {
    /// Networks, as `ban list` shows them.
    pub prefixes: Vec<String>,
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BansAnswer {
    /// To [`BansRequest::List`].
    List(BanList),
    /// To [`BansRequest::Add`] and [`BansRequest::Remove`].
    Changed(BansChanged),
}

/// Bans.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct BanList {
    /// By network.
    pub bans: Vec<BanRow>,
}

/// A ban.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BanRow {
    /// Who is kept out.
    pub prefix: String,
    /// For so many more seconds; none: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
    /// Packets and connections that met it.
    pub hits: u32,
    /// `operator`, `auto`, `config`, or the list's name.
    pub by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// The operator's user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Since when, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
}

/// What became of each network.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct BansChanged {
    /// In the order in which they were named.
    pub bans: Vec<BanChanged>,
}

/// What became of a network.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BanChanged {
    /// Which.
    pub prefix: String,
    /// Whether anything changed.
    pub changed: bool,
    /// What is to be known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}
