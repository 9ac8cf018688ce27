//! Facts about names, with a name server of our own.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use tokio::net::UdpSocket;

use super::resolve::{Server, resolve};
use super::*;

/// Answers every A question with these, which are true for a second; without any it says that there is no such name.
async fn name_server(addresses: Arc<Mutex<Vec<[u8; 4]>>>) -> Server {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut udp = ConnectionConfig::udp();
    udp.port = socket.local_addr().unwrap().port();
    let mut server = NameServerConfig::udp([127, 0, 0, 1].into());
    server.connections = vec![udp];
    tokio::spawn(async move {
        let mut question = [0; 512];
        loop {
            let (length, from) = socket.recv_from(&mut question).await.unwrap();
            let answer = answer(&question[..length], &addresses.lock().unwrap());
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    Server::Given(ResolverConfig::from_parts(None, Vec::new(), vec![server]))
}

/// RFC 1035 §4.1.
fn answer(question: &[u8], addresses: &[[u8; 4]]) -> Vec<u8> {
    let name = question[12..].iter().position(|&byte| byte == 0).unwrap() + 13;
    let wants_a = question[name..name + 2] == [0, 1];
    let addresses = if wants_a { addresses } else { &[] };
    let code = if addresses.is_empty() { 3 } else { 0 };
    let mut answer = question[..2].to_vec();
    answer.extend([0x81, 0x80 | code, 0, 1, 0, addresses.len() as u8, 0, 0, 0, 0]);
    answer.extend(&question[12..name + 4]);
    for address in addresses {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        answer.extend(address);
    }
    answer
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[tokio::test]
async fn changes_are_reported_and_a_name_that_is_gone_keeps_its_addresses() {
    let addresses = Arc::new(Mutex::new(vec![[10, 0, 0, 2], [10, 0, 0, 1], [10, 0, 0, 2]]));
    let server = name_server(addresses.clone()).await;
    let (mut lookups, mut reports) = Lookups::by(server.clone());
    lookups.set(["app.test".into()].into());
    let first = reports.recv().await.unwrap();
    assert_eq!((&*first.host, first.addresses), ("app.test", ips(&["10.0.0.1", "10.0.0.2"])));
    addresses.lock().unwrap().clear();
    assert!(resolve(&server, "app.test").await.is_err());
    *addresses.lock().unwrap() = vec![[10, 0, 0, 3]];
    assert_eq!(reports.recv().await.unwrap().addresses, ips(&["10.0.0.3"]));
    lookups.set(["app.test".into(), "other.test".into()].into());
    assert_eq!(&*reports.recv().await.unwrap().host, "other.test");
    lookups.set([].into());
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_reported_once_as_such() {
    let addresses = Arc::new(Mutex::new(Vec::new()));
    let server = name_server(addresses.clone()).await;
    let (mut lookups, mut reports) = Lookups::by(server);
    lookups.set(["app.test".into()].into());
    assert!(reports.recv().await.unwrap().addresses.is_empty());
    addresses.lock().unwrap().push([10, 0, 0, 1]);
    assert_eq!(reports.recv().await.unwrap().addresses, ips(&["10.0.0.1"]));
}

#[tokio::test]
async fn a_ttl_is_kept_within_bounds() {
    let server = name_server(Arc::new(Mutex::new(vec![[10, 0, 0, 1]]))).await;
    let (_, ttl) = resolve(&server, "app.test").await.unwrap();
    assert_eq!(ttl.as_secs(), 1);
}
