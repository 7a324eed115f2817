//! How often the order of succession is looked at, and how reluctant a leader is to hand over.

use crate::time::Duration;

/// All that is measured in time here. Every bound of change errs on the side of staying.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct SuccessionTiming {
    /// Every node lets every other one measure the way to it this often.
    pub probe: Duration,
    /// The leader ranks the voters this often, and nodes report what they measured this often.
    pub evaluation: Duration,
    /// A measurement (at the node that made it) or a report (at the leader) that is older than this says nothing.
    pub max_age: Duration,
    /// Quorum latencies are compared in whole steps of this; voters in the same step are ranked by id.
    pub resolution: Duration,
    /// Under `central` a leader hands over only if more than this is gained …
    pub gain: Duration,
    /// … and more than so many hundredths of its own quorum latency …
    pub gain_percent: u32,
    /// … in so many evaluations in a row, for the same target. At least 1.
    pub in_a_row: u32,
    /// A leader that has led for less does not hand over.
    pub tenure: Duration,
    /// Between two hand-overs that one node began, in one run of it, whether they succeeded or not.
    pub cooldown: Duration,
}

impl Default for SuccessionTiming {
    fn default() -> Self {
        SuccessionTiming {
            probe: Duration::from_millis(500),
            evaluation: Duration::from_secs(1),
            max_age: Duration::from_secs(5),
            resolution: Duration::from_micros(100),
            gain: Duration::from_millis(5),
            gain_percent: 20,
            in_a_row: 3,
            tenure: Duration::from_secs(10),
            cooldown: Duration::from_secs(30),
        }
    }
}
