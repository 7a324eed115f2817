//! A scenario file as it stands: every key an option, every value with its place.
//!
//! Flat on purpose: serde's flatten, untagged and internally tagged enums lose the place of an error. What belongs together and what excludes each
//! other is checked in `validate`. Keys of faults that are not implemented yet are known here, so that they are refused by name.

use serde::Deserialize;
use std::collections::BTreeMap;
use toml::{Spanned, Value};

pub(super) type Text = Option<Spanned<String>>;
pub(super) type Any = Option<Spanned<Value>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawScenario {
    pub schema: Option<Spanned<i64>>,
    pub name: Text,
    pub about: Option<String>,
    pub cluster: Option<RawCluster>,
    pub workload: Option<RawWorkload>,
    #[serde(default)]
    pub fault: Vec<Spanned<RawFault>>,
    pub expect: Option<RawExpect>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCluster {
    pub voters: Option<Spanned<i64>>,
    pub links: Option<BTreeMap<String, Spanned<String>>>,
    pub disk: Option<RawDisk>,
    /// How much log a node keeps; parts and rate of snapshots go with it.
    pub log: Text,
    pub heartbeat: Text,
    pub detect_min: Text,
    pub detection: Text,
    pub stagger: Text,
    pub jitter: Text,
    pub hold: Text,
    pub request: Text,
    pub forward_again: Text,
    // not implemented yet
    pub succession: Any,
    pub clocks: Any,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDisk {
    pub sync: Text,
    // not implemented yet
    pub sector: Any,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWorkload {
    pub clients: Option<Spanned<i64>>,
    pub rooms: Option<Spanned<i64>>,
    pub rate: Text,
    pub stop: Text,
    pub text: Option<Spanned<Vec<u32>>>,
    pub link: Text,
    pub joiner: Option<Spanned<RawJoiner>>,
    pub pages: Text,
    pub moves: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawJoiner {
    pub at: Text,
    pub last: Option<Spanned<i64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFault {
    pub id: Text,
    // when
    pub at: Text,
    pub every: Text,
    pub from: Text,
    pub until: Text,
    pub during: Text,
    pub after: Text,
    pub wait: Text,
    pub when: Text,
    pub nth: Option<Spanned<i64>>,
    #[serde(rename = "for")]
    pub lasts: Text,
    // what
    pub crash: Any,
    pub partition: Any,
    pub loss: Text,
    pub delay: Text,
    pub duplicate: Text,
    // of whom, with what outcome
    pub disk: Text,
    pub on: Any,
    // not implemented yet
    pub pause: Any,
    pub clock: Any,
    pub skew: Any,
    pub drift: Any,
    pub jump: Any,
    pub rot: Any,
    pub stall: Any,
    pub slow: Any,
    pub full: Any,
    pub fail: Any,
    pub clog: Any,
    pub reorder: Any,
    pub transfer: Any,
    pub join: Any,
    pub remove: Any,
}

impl RawFault {
    /// The verbs of this fault that are implemented, with their places.
    pub fn verbs(&self) -> Vec<(&'static str, std::ops::Range<usize>)> {
        let mut verbs = Vec::new();
        let mut push = |name, span: Option<std::ops::Range<usize>>| verbs.extend(span.map(|span| (name, span)));
        push("crash", self.crash.as_ref().map(Spanned::span));
        push("partition", self.partition.as_ref().map(Spanned::span));
        push("loss", self.loss.as_ref().map(Spanned::span));
        push("delay", self.delay.as_ref().map(Spanned::span));
        push("duplicate", self.duplicate.as_ref().map(Spanned::span));
        verbs
    }

    /// The faults that are known and not implemented.
    pub fn refused(&self) -> Option<(&'static str, std::ops::Range<usize>)> {
        let known: [(&'static str, &Any); 15] = [
            ("pause", &self.pause),
            ("clock", &self.clock),
            ("skew", &self.skew),
            ("drift", &self.drift),
            ("jump", &self.jump),
            ("rot", &self.rot),
            ("stall", &self.stall),
            ("slow", &self.slow),
            ("full", &self.full),
            ("fail", &self.fail),
            ("clog", &self.clog),
            ("reorder", &self.reorder),
            ("transfer", &self.transfer),
            ("join", &self.join),
            ("remove", &self.remove),
        ];
        known.into_iter().find_map(|(name, value)| value.as_ref().map(|value| (name, value.span())))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawExpect {
    pub reached: Option<Vec<String>>,
    pub unavailable_max: Text,
    pub heal_within: Text,
    pub min_acked: Option<Spanned<i64>>,
}
