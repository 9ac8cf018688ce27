//! What is asked and answered about limits, as it stands in JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What can be asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LimitsRequest {
    /// `GET /limits`
    List,
    /// `GET /limits/top`
    Top,
    /// `POST /limits/set`
    Set(SetLimit),
    /// `POST /limits/reset`
    Reset(ResetLimit),
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LimitsAnswer {
    /// To [`LimitsRequest::List`].
    List(Limits),
    /// To [`LimitsRequest::Top`].
    Top(Top),
    /// To [`LimitsRequest::Set`] and [`LimitsRequest::Reset`].
    Changed(Changed),
}

/// How much a limit shall let through.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetLimit {
    /// The limit.
    pub limit: String,
    /// By measure, as the configuration has it: `"500/s burst 100"`, `"200"`.
    pub amounts: BTreeMap<String, String>,
}

/// What shall be forgotten.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResetLimit {
    /// The limit.
    pub limit: String,
    /// What this address has used up; none: what operators have set, and the file's word holds again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// All limits.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Limits {
    /// One for each measure of each limit, in the order of the file.
    pub limits: Vec<LimitRow>,
}

/// A measure of a limit.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LimitRow {
    /// The limit.
    pub limit: String,
    /// What it counts.
    pub measure: String,
    /// How much it lets through.
    pub amount: String,
    /// What the file says, where that is something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Whose traffic is counted together; none: no daemon runs, and the kernel part does not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<String>,
    /// What happens to what is too much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// It was within the limit.
    pub passed: u64,
    /// It was too much, and refused.
    pub refused: u64,
    /// It was too much, and let through: the limit only observes.
    pub observed: u64,
    /// It was too much, and the client is exempt.
    pub exempt: u64,
}

/// What was changed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Changed {
    /// The limit.
    pub limit: String,
    /// What is in force now, also where it was before.
    pub changes: Vec<AmountChange>,
    /// How many keys were forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forgotten: Option<usize>,
}

/// A measure that lets through something else.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct AmountChange {
    /// The measure.
    pub measure: String,
    /// What it let through.
    pub from: String,
    /// What it lets through now.
    pub to: String,
}

/// Who has been refused.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Top {
    /// Those with the most first.
    pub keys: Vec<LimitedKey>,
}

/// A key that has been refused.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct LimitedKey {
    /// The limit.
    pub limit: String,
    /// The measure.
    pub measure: String,
    /// Who: an address or network; of other keys what is known of them.
    pub key: String,
    /// How often, since it is remembered.
    pub refused: u64,
}
