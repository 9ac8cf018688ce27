//! Limits in the tables of a real kernel: what operators set, what is given to another limit, what fails.

use std::net::IpAddr;

use super::kernel_tests::{BACKENDS, Place, in_a_place};
use super::*;
use crate::config::{Amount, GuardConfig, LimitConfig, LimitName, Measure, Protocol, amount_text};
use crate::limit::number;

/// What a configuration says of limits.
fn limits(text: &str) -> Vec<LimitConfig> {
    let listener = "[kernel]\ninterfaces = [\"out\"]\n[listener.web]\nbind = \"10.80.0.1:80\"\nprotocol = \"tcp\"\n\
                    pool = \"p\"\n[pool.p]\nbackends = [\"10.80.0.11:8080\"]\n";
    crate::config::parse(&format!("{listener}{text}"), "proxy.toml").unwrap().limits
}

fn amount(measure: Measure, text: &str) -> Amount {
    crate::config::parse_amount(measure, text).unwrap()
}

fn desired(place: &Place, text: &str) -> Desired {
    Desired { limits: limits(text), ..place.desired(&BACKENDS) }
}

fn said(kernel: &Kernel, name: &str) -> Option<String> {
    let name = LimitName::from(name);
    let kept = kernel.limits().unwrap().into_iter().find(|kept| kept.limit == name)?;
    Some(amount_text(kept.measure, kept.amount))
}

const A: &str = "[limit.a]\nconnections = \"100/s burst 10\"\n";
const B: &str = "[limit.b]\nconnections = \"100/s burst 10\"\n";

#[test]
fn a_number_that_goes_to_another_limit_begins_anew() {
    in_a_place(|place| {
        let kernel = Kernel::open(&place.config()).unwrap();
        kernel.apply(&desired(place, A)).unwrap();
        let (table, ids) = kernel.limit_table();
        let id = ids.of("a").unwrap();
        assert!(
            kernel.set_limit(&"a".into(), Measure::Connections, amount(Measure::Connections, "5/h")).unwrap()
        );
        let client: IpAddr = "192.0.2.7".parse().unwrap();
        let key = table.address_key(id, number(Measure::Connections), client);
        let slow = proxy_common::gcra::Gcra::new(1, 3_600_000_000_000, 1, 250).unwrap();
        table.charge(&key, &slow, 1);
        assert!(matches!(table.peek(&key, &slow, 1), proxy_common::bucket::Charge::Refused(_)));
        kernel.apply(&desired(place, B)).unwrap();
        assert_eq!(ids.of("b"), Some(id), "the number is given again");
        assert_eq!(said(&kernel, "a"), None);
        assert_eq!(said(&kernel, "b").as_deref(), Some("100/s burst 10"), "as the file says");
        assert!(!matches!(table.peek(&key, &slow, 1), proxy_common::bucket::Charge::Refused(_)));
        assert_eq!(kernel.limit_overrides(), []);
    });
}

#[test]
fn what_is_set_outlives_the_daemon_unless_the_file_says_the_same() {
    in_a_place(|place| {
        let both = "[limit.a]\nconnections = \"100/s burst 10\"\nrequests = \"9/s\"\n";
        let kernel = Kernel::open(&place.config()).unwrap();
        kernel.apply(&desired(place, both)).unwrap();
        kernel.keep();
        let set =
            |kernel: &Kernel, measure, text| kernel.set_limit(&"a".into(), measure, amount(measure, text));
        assert!(set(&kernel, Measure::Connections, "7/s").unwrap());
        assert!(
            set(&kernel, Measure::Requests, "8/s").unwrap(),
            "what only workers count is remembered, too"
        );
        assert!(!kernel.set_limit(&"b".into(), Measure::Packets, amount(Measure::Packets, "7/s")).unwrap());
        drop(kernel);
        let kernel = Kernel::open(&place.config()).unwrap();
        kernel.apply(&desired(place, both)).unwrap();
        assert_eq!(said(&kernel, "a").as_deref(), Some("7/s"));
        let overrides: Vec<_> = kernel.limit_overrides().into_iter().map(|(_, measure, _)| measure).collect();
        assert_eq!(overrides, [Measure::Connections, Measure::Requests]);
        assert!(set(&kernel, Measure::Requests, "9/s").unwrap());
        assert_eq!(kernel.limit_overrides().len(), 1, "as the file says is not set");
        kernel.apply(&desired(place, A)).unwrap();
        assert_eq!(said(&kernel, "a").as_deref(), Some("7/s"), "a reload keeps it");
        kernel.apply(&desired(place, &A.replace("100/s", "50/s"))).unwrap();
        assert_eq!(said(&kernel, "a").as_deref(), Some("50/s burst 10"), "the file has another word now");
        kernel.keep();
    });
}

#[test]
fn limits_are_as_they_were_when_a_change_fails() {
    in_a_place(|place| {
        let kernel = Kernel::open(&place.config()).unwrap();
        kernel.apply(&desired(place, A)).unwrap();
        kernel.set_limit(&"a".into(), Measure::Connections, amount(Measure::Connections, "7/s")).unwrap();
        let mut too_many = desired(place, "[limit.a]\nconnections = \"1/h\"\n");
        too_many.local = (0..300)
            .map(|number| LocalListener {
                name: format!("l{number}").as_str().into(),
                addresses: vec![format!("10.80.0.1:{}", 1000 + number).parse().unwrap()],
                protocol: Protocol::Tcp,
                guard: GuardConfig::default(),
                tls: false,
                names: Vec::new(),
                handoff: false,
                backends: Vec::new(),
            })
            .collect();
        let error = kernel.apply(&too_many).unwrap_err();
        assert!(matches!(error, ApplyError::Plan(PlanError::Limited)), "{error}");
        assert_eq!(said(&kernel, "a").as_deref(), Some("7/s"), "with what was set");
        too_many.local.truncate(200);
        kernel.apply(&too_many).unwrap();
        assert_eq!(said(&kernel, "a").as_deref(), Some("1/h"));
    });
}

#[test]
fn numbers_of_plans_are_given_again_when_nothing_refers_to_them() {
    in_a_place(|place| {
        let kernel = Kernel::open(&place.config()).unwrap();
        let known = |kernel: &Kernel| kernel.lock().limits.plans();
        let local = |from: usize| -> Vec<LocalListener> {
            let one = |number: usize| LocalListener {
                name: format!("l{number}").as_str().into(),
                addresses: vec![format!("10.80.0.1:{}", 1000 + number).parse().unwrap()],
                protocol: Protocol::Tcp,
                guard: GuardConfig::default(),
                tls: false,
                names: Vec::new(),
                handoff: false,
                backends: Vec::new(),
            };
            (from..from + 200).map(one).collect()
        };
        let mut wanted = desired(place, "[limit.a]\nconcurrent = 5\n");
        wanted.local = local(0);
        kernel.apply(&wanted).unwrap();
        assert_eq!(known(&kernel), 202);
        wanted.local = Vec::new();
        kernel.apply(&wanted).unwrap();
        for _ in 0..2 {
            assert_eq!(known(&kernel), 202, "a flow may still be counted by them");
            kernel.lock().collector.rest_until = None;
            while !kernel.collect().unwrap().finished {
                std::thread::yield_now();
            }
        }
        assert_eq!(known(&kernel), 2);
        wanted.local = local(500);
        kernel.apply(&wanted).unwrap();
        assert_eq!(known(&kernel), 202);
    });
}
