//! `allow` and `deny`: which clients may ask.

use std::net::IpAddr;

use ipnet::IpNet;

use super::service::{LocalService, Step};
use crate::l7::cause::Cause;
use crate::l7::ranges::Ranges;
use crate::l7::request::{Request, Response};
use crate::l7::respond::{Form, refuse};

/// Which clients may ask.
#[derive(Debug)]
pub(super) struct Access {
    allow: Ranges,
    deny: Ranges,
}

impl Access {
    /// Only those in `allow`, if there are any; and none in `deny`.
    pub(super) fn new(allow: &[IpNet], deny: &[IpNet]) -> Self {
        Self { allow: Ranges::new(allow), deny: Ranges::new(deny) }
    }

    fn lets(&self, client: IpAddr) -> bool {
        (self.allow.is_empty() || self.allow.contains(client)) && !self.deny.contains(client)
    }
}

impl Step for Access {
    async fn answer(&self, request: Request, next: &LocalService) -> Response {
        if self.lets(request.client_ip()) {
            next.answer(request).await
        } else {
            refuse(Form::of(&request), &request.record, Cause::Denied)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn access(allow: &[&str], deny: &[&str]) -> Access {
        Access::new(&nets(allow), &nets(deny))
    }

    fn lets(access: &Access, ip: &str) -> bool {
        access.lets(ip.parse().unwrap())
    }

    #[test]
    fn deny_counts_more_than_allow() {
        let access = access(&["10.0.0.0/8", "2001:db8::/32"], &["10.1.0.0/16"]);
        assert!(
            lets(&access, "10.2.0.1") && lets(&access, "2001:db8::1") && lets(&access, "::ffff:10.2.0.1")
        );
        assert!(!lets(&access, "10.1.2.3") && !lets(&access, "192.0.2.1") && !lets(&access, "2001:db9::1"));
    }

    #[test]
    fn without_allow_all_but_the_denied_may_ask() {
        let access = access(&[], &["0.0.0.0/0"]);
        assert!(lets(&access, "2001:db8::1"));
        assert!(!lets(&access, "192.0.2.1") && !lets(&access, "::ffff:192.0.2.1"));
        assert!(lets(&self::access(&[], &[]), "192.0.2.1"));
    }
}
