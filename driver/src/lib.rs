//! Runs a node machine over a network, a store and a clock that are given to it. It moves bytes; it decides nothing that the protocol could decide.

mod client;
mod clock;
mod entropy;
mod framed;
mod framing;
mod handle;
mod input;
mod metrics;
mod net;
mod peers;
mod runtime;
pub mod store;

pub use client::{ClientEvent, ClientHandle, ClientRunner, SubmitError};
pub use clock::{Clock, EpochClock, SystemClock};
pub use entropy::{Entropy, system_entropy};
pub use framed::serve;
pub use handle::{Connection, Handle, IN_FLIGHT, Incoming, Stopped};
pub use input::{Input, Observer, feed};
pub use metrics::{Metrics, Port, Reason};
pub use net::{Net, TokioNet};
pub use runtime::{Ended, FactSink, Setup, Shutdown, start};
