//! The workers' threads: each has a runtime, sockets of its own, and takes orders.

use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use super::accept::Door;
use super::relay::quic;
use super::snapshot::Snapshot;
use super::worker::{Shared, Worker};
use crate::net::epoll::Epoll;
use crate::net::listen::Listening;
use crate::net::stream::Target;

/// What a worker is told.
enum Order {
    /// Take clients from this socket, too.
    Open(Target, Listening),
    /// Take no more clients there, and let those who are in end in good order.
    Close(Target),
    /// Take no more clients anywhere, and let all end in good order.
    Leave,
}

/// All workers. Dropped, they end at once, and cut what is in flight.
#[derive(Debug)]
pub struct Workers {
    shared: Arc<Shared>,
    threads: Vec<Thread>,
    /// One for each, if each has one to itself.
    cpus: Vec<usize>,
}

#[derive(Debug)]
struct Thread {
    shared: Arc<Shared>,
    orders: Option<mpsc::UnboundedSender<Order>>,
    stop: Option<oneshot::Sender<()>>,
    handle: Option<JoinHandle<()>>,
}

impl Workers {
    /// CPUs that this process may use: as many workers are of use.
    pub fn allowed_cpus() -> Vec<usize> {
        match sched_getaffinity(None) {
            Ok(set) => (0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect(),
            Err(_) => vec![0],
        }
    }

    /// Starts `count` of them. They serve by `snapshot`.
    ///
    /// # Errors
    /// There is no thread, or no epoll.
    pub fn start(count: usize, snapshot: Arc<Snapshot>) -> io::Result<Self> {
        let cpus = Self::allowed_cpus();
        let count = count.max(1);
        let shared = Arc::new(Shared::new(snapshot));
        // A worker keeps to its CPU only where each has one to itself.
        let cpus = if count == cpus.len() && count > 1 { cpus } else { Vec::new() };
        let threads =
            (0..count).map(|number| Thread::start(number, cpus.get(number).copied(), shared.clone()));
        Ok(Self { threads: threads.collect::<io::Result<_>>()?, shared, cpus })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.threads.len()
    }

    /// The CPU of each, if each has one to itself; else empty.
    pub fn cpus(&self) -> &[usize] {
        &self.cpus
    }

    /// What they share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Serves by this from now on.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        self.shared.publish(snapshot);
    }

    /// Serves clients of these sockets, which wait at `target`: the first goes to the first worker, and so on.
    pub fn open(&self, target: &Target, sockets: Vec<Listening>) {
        for (number, socket) in sockets.into_iter().enumerate() {
            self.threads[number % self.threads.len()].tell(Order::Open(target.clone(), socket));
        }
    }

    /// Takes no more clients there. Those who have connected already are served, and end in good order.
    pub fn close(&self, target: &Target) {
        self.threads.iter().for_each(|thread| thread.tell(Order::Close(target.clone())));
    }

    /// Takes no more clients anywhere; connections end in good order.
    pub fn leave(&self) {
        self.threads.iter().for_each(|thread| thread.tell(Order::Leave));
    }

    /// Every order was obeyed, and no client is connected.
    pub fn are_idle(&self) -> bool {
        self.shared.orders.load(Ordering::Acquire) == 0 && self.connections() == 0
    }

    /// Connections of clients.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

impl Thread {
    fn start(number: usize, cpu: Option<usize>, shared: Arc<Shared>) -> io::Result<Self> {
        let (orders, ordered) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let of_thread = shared.clone();
        let run = move || {
            if let Some(cpu) = cpu {
                pin(cpu);
            }
            let tasks = LocalSet::new();
            tasks.block_on(&runtime, async {
                tokio::task::spawn_local(pulse());
                let worker = Rc::new(Worker::new(number, Epoll, shared));
                tokio::select! {
                    () = obey(&worker, ordered) => {}
                    _ = stopped => {}
                }
            });
        };
        let handle = std::thread::Builder::new().name(format!("worker-{number}")).spawn(run)?;
        Ok(Self { shared: of_thread, orders: Some(orders), stop: Some(stop), handle: Some(handle) })
    }

    fn tell(&self, order: Order) {
        // A worker that has ended has nobody to serve.
        if let Some(orders) = &self.orders {
            self.shared.orders.fetch_add(1, Ordering::Release);
            let _ = orders.send(order);
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // All are told before the first is waited for.
        for thread in &mut self.threads {
            drop(thread.orders.take());
            drop(thread.stop.take());
        }
        for thread in &mut self.threads {
            if let Some(handle) = thread.handle.take() {
                let _ = handle.join();
            }
        }
    }
}

/// A timer that is due before all others makes tokio wake its own thread by a system call, for each new connection of an
/// idle worker. With this one the next is never far, and timers of clients and backends are behind it.
async fn pulse() {
    let mut beat = tokio::time::interval(Duration::from_secs(1));
    loop {
        beat.tick().await;
    }
}

/// Does what it is told, until nobody tells it any more.
async fn obey(worker: &Rc<Worker>, mut orders: mpsc::UnboundedReceiver<Order>) {
    let mut doors: HashMap<Target, Vec<Door>> = HashMap::new();
    let mut datagrams: HashMap<Target, Vec<quic::Door>> = HashMap::new();
    while let Some(order) = orders.recv().await {
        match order {
            Order::Open(target @ Target::Udp(address), Listening::Udp(socket)) => {
                match quic::Door::open(worker, address, socket) {
                    Ok(door) => datagrams.entry(target).or_default().push(door),
                    Err(error) => {
                        tracing::error!("{target} is not served by worker {}: {error}", worker.number);
                    }
                }
            }
            Order::Open(target, socket) => match Door::open(worker, &target, socket) {
                Ok(door) => doors.entry(target).or_default().push(door),
                Err(error) => tracing::error!("{target} is not served by worker {}: {error}", worker.number),
            },
            Order::Close(target) => {
                doors.remove(&target).into_iter().flatten().for_each(Door::close);
                datagrams.remove(&target).into_iter().flatten().for_each(quic::Door::close);
            }
            Order::Leave => {
                doors.drain().flat_map(|(_, doors)| doors).for_each(Door::close);
                datagrams.drain().flat_map(|(_, doors)| doors).for_each(quic::Door::close);
            }
        }
        worker.shared.orders.fetch_sub(1, Ordering::Release);
    }
}

/// Keeps this thread on a CPU: packets are worked on where they come in.
fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu);
    if let Err(error) = sched_setaffinity(None, &set) {
        tracing::debug!("a worker is not kept on CPU {cpu}: {error}");
    }
}
