//! Facts of tickets: periods, scopes, shared secrets.

use std::io::Write as _;

use super::*;

const SCOPE: Scope = [7; 32];

fn random() -> Tickets {
    Tickets::new(&TicketsConfig::default()).unwrap()
}

/// A folder of this test, and a secret in it.
fn shared(name: &str, secret: &[u8]) -> TicketsConfig {
    let file = std::env::temp_dir().join(format!("proxy-now-tickets-{}-{name}", std::process::id()));
    std::fs::File::create(&file).unwrap().write_all(secret).unwrap();
    TicketsConfig { key_file: Some(file), ..TicketsConfig::default() }
}

#[test]
fn a_ticket_is_read_in_its_period_and_the_next_and_then_no_more() {
    let tickets = random();
    let ticket = tickets.seal(0, &SCOPE, b"session").unwrap();
    assert!(memchr::memmem::find(&ticket, b"session").is_none());
    assert_eq!(tickets.open(0, &SCOPE, &ticket).as_deref(), Some(&b"session"[..]));
    assert_eq!(tickets.open(1, &SCOPE, &ticket).as_deref(), Some(&b"session"[..]));
    assert_eq!(tickets.open(2, &SCOPE, &ticket), None);
    assert_eq!(tickets.ring.load().keys.len(), 2);
    let later = tickets.seal(9, &SCOPE, b"session").unwrap();
    assert_eq!(tickets.ring.load().keys.len(), 1, "a key that slept through its time is gone");
    assert!(tickets.open(9, &SCOPE, &later).is_some());
}

#[test]
fn a_ticket_of_another_scope_or_a_changed_one_is_none() {
    let tickets = random();
    let ticket = tickets.seal(0, &SCOPE, b"session").unwrap();
    assert_eq!(tickets.open(0, &[8; 32], &ticket), None);
    assert_eq!(random().open(0, &SCOPE, &ticket), None);
    for i in 0..ticket.len() {
        let mut changed = ticket.clone();
        changed[i] ^= 1;
        assert_eq!(tickets.open(0, &SCOPE, &changed), None, "byte {i}");
        assert_eq!(tickets.open(0, &SCOPE, &ticket[..i]), None, "{i} bytes");
    }
}

#[test]
fn no_two_tickets_are_alike() {
    let tickets = random();
    assert_ne!(tickets.seal(0, &SCOPE, b"session"), tickets.seal(0, &SCOPE, b"session"));
}

#[test]
fn machines_with_one_secret_read_each_others_tickets_though_their_clocks_differ() {
    let config = shared("same", &[1; 32]);
    let (one, two) = (Tickets::new(&config).unwrap(), Tickets::new(&config).unwrap());
    for (made, read, works) in [(5, 5, true), (5, 6, true), (5, 4, true), (5, 7, false), (7, 5, false)] {
        let ticket = one.seal(made, &SCOPE, b"session").unwrap();
        assert_eq!(two.open(read, &SCOPE, &ticket).is_some(), works, "made in {made}, read in {read}");
    }
    let other = Tickets::new(&shared("other", &[2; 32])).unwrap();
    assert_eq!(other.open(5, &SCOPE, &one.seal(5, &SCOPE, b"session").unwrap()), None);
}

#[test]
fn keys_stay_through_a_reload_that_changes_nothing_of_them() {
    let tickets = random();
    let ticket = tickets.seal(0, &SCOPE, b"session").unwrap();
    tickets.put(tickets.prepare(&TicketsConfig::default()).unwrap());
    assert!(tickets.open(0, &SCOPE, &ticket).is_some());
    let changed = shared("changed", &[3; 48]);
    tickets.put(tickets.prepare(&changed).unwrap());
    let ticket = tickets.seal(3, &SCOPE, b"session").unwrap();
    tickets.put(tickets.prepare(&changed).unwrap());
    assert!(tickets.open(3, &SCOPE, &ticket).is_some());
    std::fs::write(changed.key_file.as_ref().unwrap(), [4; 48]).unwrap();
    tickets.put(tickets.prepare(&changed).unwrap());
    assert_eq!(tickets.open(3, &SCOPE, &ticket), None, "another secret");
}

#[test]
fn a_huge_session_gets_no_ticket_and_a_huge_ticket_is_not_looked_at() {
    let tickets = random();
    assert!(tickets.seal(0, &SCOPE, &[0; MOST_OF_A_SESSION]).is_some());
    assert_eq!(tickets.seal(0, &SCOPE, &[0; MOST_OF_A_SESSION + 1]), None);
    assert_eq!(tickets.open(0, &SCOPE, &vec![0; 1 << 20]), None);
}

#[test]
fn a_bad_secret_is_told() {
    let error = Tickets::new(&shared("short", b"too short")).unwrap_err().to_string();
    assert!(error.contains("has 9 bytes: give 32 at least"), "{error}");
    let none = TicketsConfig { key_file: Some("/nowhere/secret".into()), ..TicketsConfig::default() };
    let error = Tickets::new(&none).unwrap_err().to_string();
    assert!(error.starts_with("tickets: key_file /nowhere/secret: "), "{error}");
}

#[test]
fn nobody_keeps_a_ticket_for_more_than_a_week() {
    let long = TicketsConfig { rotate: Duration::from_secs(30 * 86_400), key_file: None };
    let tickets = Arc::new(Tickets::new(&long).unwrap());
    assert_eq!(tickets.scoped(SCOPE).lifetime(), 7 * 86_400);
    let usual = Arc::new(random());
    assert_eq!(usual.scoped(SCOPE).lifetime(), 12 * 3600);
    assert_eq!(format!("{usual:?} {:?}", usual.scoped(SCOPE)), "Tickets Tickets of a scope");
}
