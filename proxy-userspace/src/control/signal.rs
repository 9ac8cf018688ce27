//! Signals, and what the service manager is told.

use std::io;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::order::Order;

/// Turns signals into orders, for as long as somebody takes them. Needs a tokio runtime.
pub(super) fn listen(orders: mpsc::Sender<Order>) -> io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut user = signal(SignalKind::user_defined2())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        loop {
            let order = tokio::select! {
                Some(()) = hangup.recv() => Order::Reload("SIGHUP"),
                Some(()) = user.recv() => Order::Upgrade("SIGUSR2"),
                Some(()) = terminate.recv() => Order::Stop("SIGTERM"),
                Some(()) = interrupt.recv() => Order::Stop("SIGINT"),
            };
            if orders.send(order).await.is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// Tells the service manager that everything is served.
pub(super) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// Tells the service manager that a reload begins.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(_) => notify(&[NotifyState::Reloading]),
    }
}

/// Tells the service manager that the daemon stops.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Tells the service manager that another process is the daemon now.
pub(super) fn main_process(pid: u32) {
    notify(&[NotifyState::MainPid(pid)]);
}

/// Tells the service manager that the loop goes round.
pub(super) fn alive() {
    notify(&[NotifyState::Watchdog]);
}

/// Without a service manager nothing happens.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("the service manager was not told: {error}");
    }
}
