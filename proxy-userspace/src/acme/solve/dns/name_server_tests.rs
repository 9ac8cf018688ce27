//! A name server that holds one zone, by UDP and TCP, and takes updates: for tests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::tsig::TsigError;
use hickory_proto::rr::rdata::{A, CNAME, NS, SOA, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType, TSigResponseContext, TSigner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use crate::acme::clock::Clock;

/// Where it is, and what it says.
pub(in super::super) struct NameServer {
    /// By UDP and TCP.
    pub(in super::super) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    zone: Name,
    key: Option<(TSigner, Clock)>,
    records: BTreeMap<Name, Vec<RData>>,
    truncate: bool,
    forge: bool,
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

impl NameServer {
    /// Anybody may change the zone.
    pub(in super::super) async fn start(zone: &str) -> Self {
        Self::with(zone, None).await
    }

    /// Who signs with this key may.
    pub(in super::super) async fn guarded(zone: &str, key: TSigner, clock: Clock) -> Self {
        Self::with(zone, Some((key, clock))).await
    }

    async fn with(zone: &str, key: Option<(TSigner, Clock)>) -> Self {
        let (tcp, udp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (tcp, udp);
            }
        };
        let address = tcp.local_addr().unwrap();
        let state = State { zone: name(zone), key, records: BTreeMap::new(), truncate: false, forge: false };
        let state = Arc::new(Mutex::new(state));
        tokio::spawn(by_udp(udp, Arc::clone(&state)));
        tokio::spawn(by_tcp(tcp, Arc::clone(&state)));
        Self { address, state }
    }

    pub(in super::super) fn cname(&self, at: &str, to: &str) {
        self.put(at, RData::CNAME(CNAME(name(to))));
    }

    pub(in super::super) fn txt(&self, at: &str, value: &str) {
        self.put(at, RData::TXT(TXT::new(vec![value.to_owned()])));
    }

    fn put(&self, at: &str, data: RData) {
        self.state.lock().unwrap().records.entry(name(at)).or_default().push(data);
    }

    /// What is at a name.
    pub(in super::super) fn texts(&self, at: &Name) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let records = state.records.get(at).into_iter().flatten();
        records.map(|data| data.to_string().trim_matches('"').to_owned()).collect()
    }

    /// All answers by UDP are cut off from now on.
    pub(in super::super) fn truncate_udp(&self) {
        self.state.lock().unwrap().truncate = true;
    }

    /// No answer is signed from now on.
    pub(in super::super) fn forge(&self) {
        self.state.lock().unwrap().forge = true;
    }
}

async fn by_udp(socket: UdpSocket, state: Arc<Mutex<State>>) {
    let mut datagram = [0; 4096];
    loop {
        let (length, from) = socket.recv_from(&mut datagram).await.unwrap();
        let answer = {
            let mut state = state.lock().unwrap();
            if state.truncate {
                let mut cut = Message::from_vec(&datagram[..length]).unwrap();
                cut.metadata.message_type = MessageType::Response;
                cut.truncate().to_vec().unwrap()
            } else {
                state.answer(&datagram[..length])
            }
        };
        socket.send_to(&answer, from).await.unwrap();
    }
}

async fn by_tcp(listener: TcpListener, state: Arc<Mutex<State>>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let length = stream.read_u16().await.unwrap();
        let mut message = vec![0; length.into()];
        stream.read_exact(&mut message).await.unwrap();
        let answer = state.lock().unwrap().answer(&message);
        stream.write_u16(answer.len().try_into().unwrap()).await.unwrap();
        stream.write_all(&answer).await.unwrap();
    }
}

impl State {
    fn answer(&mut self, bytes: &[u8]) -> Vec<u8> {
        let asked = Message::from_vec(bytes).unwrap();
        let mut answer = Message::response(asked.id, asked.op_code);
        answer.add_queries(asked.queries.iter().cloned());
        if asked.op_code == OpCode::Update {
            self.update(&asked, bytes, &mut answer);
        } else {
            self.look_up(&asked, &mut answer);
        }
        answer.to_vec().unwrap()
    }

    fn look_up(&self, asked: &Message, answer: &mut Message) {
        let (at, kind) = (asked.queries[0].name(), asked.queries[0].query_type());
        if !self.zone.zone_of(at) {
            answer.metadata.response_code = ResponseCode::Refused;
            return;
        }
        let soa = SOA::new(self.zone.clone(), self.zone.clone(), 1, 60, 60, 60, 60);
        let soa = Record::from_rdata(self.zone.clone(), 60, RData::SOA(soa));
        let own = NS(self.zone.prepend_label("ns").unwrap());
        match kind {
            RecordType::SOA if *at == self.zone => drop(answer.add_answer(soa.clone())),
            RecordType::NS if *at == self.zone => {
                answer.add_answer(Record::from_rdata(at.clone(), 60, RData::NS(own)));
            }
            RecordType::A if *at == own.0 => {
                answer.add_answer(Record::from_rdata(at.clone(), 60, RData::A(A::new(127, 0, 0, 1))));
            }
            _ => {
                let here =
                    self.records.get(at).into_iter().flatten().filter(|data| data.record_type() == kind);
                answer.add_answers(here.map(|data| Record::from_rdata(at.clone(), 60, data.clone())));
                if answer.answers.is_empty() {
                    answer.add_authority(soa);
                }
            }
        }
    }

    /// RFC 2136 §3.4.2, RFC 8945 §5.2.
    fn update(&mut self, asked: &Message, bytes: &[u8], answer: &mut Message) {
        if let Some((key, clock)) = self.key.clone() {
            let (id, time) = (asked.id, clock.unix());
            let Ok((mac, ..)) = key.verify_message_byte(bytes, None, true) else {
                answer.metadata.response_code = ResponseCode::NotAuth;
                if asked.signature().is_some() {
                    let unsigned = answer.to_vec().unwrap();
                    let bad = TSigResponseContext::bad_signature(id, time, key).sign(&unsigned).unwrap();
                    assert_eq!(bad.data.error, Some(TsigError::BadSig));
                    answer.set_signature(bad);
                }
                return;
            };
            if !self.forge {
                let unsigned = answer.to_vec().unwrap();
                let tsig = TSigResponseContext::new(id, time, key, mac, None).sign(&unsigned).unwrap();
                answer.set_signature(tsig);
            }
        }
        assert_eq!(asked.queries[0].name(), &self.zone);
        for record in &asked.authorities {
            let here = self.records.entry(record.name.clone()).or_default();
            match record.dns_class {
                DNSClass::IN => here.push(record.data.clone()),
                DNSClass::NONE => here.retain(|data| *data != record.data),
                other => panic!("an update of class {other}"),
            }
        }
    }
}
