//! `proxy-now ban`: who is kept out.

use std::net::IpAddr;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::context::Context;
use super::daemon::{refused, try_ask};
use super::human::span;
use super::outcome::Outcome;
use super::output::{Output, Table, left, right};
use crate::admin::ClientError;
use crate::admin::bans::{AddBans, BanList, BansAnswer, BansChanged, BansRequest, RemoveBans};
use crate::config::parse_duration;
use crate::control;

/// Options of `ban`.
#[derive(Debug, Args)]
pub(super) struct Ban {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Keep addresses or networks out, from the next packet on
    Add(Add),
    /// Let them in again
    Remove(Remove),
    /// Show who is kept out, by whom and why, for how much longer, and how often it was met
    List(List),
}

#[derive(Debug, Args)]
struct Add {
    /// Addresses or networks, such as 192.0.2.7 or 2001:db8::/32
    #[arg(required = true, value_name = "CIDR")]
    prefixes: Vec<String>,
    /// How long [default: for ever]
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    time: Option<Duration>,
    /// Why: it is shown by `ban list`
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,
    /// Also what covers your own session, everybody, or addresses that the configuration needs
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
struct Remove {
    /// Networks, as `ban list` shows them
    #[arg(required = true, value_name = "CIDR")]
    prefixes: Vec<String>,
}

#[derive(Debug, Args)]
struct List {
    /// Also those of lists and of the configuration
    #[arg(long)]
    all: bool,
}

impl Ban {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let request = match self.command {
            Command::Add(add) => BansRequest::Add(AddBans {
                prefixes: add.prefixes,
                for_ms: add.time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
                why: add.why,
                force: add.force,
                session: session(),
            }),
            Command::Remove(Remove { prefixes }) => BansRequest::Remove(RemoveBans { prefixes }),
            Command::List(List { all }) => BansRequest::List { all },
        };
        let verb = if matches!(request, BansRequest::Add(_)) { "banned" } else { "no longer banned" };
        let answer = match try_ask(context, async |daemon| daemon.bans(&request).await)? {
            Ok(answer) => answer,
            Err(ClientError::NoDaemon(_)) => {
                let config = context.load_config().ok();
                control::bans::bans_without_daemon(&context.pin_dir(), config.as_ref(), request)?
            }
            Err(error) => return Err(refused(context, error)),
        };
        match &answer {
            BansAnswer::List(list) => context.output.answer(list, |output| show(output, list)),
            BansAnswer::Changed(changed) => {
                context.output.answer(changed, |output| tell(output, changed, verb));
            }
        }
        Ok(())
    }
}

/// Where this session comes from (sshd(8), "ENVIRONMENT").
fn session() -> Option<IpAddr> {
    let of = |name| std::env::var(name).ok()?.split_whitespace().next()?.parse().ok();
    of("SSH_CONNECTION").or_else(|| of("SSH_CLIENT"))
}

fn tell(output: &Output, changed: &BansChanged, verb: &str) {
    for ban in &changed.bans {
        let note = ban.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
        let verb = if ban.changed { verb } else { "unchanged" };
        output.line(format_args!("{} {verb}{note}", ban.prefix));
    }
}

fn show(output: &Output, list: &BanList) {
    let mut table = Table::new([left("NETWORK"), left("FOR"), right("HITS"), left("BY"), left("WHY")]);
    for ban in &list.bans {
        let time = ban.seconds_left.map_or_else(|| "ever".to_owned(), span);
        let by = match ban.uid {
            Some(uid) if ban.by == "operator" => format!("operator (uid {uid})"),
            _ => ban.by.clone(),
        };
        table.row([ban.prefix.clone(), time, ban.hits.to_string(), by, ban.why.clone()]);
    }
    if table.is_empty() {
        output.line("nobody is banned");
    } else {
        output.table(&table);
    }
}
