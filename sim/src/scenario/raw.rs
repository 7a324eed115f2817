//! A scenario file as it stands: every key an option, every value with its place.
//!
//! Flat on purpose: serde's flatten, untagged and internally tagged enums lose the place of an error. What belongs together and what excludes each
//! other is checked in `validate`.

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
    pub seed: Option<Spanned<i64>>,
    pub bug: Text,
    pub cluster: Option<RawCluster>,
    pub chat: Option<RawChat>,
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
    pub disk_stall: Text,
    pub leader_silence: Text,
    pub lease_drift: Text,
    pub spares: Option<Spanned<i64>>,
    pub succession: Option<Spanned<RawSuccession>>,
    /// By node, or `default`.
    pub clocks: Option<BTreeMap<String, Spanned<RawClock>>>,
    /// Bytes of events that may wait for one reader.
    pub reader: Text,
    /// Bytes of tentative entries that one node holds.
    pub outbox: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawClock {
    pub skew: Text,
    pub drift: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSuccession {
    pub policy: Text,
    pub order: Option<Spanned<Vec<i64>>>,
    pub probe: Text,
    pub evaluation: Text,
    pub max_age: Text,
    pub gain: Text,
    pub resolution: Text,
    pub tenure: Text,
    pub cooldown: Text,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDisk {
    pub sync: Text,
    pub sector: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWorkload {
    pub clients: Option<Spanned<i64>>,
    pub rooms: Option<Spanned<i64>>,
    pub rate: Text,
    pub stop: Text,
    pub posts: Option<Spanned<i64>>,
    pub text: Option<Spanned<Vec<u32>>>,
    pub link: Text,
    pub joiner: Option<Spanned<RawJoiner>>,
    pub pages: Text,
    pub pages_back: Text,
    pub moves: Text,
    pub stay: Option<bool>,
    pub quits: Text,
    pub restarts: Text,
    pub arrivals: Text,
    pub devices: Option<Spanned<i64>>,
    pub edits: Text,
    pub deletes: Text,
    pub reactions: Text,
    pub reads: Text,
    pub replies: Text,
    pub friends: Text,
    pub moderation: Text,
    pub room_churn: Text,
    pub logouts: Text,
}

impl RawWorkload {
    /// How often clients do each further thing, in the order of [`super::ACTS`].
    pub fn acts(&self) -> [&Text; super::ACTS.len()] {
        [
            &self.edits,
            &self.deletes,
            &self.reactions,
            &self.reads,
            &self.replies,
            &self.friends,
            &self.moderation,
            &self.room_churn,
            &self.logouts,
        ]
    }
}

/// What the cluster is founded with: see `chat::Settings` and `chat::Rules`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawChat {
    pub sign_in: Text,
    pub devices: Option<Spanned<i64>>,
    pub idle: Text,
    pub direct: Text,
    pub erase: Option<bool>,
    pub admins_make_rooms: Option<bool>,
    pub history: Text,
    pub edits: Option<bool>,
    pub text_bytes: Option<Spanned<i64>>,
    pub tentative: Text,
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
    #[expect(dead_code, reason = "whether and how often it is in a run is settled by `template`")]
    pub chance: Any,
    #[expect(dead_code, reason = "as above")]
    pub copies: Any,
    #[expect(dead_code, reason = "as above")]
    pub pick: Any,
    #[expect(dead_code, reason = "as above")]
    pub needs_voters: Any,
    /// It may never fire.
    pub optional: Option<bool>,
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
    pub pause: Any,
    pub partition: Any,
    pub isolate: Any,
    pub bridge: Any,
    pub star: Any,
    #[serde(rename = "one-way")]
    pub one_way: Any,
    pub reset: Any,
    pub links: Option<Spanned<BTreeMap<String, Spanned<String>>>>,
    pub loss: Text,
    pub delay: Text,
    pub duplicate: Text,
    pub stall: Any,
    #[serde(rename = "slow-disk")]
    pub slow_disk: Text,
    pub full: Any,
    pub fail: Any,
    pub transfer: Any,
    pub succession: Text,
    pub remove: Any,
    pub replace: Any,
    pub add: Option<Spanned<i64>>,
    pub voters: Option<Spanned<i64>>,
    // of whom, with what outcome
    pub disk: Text,
    pub rot: Text,
    pub restart: Text,
    pub on: Any,
    // clocks
    pub skew: Text,
    pub drift: Text,
    pub jump: Text,
    // more of links
    pub clog: Text,
    pub queue: Text,
    pub reorder: Text,
    pub by: Text,
    // more of disks
    pub misread: Any,
    // clients
    pub disconnect: Any,
    #[serde(rename = "cut-clients")]
    pub cut_clients: Any,
    #[serde(rename = "slow-reader")]
    pub slow_reader: Any,
    pub rate: Text,
    #[serde(rename = "retry-storm")]
    pub retry_storm: Any,
}

/// All verbs, for error messages.
pub(super) const VERBS: &str = "crash, pause, partition, isolate, bridge, star, one-way, reset, links, loss, delay, duplicate, stall, slow-disk, \
     full, fail, misread, skew, drift, jump, clog, reorder, disconnect, cut-clients, slow-reader, retry-storm, transfer, succession, remove, replace, add or \
     voters";

impl RawFault {
    /// The verbs of this fault that are implemented, with their places.
    pub fn verbs(&self) -> Vec<(&'static str, std::ops::Range<usize>)> {
        fn at<T>(value: &Option<Spanned<T>>) -> Option<std::ops::Range<usize>> {
            value.as_ref().map(Spanned::span)
        }
        let all = [
            ("crash", at(&self.crash)),
            ("pause", at(&self.pause)),
            ("partition", at(&self.partition)),
            ("isolate", at(&self.isolate)),
            ("bridge", at(&self.bridge)),
            ("star", at(&self.star)),
            ("one-way", at(&self.one_way)),
            ("reset", at(&self.reset)),
            ("links", at(&self.links)),
            ("loss", at(&self.loss)),
            ("delay", at(&self.delay)),
            ("duplicate", at(&self.duplicate)),
            ("stall", at(&self.stall)),
            ("slow-disk", at(&self.slow_disk)),
            ("full", at(&self.full)),
            ("fail", at(&self.fail)),
            ("transfer", at(&self.transfer)),
            ("succession", self.succession.as_ref().map(Spanned::span)),
            ("remove", at(&self.remove)),
            ("replace", at(&self.replace)),
            ("add", at(&self.add)),
            ("voters", at(&self.voters)),
            ("skew", at(&self.skew)),
            ("drift", at(&self.drift)),
            ("jump", at(&self.jump)),
            ("clog", at(&self.clog)),
            ("reorder", at(&self.reorder)),
            ("misread", at(&self.misread)),
            ("disconnect", at(&self.disconnect)),
            ("cut-clients", at(&self.cut_clients)),
            ("slow-reader", at(&self.slow_reader)),
            ("retry-storm", at(&self.retry_storm)),
        ];
        all.into_iter().filter_map(|(name, span)| span.map(|span| (name, span))).collect()
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawExpect {
    pub reached: Option<Spanned<Vec<String>>>,
    pub proof: Option<RawProof>,
    pub unavailable_max: Text,
    pub accepted_within: Text,
    pub heal_within: Text,
    pub min_acked: Option<Spanned<i64>>,
    pub transfers_max: Option<Spanned<i64>>,
    pub leader: Text,
    pub members: Option<Spanned<Vec<String>>>,
    pub voters: Option<Spanned<i64>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProof {
    pub acked: Option<Spanned<i64>>,
    pub accepted: Option<Spanned<i64>>,
    pub fired: Option<Spanned<i64>>,
}
