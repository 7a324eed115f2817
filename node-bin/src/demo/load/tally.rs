//! What the load's clients saw, judged and counted.
//!
//! Two look at every fact, and neither believes the other: the judge of the simulator ([`Judge::for_clients`]), which objects to the first thing that may not be; and the ledger here,
//! which counts messages. A message is
//! - *lost* if a client was told that it has a place, and another message stands there, or somebody who was told everything in order went past it, or it is not there when the room is read back;
//! - *doubled* if it, or what it says, stands at two places, or a client is told of it twice;
//! - *reordered* if a place holds different messages for two clients, if what one client is told goes back, or if two posts of one client do not stand as they were sent.
//!
//! A demo may run for days, so what is remembered is bounded: by generations. When a generation has [`PLENTY`] posts or is [`LONG`] old, and all is settled (no post open, everybody told of everything, no
//! tentative message on any screen), its posts are read back from the cluster and compared, the judge applies the rules of the end, and a new judge begins. The figures go on. While it cannot end, because
//! a part of the cluster is cut off, it may grow to [`TOO_MANY`] posts; then the load waits, and says so.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use tertulia_judge::{At, ClientFact, Judge, Observed, ReadPost, Violation, about};
use tertulia_protocol::ids::{MessageId, RoomId, Seq};

/// Posts after which a generation shall end …
pub const PLENTY: u64 = 10_000;
/// … its age, if it has any …
pub const LONG: Duration = Duration::from_secs(1_800);
/// … and posts after which there are no more before it has ended.
pub const TOO_MANY: u64 = 50_000;
/// Violations that are kept with their words; all are counted.
const VIOLATIONS: usize = 20;
/// Latencies are those of the last ten seconds, in microseconds.
const RECENT: u64 = 10_000_000;
/// … and so many at most.
const LATENCIES: usize = 8_192;
/// A shorter wait is not without service, in microseconds.
const INTERRUPTION: u64 = 100_000;

/// A client, and its own number of a request.
type Request = (u32, u64);

#[derive(Clone, Copy)]
struct Open {
    since: u64,
    accepted: bool,
}

/// Counts of the whole run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    pub sent: u64,
    /// Told at least once that they are accepted without a leader.
    pub accepted: u64,
    pub committed: u64,
    pub refused: u64,
    /// Of which nobody will hear what became.
    pub unknown: u64,
    pub lost: u64,
    pub doubled: u64,
    pub reordered: u64,
    pub violations: u64,
    /// Posts that were read back at the end of a generation, and found.
    pub read_back: u64,
    /// What clients were told live.
    pub delivered: u64,
    pub reads: u64,
    /// Microseconds in which somebody waited and nobody was answered, in stretches of at least a tenth of a second …
    pub without_service: u64,
    /// … and the longest, and the last of them.
    pub longest_wait: u64,
    pub last_wait: u64,
}

/// What is known of one generation's messages.
#[derive(Default)]
struct Ledger {
    posts: u64,
    /// Where a message stands, and what stands at a place.
    placed: BTreeMap<MessageId, Seq>,
    at_place: BTreeMap<Seq, MessageId>,
    /// What was sent, by text; and the message that says it.
    sent: BTreeMap<u64, Option<MessageId>>,
    /// What clients were told to have its place.
    acknowledged: BTreeMap<Seq, MessageId>,
    numbers: BTreeMap<u32, BTreeMap<u64, Seq>>,
    /// Through where a client was told everything.
    told: BTreeMap<u32, Seq>,
    /// Places that somebody went past.
    skipped: BTreeSet<Seq>,
    lost: BTreeSet<MessageId>,
    doubled: BTreeSet<MessageId>,
    reordered: BTreeSet<MessageId>,
}

impl Ledger {
    fn sees(&mut self, id: MessageId, seq: Seq, text_digest: Option<u64>) {
        if *self.placed.entry(id).or_insert(seq) != seq {
            self.doubled.insert(id);
        }
        let there = *self.at_place.entry(seq).or_insert(id);
        if there != id {
            self.reordered.insert(id);
            // Somebody was told that the other one stands here.
            if self.acknowledged.get(&seq) == Some(&there) {
                self.lost.insert(there);
            }
        }
        if let Some(said) = text_digest.and_then(|digest| self.sent.get_mut(&digest))
            && *said.get_or_insert(id) != id
        {
            self.doubled.insert(id);
        }
    }

    fn acknowledges(&mut self, client: u32, number: u64, seq: Seq, id: MessageId) {
        self.sees(id, seq, None);
        self.acknowledged.entry(seq).or_insert(id);
        if self.skipped.contains(&seq) {
            self.lost.insert(id);
        }
        let numbers = self.numbers.entry(client).or_default();
        let before = numbers.range(..number).next_back().is_some_and(|(_, earlier)| *earlier >= seq);
        let after = numbers.range(number + 1..).next().is_some_and(|(_, later)| *later <= seq);
        if before || after {
            self.reordered.insert(id);
        }
        numbers.insert(number, seq);
    }

    fn delivers(&mut self, client: u32, seq: Seq, id: MessageId, text_digest: u64) {
        self.sees(id, seq, Some(text_digest));
        let Some(last) = self.told.get(&client).copied() else {
            self.told.insert(client, seq);
            return;
        };
        if seq <= last {
            let again = self.placed.get(&id) == Some(&seq) && self.at_place.get(&seq) == Some(&id);
            if again {
                self.doubled.insert(id)
            } else {
                self.reordered.insert(id)
            };
            return;
        }
        for missed in last + 1..seq {
            self.skipped.insert(missed);
            self.lost.extend(self.acknowledged.get(&missed));
        }
        self.told.insert(client, seq);
    }

    /// What was acknowledged and is not there. Returns how many were found.
    fn compare(&mut self, posts: &BTreeMap<Seq, MessageId>) -> u64 {
        let missing = self.acknowledged.iter().filter(|(seq, id)| posts.get(seq) != Some(id)).map(|(_, id)| *id);
        let missing: Vec<MessageId> = missing.collect();
        let found = self.acknowledged.len() - missing.len();
        self.lost.extend(missing);
        found as u64
    }

    fn wrong(&self) -> (u64, u64, u64) {
        (self.lost.len() as u64, self.doubled.len() as u64, self.reordered.len() as u64)
    }
}

pub struct Tally {
    judge: Judge,
    ledger: Ledger,
    /// Of generations that have ended.
    ended: Figures,
    figures: Figures,
    generation: u64,
    /// When it began, in microseconds.
    began: u64,
    open: BTreeMap<Request, Open>,
    /// Somebody waits since then, and nobody was answered since.
    waiting_since: Option<u64>,
    latencies: VecDeque<(u64, u64)>,
    /// Messages without a place on screens, by client.
    tails: BTreeMap<u32, BTreeSet<MessageId>>,
    room: Option<RoomId>,
    violations: Vec<Violation>,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally {
            judge: Judge::for_clients(),
            ledger: Ledger::default(),
            ended: Figures::default(),
            figures: Figures::default(),
            generation: 1,
            began: 0,
            open: BTreeMap::new(),
            waiting_since: None,
            latencies: VecDeque::new(),
            tails: BTreeMap::new(),
            room: None,
            violations: Vec::new(),
        }
    }
}

impl Tally {
    /// Something that a client did or saw, in the order of [`tertulia_judge::observed`].
    pub fn observe(&mut self, at: At, fact: &ClientFact) {
        let judged = self.judge.observe(at, Observed::Client(fact));
        self.judged(judged);
        match *fact {
            ClientFact::Joined { room, .. } => self.room = Some(room),
            ClientFact::Submitted { client, number, text_digest, .. } => {
                self.figures.sent += 1;
                self.ledger.posts += 1;
                self.ledger.sent.insert(text_digest, None);
                self.open.insert((client, number), Open { since: at.0, accepted: false });
                self.waiting_since.get_or_insert(at.0);
            }
            ClientFact::Accepted { client, number, .. } => {
                if let Some(open) = self.open.get_mut(&(client, number)).filter(|open| !open.accepted) {
                    open.accepted = true;
                    self.figures.accepted += 1;
                    self.answered(at.0);
                }
            }
            ClientFact::Acknowledged { client, number, seq, id, .. } => {
                self.ledger.acknowledges(client, number, seq, id);
                if let Some(open) = self.open.remove(&(client, number)) {
                    self.figures.committed += 1;
                    if self.latencies.len() == LATENCIES {
                        self.latencies.pop_front();
                    }
                    self.latencies.push_back((at.0, at.0.saturating_sub(open.since)));
                    self.answered(at.0);
                }
            }
            ClientFact::RefusedFinally { client, number } if self.open.remove(&(client, number)).is_some() => {
                self.figures.refused += 1;
                self.answered(at.0);
            }
            ClientFact::GaveUp { client, number } if self.open.remove(&(client, number)).is_some() => {
                self.figures.unknown += 1;
                self.answered(at.0);
            }
            ClientFact::Delivered { client, seq, id, text_digest, .. } => {
                self.figures.delivered += 1;
                self.ledger.delivers(client, seq, id, text_digest);
            }
            ClientFact::Read { ref posts, .. } => {
                self.figures.reads += 1;
                posts.iter().for_each(|post| self.ledger.sees(post.id, post.seq, Some(post.text_digest)));
            }
            // What is not kept any more is told to nobody.
            ClientFact::Skipped { client, .. } => _ = self.ledger.told.remove(&client),
            ClientFact::Tentative { client, id, .. } => _ = self.tails.entry(client).or_default().insert(id),
            ClientFact::Untailed { client, id, .. } | ClientFact::Withdrawn { client, id, .. } => {
                if let Some(tail) = self.tails.get_mut(&client) {
                    tail.remove(&id);
                }
            }
            _ => {}
        }
        self.count();
    }

    /// A client follows the room from behind this place on.
    pub fn follows(&mut self, client: u32, behind: Seq) {
        self.ledger.told.insert(client, behind);
    }

    /// A client is gone, with its screen.
    pub fn left(&mut self, client: u32) {
        self.ledger.told.remove(&client);
        self.tails.remove(&client);
    }

    fn judged(&mut self, judged: Result<(), Violation>) {
        if let Err(violation) = judged {
            self.figures.violations += 1;
            if self.violations.len() < VIOLATIONS {
                self.violations.push(violation);
            }
        }
    }

    /// The ledger's counts, those of ended generations among them.
    fn count(&mut self) {
        let (lost, doubled, reordered) = self.ledger.wrong();
        self.figures.lost = self.ended.lost + lost;
        self.figures.doubled = self.ended.doubled + doubled;
        self.figures.reordered = self.ended.reordered + reordered;
    }

    /// Somebody was answered: the wait that this ends counts, and the next one begins if others wait.
    fn answered(&mut self, now: u64) {
        let Some(since) = self.waiting_since.take() else { return };
        let wait = now.saturating_sub(since);
        if wait >= INTERRUPTION {
            self.figures.without_service += wait;
            self.figures.last_wait = wait;
        }
        self.figures.longest_wait = self.figures.longest_wait.max(wait);
        self.waiting_since = self.open.values().any(|open| !open.accepted).then_some(now);
    }

    pub fn figures(&self) -> Figures {
        self.figures
    }

    /// Whether this generation shall end.
    pub fn is_due(&self, now: u64) -> bool {
        self.ledger.posts >= PLENTY || self.ledger.posts > 0 && now.saturating_sub(self.began) >= LONG.as_micros() as u64
    }

    /// Whether anything was posted in this generation.
    pub fn has_posts(&self) -> bool {
        self.ledger.posts > 0
    }

    /// Whether it has so many posts that there are no more before it has ended.
    pub fn is_full(&self) -> bool {
        self.ledger.posts >= TOO_MANY
    }

    /// Why this generation cannot end yet; `clients`: those that are told of everything.
    pub fn unsettled(&self, clients: &BTreeSet<u32>) -> Option<String> {
        if !self.open.is_empty() {
            return Some(format!("{} posts have no place yet", self.open.len()));
        }
        if self.tails.values().any(|tail| !tail.is_empty()) {
            return Some("tentative messages stand on screens".into());
        }
        let newest = self.ledger.acknowledged.keys().next_back().copied().unwrap_or(0);
        let behind = clients.iter().find(|client| self.ledger.told.get(client).copied().unwrap_or(0) < newest);
        behind.map(|client| format!("client {client} was not told of everything yet"))
    }

    /// The room, and behind which place this generation's posts stand.
    pub fn begins_behind(&self) -> Option<(RoomId, Seq)> {
        let first = self.ledger.acknowledged.keys().next()?;
        Some((self.room?, first - 1))
    }

    /// Ends a settled generation: `posts` is what was read back, from its beginning to the room's end.
    pub fn end(&mut self, at: At, posts: &[ReadPost]) {
        let posts: BTreeMap<Seq, MessageId> = posts.iter().map(|post| (post.seq, post.id)).collect();
        self.figures.read_back += self.ledger.compare(&posts);
        let judged = self.judge.finish(at);
        self.judged(judged);
        self.count();
        self.ended = self.figures;
        self.judge = Judge::for_clients();
        self.ledger = Ledger { told: std::mem::take(&mut self.ledger.told), ..Ledger::default() };
        self.tails.clear();
        self.generation += 1;
        self.began = at.0;
    }

    /// Everything that people want to see. `now`: microseconds, as the facts'.
    pub fn json(&self, now: u64) -> Value {
        let figures = self.figures;
        let mut recent: Vec<u64> =
            self.latencies.iter().rev().take_while(|(at, _)| at + RECENT >= now).map(|(_, took)| *took).collect();
        recent.sort_unstable();
        let percentile = |permille: usize| recent.get((recent.len() * permille / 1_000).min(recent.len().saturating_sub(1)));
        let milliseconds = |us: u64| us as f64 / 1_000.0;
        let waits = self.waiting_since.map_or(0, |since| now.saturating_sub(since));
        let interrupted = waits >= INTERRUPTION;
        let without = figures.without_service + if interrupted { waits } else { 0 };
        let violations: Vec<Value> = self.violations.iter().map(violation).collect();
        json!({
            "sent": figures.sent,
            "accepted": figures.accepted,
            "accepted_now": self.open.values().filter(|open| open.accepted).count(),
            "committed": figures.committed,
            "refused": figures.refused,
            "unknown": figures.unknown,
            "open": self.open.len(),
            "lost": figures.lost,
            "doubled": figures.doubled,
            "reordered": figures.reordered,
            "violations": figures.violations,
            "broken_rules": violations,
            "read_back": figures.read_back,
            "delivered": figures.delivered,
            "reads": figures.reads,
            "generation": self.generation,
            "full": self.is_full(),
            "without_service_s": without as f64 / 1e6,
            "longest_wait_ms": milliseconds(figures.longest_wait.max(waits)),
            "last_wait_ms": milliseconds(figures.last_wait),
            "interrupted": interrupted,
            "committed_per_s": recent.len() as f64 / (RECENT.min(now.max(1_000_000)) as f64 / 1e6),
            "median_ms": percentile(500).copied().map(milliseconds),
            "p99_ms": percentile(990).copied().map(milliseconds),
        })
    }
}

/// The rule, what was seen, and what the rule says.
fn violation(violation: &Violation) -> Value {
    json!({"rule": violation.rule, "seen": violation.evidence, "about": about(violation.rule)})
}

#[cfg(test)]
#[path = "tally_tests.rs"]
mod tests;
