//! Tests of `requests`.

use super::*;

fn names(route: &str) -> Names {
    Names { listener: "web".into(), route: route.into(), pool: "app".into() }
}

fn text(registry: &Registry) -> String {
    let mut text = Text::default();
    registry.write(&mut text);
    text.finish()
}

#[test]
fn what_workers_count_is_added_up() {
    let registry = Registry::new(&["no_route", "denied"]);
    for (worker, status, took_us) in [(0, 200, 900), (1, 204, 30_000), (1, 502, 100), (0, 0, 5)] {
        let over = Over { status, took_us, sent: 10, received: 1, retries: 1, first_byte_us: Some(500_000) };
        registry.counts(worker, names("shop")).record(over);
    }
    registry.causes(1).record("denied");
    registry.causes(0).record("denied");
    registry.causes(0).record("unheard of");
    let text = text(&registry);
    let of = "listener=\"web\",route=\"shop\",pool=\"app\"";
    for line in [
        format!("proxy_now_request_seconds_bucket{{{of},status=\"2xx\",le=\"0.0005\"}} 0"),
        format!("proxy_now_request_seconds_bucket{{{of},status=\"2xx\",le=\"0.001\"}} 1"),
        format!("proxy_now_request_seconds_bucket{{{of},status=\"2xx\",le=\"0.05\"}} 2"),
        format!("proxy_now_request_seconds_bucket{{{of},status=\"2xx\",le=\"+Inf\"}} 2"),
        format!("proxy_now_request_seconds_sum{{{of},status=\"2xx\"}} 0.0309"),
        format!("proxy_now_request_seconds_count{{{of},status=\"2xx\"}} 2"),
        format!("proxy_now_request_seconds_count{{{of},status=\"5xx\"}} 1"),
        format!("proxy_now_request_seconds_count{{{of},status=\"none\"}} 1"),
        format!("proxy_now_response_body_bytes_total{{{of}}} 40"),
        format!("proxy_now_request_body_bytes_total{{{of}}} 4"),
        format!("proxy_now_retries_total{{{of}}} 4"),
        format!("proxy_now_first_byte_seconds_sum{{{of}}} 2"),
        format!("proxy_now_first_byte_seconds_count{{{of}}} 4"),
        "proxy_now_refusals_total{cause=\"no_route\"} 0".to_owned(),
        "proxy_now_refusals_total{cause=\"denied\"} 2".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!text.contains("status=\"4xx\""));
    let total = Total { requests: 4, failed: 1, received: 4, sent: 40 };
    assert_eq!(registry.by_listener(), BTreeMap::from([("web".into(), total)]));
}

#[test]
fn names_are_bounded() {
    let registry = Registry::new(&[]);
    for number in 0..MOST_NAMES + 50 {
        registry.counts(0, names(&number.to_string())).record(Over::default());
    }
    let others = registry.counts(0, names("one more"));
    assert_eq!(&*others.names.route, OTHERS);
    assert!(text(&registry).lines().any(|line| line.contains(OTHERS) && line.ends_with(" 50")));
    // Known ones stay what they were.
    assert_eq!(&*registry.counts(1, names("7")).names.route, "7");
}

#[test]
fn names_that_are_not_configured_any_more_are_forgotten() {
    let registry = Registry::new(&[]);
    let old = registry.counts(0, names("old"));
    registry.counts(0, names("new")).record(Over::default());
    registry.retain(|names| &*names.route == "new");
    // A request that is still on its way counts for nobody.
    old.record(Over::default());
    assert!(!text(&registry).contains("old"));
    assert!(text(&registry).contains("new"));
}
