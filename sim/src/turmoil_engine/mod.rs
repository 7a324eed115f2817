//! The confirming engine: the production driver with its codec, log and rows on turmoil's network.

use crate::engine::{Options, Outcome, Unplayable};
use crate::scenario::Scenario;
use tertulia_protocol::dice::Seed;

/// Plays a scenario on turmoil.
///
/// # Errors
/// Always, so far: this build has no turmoil engine.
pub fn run(_scenario: &Scenario, _seed: Seed, _options: Options) -> Result<Outcome, Unplayable> {
    Err(Unplayable { message: "the turmoil engine is not part of this build yet: use --engine fast".to_owned() })
}
