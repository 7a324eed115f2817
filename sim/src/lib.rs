//! Whole clusters under faults, replayed exactly from a seed.
//!
//! - [`scenario`]: what a `.toml` file says, parsed and checked, with errors that name the line.
//! - [`plan`]: when each fault fires, whom it hits and when it ends: one plan for both engines.
//! - [`points`]: named courses of events that a sweep must reach.
//! - [`roster`]: which machine is which member.
//! - [`operator`]: whoever changes the members, and asks until it is done.
//! - [`workload`]: what the clients do and what they saw: one script for both engines.
//! - [`witness`]: everything that the judge is told, and the first thing that it objects to.
//! - [`answers`]: how long posters wait for a first answer.
//! - [`liveness`]: when progress is owed, and that it is made.
//! - [`fast`]: the discrete-event engine over the bare machines. It hunts.
//! - [`turmoil_engine`]: the production driver on turmoil's network. It confirms.
//! - [`live`]: real processes on loopback. It shows that the node is what was simulated; nothing replays.
//! - [`explore`]: every course of a small scope, over bare replicas.
//! - [`engine`]: a scenario and a seed in, an outcome out, whichever engine.
//! - [`record`]: everything that happened in a run, for a page that a person reads.
//! - [`html`]: that page.
//! - [`hunt`]: many seeds of many scenarios, and what came of them.
//! - [`shrink`]: from a run that fails to a short scenario that fails by the same rule.
//! - [`trace`]: the hash that says whether two runs were the same run.
//! - `zoo`: known bugs, and whether the test bed finds them.
//! - [`cli`]: the `sim` command.
//!
//! What every part but [`live`] keeps: a run is a pure function of (scenario, seed, engine, bug). No clock, no global randomness, no iteration over hashed maps.

pub mod answers;
pub mod cli;
pub mod engine;
pub mod explore;
pub mod fast;
pub mod html;
pub mod hunt;
pub mod live;
pub mod liveness;
pub mod operator;
pub mod plan;
pub mod points;
pub mod record;
pub mod roster;
pub mod scenario;
pub mod shrink;
pub mod trace;
pub mod turmoil_engine;
pub mod witness;
pub mod workload;
#[cfg(feature = "zoo")]
pub mod zoo;
