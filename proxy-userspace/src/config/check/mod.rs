//! From what the file says to what it means: entries are compared with each other, names are resolved.

/// What hosts want of CAs, against what is said of them.
mod acme;
/// Automatic bans against listeners.
mod ban;
/// The kernel part in itself.
mod kernel;
/// Limits against listeners and routes.
mod limit;
/// What can be wrong with limits, in words.
mod limit_facts;
/// Listeners against each other, the kernel part and the pools.
mod listener;
/// Pools against the listeners that use them.
mod pool;
/// Where `http` listeners send those who could have come by TLS.
mod redirect;
/// Routes against listeners, pools and each other.
mod route;
/// Sizes of the kernel's tables.
mod size;
/// Routes of connections against the listeners that they are for.
mod steer;
/// Hosts of `https` listeners.
mod tls;

use super::file::File;
use super::model::{AdminConfig, Config};
use super::report::{Report, Reported};
use super::tls::TlsConfig;
use super::web::WebListenerConfig;

/// Compares everything with everything, and gives the meaning if nothing was wrong. Warnings stay in the report.
pub(super) fn resolve(mut file: File, report: &mut Report<'_>) -> Result<Config, Reported> {
    if let Ok(Some(kernel)) = &file.kernel {
        kernel::check(kernel, report);
    }
    if let (Ok(None), Some(first)) = (&file.kernel, file.listeners.first()) {
        report.error(&first.name.span, &listener::NoKernel { name: &first.name.value });
    }
    if file.listeners.is_empty() && file.web_listeners.is_empty() {
        report.warn(&(0..0), &listener::NothingToServe);
    }
    listener::check_binds(&file.listeners, &file.web_listeners, report);
    listener::check_trust(&file.web_listeners, report);
    for listener in &file.listeners {
        listener::check_pool_name(listener, &file.pool_names, report);
        listener::check_ports(listener, report);
    }
    redirect::resolve(&mut file.web_listeners, report);
    route::check(&file, report);
    pool::check(&file, report);
    size::check(&file, report);
    let hosts = tls::hosts(&file, report);
    acme::check(&file, report);
    limit::check(&file, report);
    ban::check(&file, report);
    let limits = limit::resolve(&file);
    let listeners = file.listeners.into_iter().map(listener::resolve).collect::<Vec<_>>();
    let web_listeners = file.web_listeners.into_iter().map(listener::resolve_web);
    let web_listeners: Vec<WebListenerConfig> = web_listeners.collect::<Result<_, _>>()?;
    let pools = file.pools.into_iter().map(pool::resolve).collect::<Vec<_>>();
    let admin = file.admin?;
    Ok(Config {
        kernel: file.kernel?.map(kernel::resolve),
        admin: AdminConfig { socket: admin.socket, mode: admin.mode, audit_log: admin.audit_log },
        listeners: listeners.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect(),
        routes: route::resolve(file.routes, file.middleware, &web_listeners)?,
        web_listeners,
        server: file.server?,
        tls: TlsConfig { hosts, ..file.tls? },
        acme: file.acme?,
        limits: limits?,
        ban: file.ban?,
        auto_bans: ban::resolve(file.auto_bans)?,
        pools: pools.into_iter().collect::<Result<_, _>>()?,
        warnings: Vec::new(),
    })
}
