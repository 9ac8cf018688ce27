//! Where `http` listeners send those who could have come by TLS.

use std::net::{IpAddr, SocketAddr};

use crate::config::diagnostic::Fact;
use crate::config::file::FileWebListener;
use crate::config::kind::MaybePort;
use crate::config::report::{At, Report};
use crate::config::steer::Speaks;
use crate::config::web::{RedirectHttps, WebBind};

/// Finds the `https` listener of each `http` one, and puts it there.
pub(super) fn resolve(listeners: &mut [FileWebListener], report: &mut Report<'_>) {
    let secure: Vec<Secure> = listeners.iter().filter_map(secure).collect();
    for listener in listeners.iter_mut() {
        let (Ok(said), Ok(bind)) = (&listener.redirect_https, &listener.bind) else { continue };
        let wanted = said.as_ref().is_none_or(|said| said.value != MaybePort::No);
        let (true, Ok(rest)) = (wanted, &mut listener.rest) else { continue };
        if rest.tls.is_some() {
            continue;
        }
        let addresses: Vec<SocketAddr> = bind.iter().filter_map(|bind| tcp(&bind.value)).collect();
        rest.redirect_https = find(&addresses, &secure);
        if let (Some(At { value: MaybePort::Port(port), .. }), Some(to)) = (said, &mut rest.redirect_https) {
            to.port = *port;
        }
        if let (Some(said), None) = (said, &rest.redirect_https) {
            report.error(&said.span, &Nowhere { name: &listener.name.value });
        }
    }
}

/// An `https` listener, and where it waits.
struct Secure {
    name: Box<str>,
    bind: Vec<SocketAddr>,
}

fn secure(listener: &FileWebListener) -> Option<Secure> {
    listener.rest.as_ref().ok().filter(|rest| rest.steer.speaks == Speaks::Https)?;
    let bind = listener.bind.as_ref().ok()?.iter().filter_map(|bind| tcp(&bind.value));
    Some(Secure { name: listener.name.value.clone(), bind: bind.collect() })
}

fn tcp(bind: &WebBind) -> Option<SocketAddr> {
    match bind {
        WebBind::Tcp(address) => Some(*address),
        WebBind::Unix(_) => None,
    }
}

/// The first listener that has one port for all of these addresses; the usual port before others.
fn find(addresses: &[SocketAddr], secure: &[Secure]) -> Option<RedirectHttps> {
    let first = addresses.first()?;
    let port_of = |listener: &Secure, port: u16| {
        let at = |ip: IpAddr| listener.bind.iter().any(|bind| bind.port() == port && covers(bind.ip(), ip));
        addresses.iter().all(|address| at(address.ip()))
    };
    let ports = |listener: &Secure| {
        let mut ports: Vec<u16> =
            listener.bind.iter().filter(|bind| covers(bind.ip(), first.ip())).map(SocketAddr::port).collect();
        ports.sort_by_key(|port| *port != 443);
        ports.into_iter().find(|port| port_of(listener, *port))
    };
    let found = secure.iter().filter_map(|listener| Some((listener, ports(listener)?)));
    found
        .min_by_key(|(_, port)| *port != 443)
        .map(|(listener, port)| RedirectHttps { listener: (&*listener.name).into(), port })
}

/// Who comes to `ip` may come to a socket that is bound to `bound`, too.
fn covers(bound: IpAddr, ip: IpAddr) -> bool {
    bound == ip || (bound.is_unspecified() && bound.is_ipv4() == ip.is_ipv4())
}

#[derive(Debug, thiserror::Error)]
#[error("listener {name:?} redirects to https, and no https listener has one port at each of its addresses")]
struct Nowhere<'a> {
    name: &'a str,
}

impl Fact for Nowhere<'_> {
    fn help(&self) -> Option<String> {
        Some(
            "add one: [listener.NAME] bind = \"0.0.0.0:443\", protocol = \"https\"; or remove redirect_https"
                .to_owned(),
        )
    }
}
