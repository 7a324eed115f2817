//! Rooms: how they come to be, who is in them, and what they are called.

use super::rows::{
    ChangeRow, Member, RoomEnd, RoomInfo, Row, Sweep, change_key, member_key, room_end_key, room_key, room_sweep_key,
};
use super::*;

/// The most nodes that a room may want a message on before it counts as accepted without a leader.
const MOST_COPIES: u8 = 9;

impl Chat {
    /// The room that a user means: a public one by its name, or one of its own.
    pub(super) fn room_for(&self, user: UserId, room: &RoomRef) -> Result<RoomId, Refusal> {
        let found = self.find_room_for(user, room).filter(|id| self.may_know(*id, user));
        let id = found.ok_or_else(|| Refusal::UnknownRoom { room: room.clone() })?;
        // The rows of all rooms that might be meant are read before it is known who asks.
        if let RoomRef::Name(name) = room
            && self.rooms_named(name).is_none()
        {
            return Err(Refusal::BadRequest { why: "too many rooms have this name: say which one by its id".into() });
        }
        Ok(id)
    }

    /// A room that the user is a member of, and that is not archived.
    pub(super) fn open_room_of(&self, user: UserId, room: &RoomRef) -> Result<RoomId, Refusal> {
        let id = self.room_for(user, room)?;
        let found = &self.rooms[&id];
        if !found.members.contains_key(&user) {
            let banned = found.standings.get(&user).is_some_and(|standing| standing.banned);
            return Err(if banned { Refusal::Banned { room: id } } else { Refusal::NotAMember { room: id } });
        }
        if found.info.archived { Err(Refusal::Archived { room: id }) } else { Ok(id) }
    }

    pub(super) fn create_room(&mut self, at: &At, user: UserId, name: String, effects: Fx) -> Result<Done, Refusal> {
        if let Some(room) = self.room_by_name.first(&names::fold(&name)) {
            self.join(at, user, room, effects)?;
            let name = self.rooms[&room].info.name.clone();
            return Ok(Done::Room { room, name, created: false });
        }
        let info = RoomInfo { name, rules: self.settings().rules, ..RoomInfo::default() };
        self.make_room(at, user, info, &[], effects)
    }

    pub(super) fn make_room(
        &mut self,
        at: &At,
        user: UserId,
        mut info: RoomInfo,
        others: &[UserRef],
        effects: Fx,
    ) -> Result<Done, Refusal> {
        if info.kind == RoomKind::Public {
            if self.settings().admins_make_rooms {
                self.needs_admin(user)?;
            }
            self.room_name_is_free(&info.name, None)?;
        }
        info.name = Name::of(&info.name).shown;
        info.topic = names::clean_text(info.topic);
        self.check_rules(&info.rules)?;
        let others = others.iter().map(|other| self.find_user(other)).collect::<Result<BTreeSet<UserId>, Refusal>>()?;
        for other in &others {
            if self.are_apart(user, *other) {
                return Err(Refusal::Blocked);
            }
            if info.kind == RoomKind::Group {
                self.may_join_another(*other)?;
            }
        }
        let (kind, name) = (info.kind, info.name.clone());
        let room = self.found_room(at, user, info, effects)?;
        self.enter(at, user, room, MemberRole::Owner, effects);
        for other in others.into_iter().filter(|other| *other != user) {
            if kind == RoomKind::Group {
                self.enter(at, other, room, MemberRole::Member, effects);
            } else {
                self.invite_one(user, room, other, effects);
            }
        }
        Ok(Done::Room { room, name, created: true })
    }

    /// A room without members. What can be refused is refused before anything is made.
    fn found_room(&mut self, at: &At, user: UserId, info: RoomInfo, effects: Fx) -> Result<RoomId, Refusal> {
        if self.rooms.len() >= self.limits.rooms as usize {
            return Err(Refusal::Full { what: "rooms".into(), limit: self.limits.rooms });
        }
        self.may_join_another(user)?;
        let last = self.rooms.last_key_value().map_or(0, |(last, _)| last.0).max(self.counters.last_room);
        let id = RoomId(last + 1);
        let info = RoomInfo { created: at.at, ..info };
        self.old_forms.write(effects, room_key(id), None, Some(&info));
        let end = RoomEnd { first: 1, ..RoomEnd::default() };
        self.hold_room(id, Room { info, end, ..Room::default() });
        Ok(id)
    }

    pub(super) fn room_name_is_free(&self, name: &str, but: Option<RoomId>) -> Result<(), Refusal> {
        let name = Name::of(name);
        if self.room_by_name.all(&name.folded).any(|room| Some(room) != but) {
            return Err(Refusal::NameTaken { name: name.shown });
        }
        let mut alike = self.room_by_looks.all(&name.looks).filter(|room| Some(*room) != but);
        match alike.next() {
            Some(other) => Err(Refusal::LooksLike { name: self.rooms[&other].info.name.clone() }),
            None => Ok(()),
        }
    }

    pub(super) fn check_rules(&self, rules: &Rules) -> Result<(), Refusal> {
        let limit = self.limits.text_bytes;
        let why = match rules {
            Rules { text_bytes, .. } if *text_bytes == 0 || *text_bytes > limit => {
                alloc::format!("the longest message must have from 1 to {limit} bytes")
            }
            Rules { history: History::Last(count), .. } if *count == 0 || *count > self.limits.page => {
                alloc::format!("a room may keep the last 1 to {} messages, or all", self.limits.page)
            }
            Rules { tentative: Tentative::Copies(copies), .. } if !(1..=MOST_COPIES).contains(copies) => {
                alloc::format!(
                    "a room may want its messages on 1 to {MOST_COPIES} nodes before they are accepted without a leader"
                )
            }
            _ => return Ok(()),
        };
        Err(Refusal::BadRequest { why })
    }

    pub(super) fn open_direct(&mut self, at: &At, user: UserId, other: &UserRef, effects: Fx) -> Result<Done, Refusal> {
        let other = self.find_user(other)?;
        if other == user {
            return Err(Refusal::BadRequest { why: "a direct room takes two: name somebody else".into() });
        }
        let pair = (user.min(other), user.max(other));
        if let Some(room) = self.directs.get(&pair) {
            return Ok(Done::Room { room: *room, name: String::new(), created: false });
        }
        self.may_write_to(user, other)?;
        self.may_join_another(other)?;
        // Nobody moderates here: what others leave to moderators would be left to nobody.
        let rules = Rules { invite: Who::Nobody, post: Who::Members, ..self.settings().rules };
        let info = RoomInfo { kind: RoomKind::Direct, pair: Some(pair), rules, ..RoomInfo::default() };
        let room = self.found_room(at, user, info, effects)?;
        for one in [user, other] {
            self.enter(at, one, room, MemberRole::Member, effects);
        }
        Ok(Done::Room { room, name: String::new(), created: true })
    }

    /// Whether one may open a direct room with the other, and post in it.
    pub(super) fn may_write_to(&self, user: UserId, other: UserId) -> Result<(), Refusal> {
        if self.users.get(&other).is_none_or(|known| known.user.deleted) {
            return Err(Refusal::UnknownUser { user: UserRef::Id(other) });
        }
        if self.are_apart(user, other) {
            return Err(Refusal::Blocked);
        }
        let wants_friends = self.settings.as_ref().is_some_and(|settings| settings.direct == Direct::Friends);
        if wants_friends && self.friendship(user, other) != Friendship::Friends {
            return Err(Refusal::NotFriends);
        }
        Ok(())
    }

    pub(super) fn join_room(&mut self, at: &At, user: UserId, room: &RoomRef, effects: Fx) -> Result<Done, Refusal> {
        let id = self.room_for(user, room)?;
        self.join(at, user, id, effects)?;
        let room = &self.rooms[&id];
        Ok(Done::Joined { room: id, name: room.info.name.clone(), last: room.end.seq, cursor: room.end.cursor })
    }

    fn may_join_another(&self, user: UserId) -> Result<(), Refusal> {
        let (rooms, limit) = (self.rooms_of.get(&user).map_or(0, BTreeSet::len), self.limits.rooms_of_user);
        if rooms >= limit as usize { Err(Refusal::Full { what: "rooms for one user".into(), limit }) } else { Ok(()) }
    }

    fn join(&mut self, at: &At, user: UserId, id: RoomId, effects: Fx) -> Result<(), Refusal> {
        if self.is_member(id, user) {
            return Ok(());
        }
        let room = &self.rooms[&id];
        let standing = room.standings.get(&user).cloned().unwrap_or_default();
        if standing.banned {
            return Err(Refusal::Banned { room: id });
        }
        if room.info.archived {
            return Err(Refusal::Archived { room: id });
        }
        if room.info.kind != RoomKind::Public && standing.invited_by.is_none() {
            return Err(Refusal::NotAllowed { needs: Needs::Invitation });
        }
        self.may_join_another(user)?;
        // Who comes into an empty room has it.
        let role = if room.members.is_empty() { MemberRole::Owner } else { MemberRole::Member };
        if standing.invited_by.is_some() {
            self.change_standing(id, user, effects, |standing| standing.invited_by = None);
        }
        self.enter(at, user, id, role, effects);
        Ok(())
    }

    /// Makes a user a member.
    fn enter(&mut self, at: &At, user: UserId, id: RoomId, role: MemberRole, effects: Fx) {
        let cursor = self.record(at, id, user, Change::Joined { user }, None, effects);
        let seq = self.rooms[&id].end.seq;
        let member = Member { joined_after: cursor, joined_seq: seq, role, read: seq, mentions: Vec::new() };
        self.old_forms.write(effects, member_key(id, user), None, Some(&member));
        self.hold_member(id, user, member);
        effects.publish(ChatEvent::Joined { user, room: id, last: cursor });
    }

    pub(super) fn leave_room(&mut self, at: &At, user: UserId, room: &RoomRef, effects: Fx) -> Result<Done, Refusal> {
        let id = self.room_for(user, room)?;
        let room = &self.rooms[&id];
        // Whose other one has deleted the account may let go of what is left.
        if room.info.kind == RoomKind::Direct && room.members.len() > 1 {
            return Err(Refusal::IsDirect);
        }
        self.depart(at, id, user, user, Change::Left { user }, effects);
        Ok(Done::Left { room: id })
    }

    /// A member is one no more. A room that is not public goes with its last member; an owner's place is taken by who is next.
    pub(super) fn depart(
        &mut self,
        at: &At,
        id: RoomId,
        user: UserId,
        by: UserId,
        change: Change,
        effects: Fx,
    ) -> Option<Cursor> {
        let room = self.rooms.get_mut(&id)?;
        let member = room.members.remove(&user)?;
        if let Some(rooms) = self.rooms_of.get_mut(&user) {
            rooms.remove(&id);
            if rooms.is_empty() {
                self.rooms_of.remove(&user);
            }
        }
        self.old_forms.write(effects, member_key(id, user), Some(&member), None);
        let cursor = self.record(at, id, by, change, None, effects);
        effects.publish(ChatEvent::Left { user, room: id });
        let room = &self.rooms[&id];
        if room.members.is_empty() && room.info.kind != RoomKind::Public {
            self.remove_room(id, effects);
        } else if member.role == MemberRole::Owner && room.info.kind != RoomKind::Direct {
            self.find_owner(at, id, by, effects);
        }
        Some(cursor)
    }

    /// Gives an ownerless room to its longest-standing moderator, or else member.
    fn find_owner(&mut self, at: &At, id: RoomId, by: UserId, effects: Fx) {
        let members = &self.rooms[&id].members;
        if members.values().any(|member| member.role == MemberRole::Owner) {
            return;
        }
        let next = members.iter().max_by_key(|(user, member)| (member.role, core::cmp::Reverse((member.joined_after, **user))));
        let Some(next) = next.map(|(user, _)| *user) else { return };
        self.give_role(at, id, next, by, MemberRole::Owner, effects);
    }

    pub(super) fn change_member(&mut self, id: RoomId, user: UserId, effects: Fx, change: impl FnOnce(&mut Member)) {
        let Some(member) = self.rooms.get_mut(&id).and_then(|room| room.members.get_mut(&user)) else { return };
        let old = member.clone();
        change(member);
        if *member != old {
            self.old_forms.write(effects, member_key(id, user), Some(&old), Some(&*member));
        }
    }

    pub(super) fn change_info(&mut self, id: RoomId, effects: Fx, change: impl FnOnce(&mut RoomInfo)) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let old = room.info.clone();
        change(&mut room.info);
        self.old_forms.write(effects, room_key(id), Some(&old), Some(&room.info));
        if matches!(room.info.rules.history, History::Last(_) | History::None) {
            self.forgetful.insert(id);
        } else {
            self.forgetful.remove(&id);
        }
    }

    pub(super) fn write_end(room: &mut Room, id: RoomId, effects: Fx) {
        let new = room.end.seal();
        effects.put(room_end_key(id), room.written_end.as_deref(), new.clone());
        room.written_end = Some(new);
    }

    /// Gives a change its place among the room's events, and tells who follows.
    pub(super) fn record(&mut self, at: &At, id: RoomId, by: UserId, change: Change, post: Option<Post>, effects: Fx) -> Cursor {
        let Some(room) = self.rooms.get_mut(&id) else { return 0 };
        room.end.cursor += 1;
        room.end.change = room.end.cursor;
        let cursor = room.end.cursor;
        Chat::write_end(room, id, effects);
        let row = ChangeRow { at: at.at, by, base: room.end.seq, change };
        self.old_forms.write(effects, change_key(id, cursor), None, Some(&row));
        let kind = EventKind::Changed(alloc::boxed::Box::new(self.changed(&row, post)));
        effects.publish(ChatEvent::Room { index: at.index, event: Event { room: id, cursor, kind } });
        cursor
    }

    pub(super) fn set_topic(
        &mut self,
        at: &At,
        user: UserId,
        room: &RoomRef,
        topic: String,
        effects: Fx,
    ) -> Result<Done, Refusal> {
        let id = self.moderated(user, room)?;
        let topic = names::clean_text(topic);
        self.change_info(id, effects, |info| info.topic.clone_from(&topic));
        let cursor = self.record(at, id, user, Change::Topic { topic }, None, effects);
        Ok(Done::Changed { room: id, cursor })
    }

    pub(super) fn rename(&mut self, at: &At, user: UserId, room: &RoomRef, name: &str, effects: Fx) -> Result<Done, Refusal> {
        let id = self.owned(user, room)?;
        let old = self.rooms[&id].info.clone();
        if old.kind == RoomKind::Public {
            self.room_name_is_free(name, Some(id))?;
        }
        let name = Name::of(name).shown;
        self.let_go_of_room_name(id, &old);
        self.hold_room_name(id, &RoomInfo { name: name.clone(), ..old });
        self.change_info(id, effects, |info| info.name.clone_from(&name));
        let cursor = self.record(at, id, user, Change::Renamed { name }, None, effects);
        Ok(Done::Changed { room: id, cursor })
    }

    pub(super) fn archive(&mut self, at: &At, user: UserId, room: &RoomRef, on: bool, effects: Fx) -> Result<Done, Refusal> {
        let id = self.owned_or_archived(user, room)?;
        if self.rooms[&id].info.archived == on {
            return Ok(Done::Changed { room: id, cursor: self.last(id) });
        }
        self.change_info(id, effects, |info| info.archived = on);
        let cursor = self.record(at, id, user, Change::Archived { on }, None, effects);
        Ok(Done::Changed { room: id, cursor })
    }

    pub(super) fn set_rules(
        &mut self,
        at: &At,
        user: UserId,
        room: &RoomRef,
        rules: Rules,
        effects: Fx,
    ) -> Result<Done, Refusal> {
        let id = self.owned(user, room)?;
        self.check_rules(&rules)?;
        self.change_info(id, effects, |info| info.rules = rules);
        let cursor = self.record(at, id, user, Change::Rules { rules }, None, effects);
        Ok(Done::Changed { room: id, cursor })
    }

    pub(super) fn delete_room(&mut self, user: UserId, room: &RoomRef, effects: Fx) -> Result<Done, Refusal> {
        let id = self.owned_or_archived(user, room)?;
        for user in self.rooms[&id].members.keys() {
            effects.publish(ChatEvent::Left { user: *user, room: id });
        }
        self.remove_room(id, effects);
        Ok(Done::Left { room: id })
    }

    /// The room is gone at once; its messages follow part by part.
    fn remove_room(&mut self, id: RoomId, effects: Fx) {
        let Some(room) = self.rooms.remove(&id) else { return };
        self.let_go_of_room_name(id, &room.info);
        if let Some(pair) = room.info.pair {
            self.directs.remove(&pair);
        }
        self.forgetful.remove(&id);
        for (user, member) in &room.members {
            self.old_forms.write(effects, member_key(id, *user), Some(member), None);
            if let Some(rooms) = self.rooms_of.get_mut(user) {
                rooms.remove(&id);
                if rooms.is_empty() {
                    self.rooms_of.remove(user);
                }
            }
        }
        for (user, standing) in &room.standings {
            self.old_forms.write(effects, super::rows::standing_key(id, *user), Some(standing), None);
            if let Some(rooms) = self.invited_to.get_mut(user) {
                rooms.remove(&id);
                if rooms.is_empty() {
                    self.invited_to.remove(user);
                }
            }
        }
        if let Some(written) = &room.written_end {
            effects.delete(room_end_key(id), written);
        }
        self.old_forms.write(effects, room_key(id), Some(&room.info), None);
        let counters = Counters { last_room: self.counters.last_room.max(id.0) };
        let old = (self.counters != Counters::default()).then_some(self.counters);
        self.old_forms.write(effects, super::rows::counters_key(), old.as_ref(), Some(&counters));
        self.counters = counters;
        let sweep = Sweep::Room { from: 1, last: room.end.seq, cursor: room.end.cursor };
        self.old_forms.write(effects, room_sweep_key(id), None, Some(&sweep));
        self.room_sweeps.insert(id, sweep);
    }

    pub(super) fn invite(
        &mut self,
        at: &At,
        user: UserId,
        room: &RoomRef,
        other: &UserRef,
        effects: Fx,
    ) -> Result<Done, Refusal> {
        let id = self.open_room_of(user, room)?;
        let other = self.find_user(other)?;
        let found = &self.rooms[&id];
        if found.info.kind == RoomKind::Direct {
            return Err(Refusal::IsDirect);
        }
        self.allowed(id, user, found.info.rules.invite)?;
        if self.are_apart(user, other) {
            return Err(Refusal::Blocked);
        }
        if found.standings.get(&other).is_some_and(|standing| standing.banned) {
            return Err(Refusal::Banned { room: id });
        }
        if found.members.contains_key(&other) {
            return Ok(Done::Ok);
        }
        if found.info.kind == RoomKind::Group {
            self.may_join_another(other)?;
            self.enter(at, other, id, MemberRole::Member, effects);
            return Ok(Done::Ok);
        }
        // Half of what a room holds is left for bans: whoever may invite must not be able to keep moderators from their work.
        let open = found.standings.values().filter(|standing| standing.invited_by.is_some()).count();
        if open >= (self.limits.standings / 2) as usize && !found.standings.contains_key(&other) {
            return Err(Refusal::Full { what: "open invitations of one room".into(), limit: self.limits.standings / 2 });
        }
        self.invite_one(user, id, other, effects);
        Ok(Done::Ok)
    }

    fn invite_one(&mut self, by: UserId, id: RoomId, other: UserId, effects: Fx) {
        self.change_standing(id, other, effects, |standing| standing.invited_by = Some(by));
        let name = self.rooms[&id].info.name.clone();
        effects.publish(ChatEvent::Notice { user: other, notice: Notice::Invited { room: id, name, by } });
    }

    pub(super) fn decline(&mut self, user: UserId, room: &RoomRef, effects: Fx) -> Result<Done, Refusal> {
        let id = self.room_for(user, room)?;
        self.change_standing(id, user, effects, |standing| standing.invited_by = None);
        Ok(Done::Ok)
    }
}
