//! Who answers questions: the servers that the configuration names, or the system's.

use std::net::SocketAddr;

use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::read_system_conf;

use super::exchange::{NoAnswer, exchange};

/// No more servers than this are asked.
const MOST: usize = 8;
/// Where name servers are.
const PORT: u16 = 53;

/// Servers that answer questions about any name.
#[derive(Clone, Debug)]
pub(in super::super) struct Resolvers {
    servers: Vec<SocketAddr>,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum LookupError {
    #[error("this host knows no name server (/etc/resolv.conf): name one as `resolvers` of [acme.dns]")]
    NoServer,
    #[error("the question for {kind} of {name} has no answer: {last}")]
    NoAnswer { name: Box<Name>, kind: RecordType, last: NoAnswer },
    #[error("the question for {kind} of {name} is answered with {code} by {server}")]
    Refused { name: Box<Name>, kind: RecordType, server: SocketAddr, code: ResponseCode },
}

impl Resolvers {
    /// These, or the system's where there are none.
    pub(in super::super) fn new(given: &[SocketAddr]) -> Self {
        let mut servers = given.to_vec();
        if servers.is_empty() {
            match read_system_conf() {
                Ok((system, _)) => {
                    servers
                        .extend(system.name_servers().iter().map(|server| SocketAddr::new(server.ip, PORT)));
                }
                Err(error) => tracing::warn!("the system's name servers are not known: {error}"),
            }
        }
        servers.truncate(MOST);
        Self { servers }
    }

    /// The servers.
    pub(super) fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// What the first of them says that says something: the name has such records, or has none.
    pub(super) async fn ask(&self, name: &Name, kind: RecordType) -> Result<Message, LookupError> {
        let mut failed = Err(LookupError::NoServer);
        for &server in &self.servers {
            failed = match ask(server, name, kind, true).await {
                Ok(answer) => match answer.response_code {
                    ResponseCode::NoError | ResponseCode::NXDomain => return Ok(answer),
                    code => Err(LookupError::Refused { name: name.clone().into(), kind, server, code }),
                },
                Err(last) => Err(LookupError::NoAnswer { name: name.clone().into(), kind, last }),
            };
        }
        failed
    }
}

/// One question to one server.
pub(super) async fn ask(
    server: SocketAddr,
    name: &Name,
    kind: RecordType,
    recursive: bool,
) -> Result<Message, NoAnswer> {
    let mut message = Message::query();
    message.metadata.op_code = OpCode::Query;
    message.metadata.recursion_desired = recursive;
    let mut absolute = name.clone();
    absolute.set_fqdn(true);
    message.add_query(Query::query(absolute, kind));
    let bytes = message.to_vec().expect("a question without anything else fits");
    Ok(exchange(server, message.id, &bytes).await?.1)
}
