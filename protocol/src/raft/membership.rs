//! The configuration by the log, and how a leader changes it (thesis 4.1 to 4.4).
//!
//! - What stands in the log counts at once; what is cut off the log has never counted.
//! - One change at a time, and none before an entry of the leader's own term is committed (the bug of single-server changes, Ongaro 2015, raft-dev).
//! - A leader that is not among the new voters leads until they are committed, hands over, and then is no member any more.

use super::progress::Progress;
use super::*;
use crate::point;
use crate::sometimes;
use crate::time::Duration;

/// Configurations that stand in the log.
#[derive(Clone, Debug, Hash)]
pub(super) struct Configurations {
    committed: Configuration,
    /// Where `committed` stands in the log, or a place of rows that say so.
    committed_at: Index,
    /// Whether `committed` comes from the log, rather than from what the node was started with.
    by_log: bool,
    /// In the log and not known to be committed, oldest first.
    later: Vec<(Index, Configuration)>,
}

impl Configurations {
    pub(super) fn new(committed: Configuration, by_log: bool) -> Configurations {
        Configurations { committed, committed_at: 0, by_log, later: Vec::new() }
    }

    /// The one that counts.
    pub(super) fn current(&self) -> &Configuration {
        self.later.last().map_or(&self.committed, |(_, configuration)| configuration)
    }

    pub(super) fn committed(&self) -> &Configuration {
        &self.committed
    }

    pub(super) fn is_by_log(&self) -> bool {
        self.by_log || !self.later.is_empty()
    }

    /// Whether the one that counts is committed and final: only then may another change begin.
    pub(super) fn is_settled(&self) -> bool {
        self.later.is_empty() && !self.committed.is_joint()
    }

    pub(super) fn push(&mut self, index: Index, configuration: Configuration) {
        self.later.push((index, configuration));
    }

    /// True if one that counted stood at or above `index`.
    pub(super) fn truncate_from(&mut self, index: Index) -> bool {
        let before = self.later.len();
        self.later.retain(|(at, _)| *at < index);
        self.later.len() < before
    }

    /// A snapshot says which one is committed through `index`. What stands in the log behind it counts on, if the log is `kept`: it may be committed itself.
    pub(super) fn installed(&mut self, index: Index, committed: Configuration, kept: bool) {
        if !kept || self.committed_at <= index {
            (self.committed, self.committed_at, self.by_log) = (committed, index, true);
        }
        self.later.retain(|(at, _)| kept && *at > index);
    }

    /// True if one was committed by this.
    pub(super) fn commit(&mut self, through: Index) -> bool {
        let committed = self.later.iter().take_while(|(at, _)| *at <= through).count();
        if let Some((at, configuration)) = self.later.drain(..committed).next_back() {
            (self.committed, self.committed_at, self.by_log) = (configuration, at, true);
        }
        committed > 0
    }
}

/// How far a change is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Changing {
    /// It is so, and committed.
    Done,
    /// It has begun, or something else has to be done first: ask again.
    Pending,
    /// The learner is not yet there: it holds so much of so many entries.
    CatchingUp { matched: Index, last: Index },
    /// Ask the leader.
    NotLeader,
}

/// How long a removed member is still told what it has missed: that it is one no more.
const FAREWELL: Duration = Duration::from_secs(10);

impl Raft {
    /// The members by the log as it stands here, committed or not.
    pub fn configuration(&self) -> &Configuration {
        #[cfg(feature = "zoo")]
        if self.has(Bug::MembershipAtCommit) {
            return self.configurations.committed();
        }
        self.configurations.current()
    }

    /// The members by what is known to be committed.
    pub fn committed_configuration(&self) -> &Configuration {
        self.configurations.committed()
    }

    /// Whether the log says who the members are, and which data folder is each one's. Until then nobody's folder is refused.
    pub fn is_configured(&self) -> bool {
        self.configurations.is_by_log()
    }

    /// Whether this node is known to be a member no more. What this one was started with knows nothing of that, and may name only some of the members.
    pub fn was_removed(&self, node: NodeId) -> bool {
        self.configurations.by_log && self.committed_configuration().was_removed(node)
    }

    /// Whether messages go to this node: to members, and for a while to those who must hear that they are none any more.
    pub fn speaks_to(&self, node: NodeId) -> bool {
        let leaving = |leading: &Leading| leading.progress.contains_key(&node);
        self.configuration().is_member(node) || matches!(&self.role, Role::Leader(leading) if leaving(leading))
    }

    /// Counts changes of [`Raft::configuration`] and [`Raft::speaks_to`], so that nobody has to compare them.
    pub fn members_version(&self) -> u64 {
        self.members_version
    }

    /// Asks for a change. The same change may be asked for again and again until it is [`Changing::Done`]: that is how an asker waits for it.
    ///
    /// # Errors
    /// Why it will not be made.
    pub fn change(&mut self, now: Now, change: &Change) -> Result<Changing, ChangeRefusal> {
        let Role::Leader(leading) = &self.role else { return Ok(Changing::NotLeader) };
        let opened = self.commit >= leading.opened_by;
        #[cfg(feature = "zoo")]
        let opened = opened || self.has(Bug::ChangeBeforeNoop);
        if !opened {
            return Ok(Changing::Pending);
        }
        let settled = self.configurations.is_settled();
        #[cfg(feature = "zoo")]
        let settled = settled || self.has(Bug::TwoChangesAtOnce);
        let Some(next) = self.configuration().after(change)? else {
            return Ok(if settled { Changing::Done } else { Changing::Pending });
        };
        if !settled || leading.transfer.is_some() {
            return Ok(Changing::Pending);
        }
        if let Change::Promote { node } = change
            && !self.has_caught_up(*node)
        {
            let matched = leading.progress.get(node).map_or(0, |progress| progress.matched);
            return Ok(Changing::CatchingUp { matched, last: self.log.last().index });
        }
        self.append_configuration(now, &next);
        Ok(Changing::Pending)
    }

    fn append_configuration(&mut self, now: Now, configuration: &Configuration) {
        self.append_own(now, crate::wire::seal(Kind::Membership, configuration));
    }

    /// A member that lacks no more than what a heartbeat's time brings: making it a voter does not make everybody wait (4.2.1).
    fn has_caught_up(&self, node: NodeId) -> bool {
        let Role::Leader(leading) = &self.role else { return false };
        leading.progress.get(&node).is_some_and(|progress| {
            self.is_well(progress) && progress.matched >= leading.last_at_heartbeat && progress.matched > 0
        })
    }

    /// Whether a follower answers, and what it says counts.
    pub(super) fn is_well(&self, progress: &Progress) -> bool {
        progress.counts() && self.now.instant.since(progress.heard) < self.timing.detect_min
    }

    /// How far each member's log is known to be that of this leader; empty when this node does not lead.
    pub fn lag(&self) -> Vec<(NodeId, Index)> {
        match &self.role {
            Role::Leader(leading) => leading.progress.iter().map(|(id, progress)| (*id, progress.matched)).collect(),
            _ => Vec::new(),
        }
    }

    /// The configuration that counts is another one now.
    pub(super) fn configuration_changed(&mut self) {
        self.members_version += 1;
        let (now, last, me) = (self.now.instant, self.log.last().index, self.node);
        let configuration = self.configurations.current();
        let Role::Leader(leading) = &mut self.role else { return };
        let round = leading.round;
        for member in configuration.members().iter().filter(|member| member.id != me) {
            let boot = self.links.get(&member.id).copied();
            let progress = leading.progress.entry(member.id).or_insert_with(|| Progress::new(last, now, boot, round));
            progress.leaving = None;
            #[cfg(feature = "zoo")]
            progress.set_bug(self.bug);
        }
        for (id, progress) in &mut leading.progress {
            if !configuration.is_member(*id) && progress.leaving.is_none() {
                progress.leaving = Some((last, now + FAREWELL));
            }
        }
    }

    /// Whether a removed member answers this leader, which is still telling it: that is heard, so that it can be helped to the entry that removes it. Nothing else is, and
    /// no term that it may have come to by itself (4.2.3).
    pub(super) fn is_farewell(&self, from: NodeId, message: &RaftMessage) -> bool {
        let answers =
            matches!(message, RaftMessage::Appended { .. } | RaftMessage::Refused { .. }) && message.term() == self.vote.term;
        answers && matches!(&self.role, Role::Leader(leading) if leading.progress.contains_key(&from))
    }

    /// Lets go of removed members that have been told, or had time enough.
    pub(super) fn say_farewell(&mut self, now: Now) {
        let (commit, soon) = (self.commit, now.instant + self.timing.heartbeat * 4);
        let Role::Leader(leading) = &mut self.role else { return };
        let before = leading.progress.len();
        for progress in leading.progress.values_mut() {
            if let Some((gone_at, until)) = &mut progress.leaving
                && *gone_at <= commit
                && *gone_at <= progress.matched
            {
                *until = soon.min(*until);
            }
        }
        leading.progress.retain(|_, progress| progress.leaving.is_none_or(|(_, until)| now.instant < until));
        if leading.progress.len() < before {
            self.members_version += 1;
        }
    }

    /// A configuration is committed: this node may be no member any more.
    pub(super) fn configuration_committed(&mut self, now: Now) {
        self.members_version += 1;
        let committed = self.configurations.committed();
        let (removed, joint) = (committed.was_removed(self.node), committed.is_joint());
        let point = if joint { point!("configuration.joint") } else { point!("configuration.changed") };
        self.facts.tell(|| Fact::Reached { point });
        if removed {
            // Not at once: what is being said has to go out, and a successor has to be told.
            self.leave_at = Some(now.instant + self.timing.heartbeat * 4);
        }
    }

    /// The leader goes on with a change whose last step is committed: its own, or one that an earlier leader has left half done. It looks whenever it commits
    /// something: a joint configuration may have been committed before it led, and then nothing else says that the change is not done.
    pub(super) fn go_on_with_change(&mut self, now: Now) {
        #[cfg(feature = "zoo")]
        if self.is_leader() && self.has(Bug::LeaveJointEarly) && self.configurations.current().is_joint() {
            let next = self.configurations.current().leave_joint();
            return self.append_configuration(now, &next);
        }
        if !self.is_leader() || !self.configurations.later.is_empty() {
            return;
        }
        if self.configurations.committed().is_joint() {
            let next = self.configurations.committed().leave_joint();
            self.append_configuration(now, &next);
        } else if !self.configuration().is_voter(self.node) {
            sometimes!(self.facts, "leader.removed");
            self.step_aside(now);
        }
    }

    /// Learners that have caught up become voters, as far as the configuration wants more (4.2.1).
    pub(super) fn promote_learners(&mut self, now: Now) {
        let Role::Leader(leading) = &self.role else { return };
        let settled = self.configurations.is_settled();
        #[cfg(feature = "zoo")]
        let settled = settled || self.has(Bug::TwoChangesAtOnce);
        if self.commit < leading.opened_by || !settled || leading.transfer.is_some() {
            return;
        }
        let Some(node) = self.configuration().to_promote(|id| self.has_caught_up(id)) else { return };
        if let Ok(Some(next)) = self.configuration().after(&Change::Promote { node }) {
            sometimes!(self.facts, "learner.promoted");
            self.append_configuration(now, &next);
        }
    }
}

/// The configuration in an entry.
pub(crate) fn configuration_in(entry: &Entry) -> Option<Configuration> {
    match Kind::of(&entry.payload).ok()? {
        // The first release knew only voters.
        Kind::Configuration => open(Kind::Configuration, &entry.payload).ok().map(Configuration::of_voters),
        Kind::Membership => open(Kind::Membership, &entry.payload).ok(),
        _ => None,
    }
}
