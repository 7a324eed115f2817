//! Runs a node machine over a network, a store and a clock that are given to it. It moves bytes; it decides nothing that the protocol could decide.

pub mod aside;
pub mod backup;
mod client;
mod clock;
pub mod disk;
mod entropy;
pub mod faults;
mod folder;
mod framed;
mod framing;
mod handle;
mod input;
pub mod kept;
pub mod log;
mod metrics;
mod net;
mod outbox;
mod peers;
pub mod rows;
mod runtime;
pub mod sim_disk;
pub mod store;
pub mod watched;

pub use client::{ClientEvent, ClientHandle, ClientRunner, OpenCommand, SubmitError};
pub use clock::{Clock, EpochClock, SystemClock};
pub use entropy::{Entropy, system_entropy};
pub use framed::serve;
pub use handle::{Connection, Handle, IN_FLIGHT, Incoming, Stopped};
pub use input::{Input, Observer, feed};
pub use metrics::{Metrics, Port, Reason};
pub use net::{Net, TokioNet};
pub use outbox::{Outbox, OutboxError};
pub use runtime::{Ended, FactSink, Setup, Shutdown, start};
