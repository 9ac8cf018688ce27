//! The kernel part of the daemon: loads and attaches the programs, keeps their tables as they should be, collects what
//! is over, and tells what is there. The only part that knows a map. It knows no health check and no admin request.

/// Programs on interfaces.
mod attach;
/// Tables of bans.
mod bans;
/// What this process may do, and what this kernel can.
mod capability;
/// The flow table's clock.
mod clock;
/// Forgets flows that are over.
mod collect;
/// Rules of limits, made of the configuration's.
mod compile_limits;
/// What the kernel part should do, in the words of the configuration.
mod desired;
/// Takes everything out of the kernel.
mod detach;
/// Looks for what keeps packets from flowing.
mod doctor;
/// What the kernel programs tell as it happens.
mod events;
/// What becomes of a packet.
mod explain;
/// Follows what changes around the kernel part.
mod follow;
/// The programs behind the first one.
mod further;
#[cfg(test)]
mod further_tests;
/// What the daemon does for the guards.
mod guard;
/// Connections that a relay hands over.
mod handoff;
#[cfg(test)]
mod handoff_tests;
/// The kernel part, opened.
mod kernel;
/// What it says of ClientHellos.
mod kernel_names;
#[cfg(test)]
mod kernel_tests;
/// A function of the kernel that a program calls.
mod kfunc;
/// Which flows may be in the tables.
mod known;
/// The tables of limits, without a daemon.
mod limit_maps;
/// Limits in the tables.
mod limits;
#[cfg(test)]
mod limits_tests;
/// Loads the programs, and takes over what is pinned.
mod load;
/// Maps as typed tables.
mod maps;
/// Hosts that ClientHellos name, in the tables.
mod names;
#[cfg(test)]
mod names_tests;
/// The kernel programs, embedded.
mod object;
/// What is told of ClientHellos while somebody looks on.
mod onlooker;
/// Where maps, programs and links outlive the daemon.
mod pins;
/// From what the tables hold to what is wanted.
mod reconcile;
/// Room for flows that nobody has proved.
mod room;
/// What the kernel part does.
mod status;
/// Gives new connections to the worker of their CPU.
mod steer;
/// bpf(2).
mod sys;
/// All tables, by name and type.
mod tables;

pub use attach::{AttachError, Attachment, Mode};
pub use bans::{BanMaps, PinnedError};
pub use capability::{Capability, Feature};
pub use collect::Collected;
pub use desired::{Desired, DesiredBackend, DesiredListener, LocalListener, NameAction, NameRule};
pub use detach::{DetachError, Detached, detach_all};
pub use doctor::{Check, Finding, Severity, doctor};
pub use events::{Exceeded, Hear};
pub use explain::{Chosen, Explanation, FlowStatus, Tuple, TupleError, Verdict, WayOut};
pub use follow::{FollowError, Followed};
pub use guard::GuardStatus;
pub use handoff::{HandOffCount, Taker};
pub use kernel::{Applied, Kernel, KnownBackend};
pub use limit_maps::LimitMaps;
pub use limits::{KeptLimit, RefusedKey, RememberedLimit, RememberedMeasure};
pub use load::{OpenError, OpenNote};
pub use maps::{Action, MapError};
pub use names::NameStatus;
pub use onlooker::{HelloDecision, HelloSeen};
pub use reconcile::{ApplyError, Failed, PlanError, Unroutable};
pub use status::{
    BackendState, BackendStatus, Count, FlowTableStatus, InterfaceStatus, KernelStatus, ListenerStatus, View,
};
pub use steer::{SteerError, steer};
