//! Keeping house: what a leader proposes by itself so that nothing grows without limit, and what is agreed for the whole cluster.
//!
//! A leader only says what is due; applying looks again, so that a late or repeated command does no harm.

use super::messages::{PART, blank, drop_message, find};
use super::rows::{MessageRow, Sweep, change_key, message_key, room_sweep_key, seal_key, settings_key, user_sweep_key};
use super::*;

/// Sessions of one command.
const MOST_SESSIONS: usize = 512;
/// Removed nodes whose outboxes are remembered, and starts of one of them.
const MOST_SEALED: usize = 1_024;

/// What a leader should propose next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Due {
    /// This, now.
    Now(Bytes),
    /// Nothing before then.
    At(Timestamp),
    Never,
}

impl Chat {
    /// What is due at `now`. `led_since`: sessions are given their whole time again under a new leader, who cannot know what its predecessor was told.
    pub fn due(&self, now: Timestamp, led_since: Timestamp) -> Due {
        if let Some((room, Sweep::Room { from, .. })) = self.room_sweeps.first_key_value() {
            return Due::Now(Housekeeping::SweepRoom { room: *room, from: *from }.encode());
        }
        if let Some((user, Sweep::User { room, from })) = self.user_sweeps.first_key_value() {
            return Due::Now(Housekeeping::SweepUser { user: *user, room: *room, from: *from }.encode());
        }
        let idle_ms = self.idle_ms();
        let Some((oldest, _)) = self.by_seen.first().filter(|_| idle_ms > 0) else { return Due::Never };
        let next = (*oldest).max(led_since).after_ms(idle_ms);
        if next > now {
            return Due::At(next);
        }
        let is_over = |(seen, _): &&(Timestamp, SessionId)| (*seen).max(led_since).after_ms(idle_ms) <= now;
        let over = self.by_seen.iter().take_while(is_over).take(MOST_SESSIONS);
        Due::Now(Housekeeping::Expire { sessions: over.map(|(seen, session)| (*session, *seen)).collect() }.encode())
    }

    /// The settings that a new cluster begins with, if nothing is agreed yet.
    pub fn founding(&self, settings: &Settings) -> Option<Bytes> {
        let command = || Housekeeping::Configure { settings: settings.clone(), founding: true }.encode();
        (self.settings.is_none() && *settings != Settings::default()).then(command)
    }

    /// Says that these sessions are alive, as one command or several; those that were seen lately are left out.
    pub fn seen_commands(&self, now: Timestamp, sessions: &BTreeSet<SessionId>) -> Vec<Bytes> {
        let idle_ms = self.idle_ms();
        let stale = |session: &SessionId| self.seen(*session).is_some_and(|seen| seen.after_ms(idle_ms / 4) <= now);
        let sessions: Vec<SessionId> = sessions.iter().copied().filter(|session| idle_ms > 0 && stale(session)).collect();
        sessions.chunks(MOST_SESSIONS).map(|part| Housekeeping::Seen { sessions: part.to_vec() }.encode()).collect()
    }

    /// What a device has executed is a sign of life by itself, noted now and then: a node's word of it may come too late, or be lost.
    /// A session that has expired is not revived: its device is gone.
    pub(super) fn show_life(&mut self, at: &At, effects: Fx) {
        let quarter = self.idle_ms() / 4;
        if quarter > 0 && self.seen(at.session).is_some_and(|seen| seen.after_ms(quarter) <= at.at) {
            self.change_device(at.session, effects, |device| device.seen = device.seen.max(at.at));
        }
    }

    /// Whether something is left to do that needs no waiting for.
    pub fn has_chores(&self) -> bool {
        !self.room_sweeps.is_empty() || !self.user_sweeps.is_empty()
    }

    /// How long a session lives without a sign of life, in milliseconds; 0: for ever.
    pub fn idle_ms(&self) -> u64 {
        self.settings.as_ref().map_or(0, |settings| settings.idle_ms)
    }

    pub(super) fn keep_house(
        &mut self,
        at: &At,
        command: Housekeeping,
        rows: &[(Bytes, Bytes)],
        effects: Fx,
    ) -> Result<(), Refusal> {
        match command {
            Housekeeping::Configure { founding: true, .. } if self.settings.is_some() => Ok(()),
            Housekeeping::Configure { settings, .. } => self.configure(settings, effects),
            Housekeeping::Seen { sessions } => {
                for session in sessions.into_iter().take(MOST_SESSIONS) {
                    self.change_device(session, effects, |device| device.seen = device.seen.max(at.at));
                }
                Ok(())
            }
            Housekeeping::Expire { sessions } => {
                for (session, seen) in sessions.into_iter().take(MOST_SESSIONS) {
                    if self.seen(session) == Some(seen) || self.has_bug_expire_anyway() {
                        self.close(session, Ending::Expired, effects);
                    }
                }
                Ok(())
            }
            Housekeeping::SweepRoom { room, from } => {
                self.sweep_room(room, from, rows, effects);
                Ok(())
            }
            Housekeeping::SweepUser { user, room, from } => {
                self.sweep_user(at, user, (room, from), rows, effects);
                Ok(())
            }
            Housekeeping::Seal { node, outboxes } => {
                self.seal_outboxes(at, node, outboxes, effects);
                Ok(())
            }
        }
    }

    /// Removed nodes whose outboxes nobody waits for.
    pub(crate) fn seals(&self) -> impl ExactSizeIterator<Item = NodeId> + '_ {
        self.seals.keys().copied()
    }

    /// Through where the outboxes of a node were known when it was removed; `None`: it was not, or so long ago that many others were since then.
    pub fn sealed(&self, node: NodeId) -> Option<&Sealed> {
        self.seals.get(&node)
    }

    fn seal_outboxes(&mut self, at: &At, node: NodeId, outboxes: Vec<(Boot, u64)>, effects: Fx) {
        if self.seals.contains_key(&node) {
            return;
        }
        let mut known: BTreeMap<Boot, u64> = BTreeMap::new();
        for (boot, n) in outboxes {
            let through = known.entry(boot).or_default();
            *through = n.max(*through);
        }
        if self.seals.len() >= MOST_SEALED
            && let Some(oldest) = self.seals.iter().min_by_key(|(node, sealed)| (sealed.at, **node)).map(|(node, _)| *node)
        {
            let gone = self.seals.remove(&oldest);
            self.old_forms.write(effects, seal_key(oldest), gone.as_ref(), None);
        }
        let sealed = Sealed { at: at.at, outboxes: known.into_iter().take(MOST_SEALED).collect() };
        self.old_forms.write(effects, seal_key(node), None, Some(&sealed));
        self.seals.insert(node, sealed);
    }

    /// # Errors
    /// What no cluster may agree on.
    pub fn check_settings(&self, settings: &Settings) -> Result<(), Refusal> {
        self.check_rules(&settings.rules)?;
        if settings.idle_ms > 0 && settings.idle_ms < 1_000 {
            return Err(Refusal::BadRequest { why: "sessions live for at least 1,000 ms without a sign of life".into() });
        }
        Ok(())
    }

    pub(super) fn configure(&mut self, settings: Settings, effects: Fx) -> Result<(), Refusal> {
        self.check_settings(&settings)?;
        self.old_forms.write(effects, settings_key(), self.settings.as_ref(), Some(&settings));
        self.settings = Some(settings);
        Ok(())
    }

    /// The rows that the next part of a sweep looks at.
    pub(super) fn swept(&self, command: &Housekeeping) -> Vec<Bytes> {
        match command {
            Housekeeping::SweepRoom { room, from } => match self.room_sweeps.get(room) {
                Some(Sweep::Room { from: next, last, cursor }) if next == from => {
                    let messages = (*from..(*last + 1).min(from + PART)).map(|seq| message_key(*room, seq));
                    messages.chain((*from..(*cursor + 1).min(from + PART)).map(|cursor| change_key(*room, cursor))).collect()
                }
                _ => Vec::new(),
            },
            Housekeeping::SweepUser { user, room, from } => match self.user_sweeps.get(user) {
                Some(Sweep::User { room: next, from: at }) if (next, at) == (room, from) => {
                    let last = self.last_message(*room);
                    (*from..(last + 1).min(from + PART)).map(|seq| message_key(*room, seq)).collect()
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// Messages and changes are counted side by side: the part that ends both ends the sweep.
    fn sweep_room(&mut self, id: RoomId, from: Seq, rows: &[(Bytes, Bytes)], effects: Fx) {
        let Some(old @ Sweep::Room { from: next, last, cursor }) = self.room_sweeps.get(&id).copied() else { return };
        if next != from {
            return;
        }
        for (key, value) in rows {
            match message_place(key) {
                Some((_, seq)) => drop_message(id, seq, key, value, effects),
                None => effects.delete(key.clone(), value),
            }
        }
        let from = from + PART;
        let new = (from <= last.max(cursor)).then_some(Sweep::Room { from, last, cursor });
        self.old_forms.write(effects, room_sweep_key(id), Some(&old), new.as_ref());
        match new {
            Some(new) => self.room_sweeps.insert(id, new),
            None => self.room_sweeps.remove(&id),
        };
    }

    fn sweep_user(&mut self, at: &At, user: UserId, place: (RoomId, Seq), rows: &[(Bytes, Bytes)], effects: Fx) {
        let Some(old @ Sweep::User { room, from }) = self.user_sweeps.get(&user).copied() else { return };
        if (room, from) != place {
            return;
        }
        let last = self.last_message(room);
        for seq in from..(last + 1).min(from + PART) {
            let key = message_key(room, seq);
            let Some((_, value)) = find(rows, &key) else { continue };
            let Ok(mut row) = MessageRow::read(value) else { continue };
            if row.author == user && row.more.deleted.is_none() {
                for mentioned in core::mem::take(&mut row.more.mentions) {
                    self.change_member(room, mentioned, effects, |member| member.mentions.retain(|mention| *mention != seq));
                }
                if row.more.pinned {
                    self.change_info(room, effects, |info| info.pins.retain(|pin| *pin != seq));
                }
                blank(&mut row, user, at.at);
                effects.put(key, Some(value), row.seal());
            }
        }
        let after = (core::ops::Bound::Excluded(room), core::ops::Bound::Unbounded);
        let new = if from + PART <= last {
            Some(Sweep::User { room, from: from + PART })
        } else {
            self.rooms.range(after).next().map(|(room, _)| Sweep::User { room: *room, from: 1 })
        };
        self.old_forms.write(effects, user_sweep_key(user), Some(&old), new.as_ref());
        match new {
            Some(new) => self.user_sweeps.insert(user, new),
            None => self.user_sweeps.remove(&user),
        };
    }
}
