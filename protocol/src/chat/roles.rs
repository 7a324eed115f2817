//! Who may do what in a room, and to whom.

use super::*;

/// A hundred years, in milliseconds.
const LONGEST_MUTE: u64 = 100 * 366 * 24 * 3_600 * 1_000;

impl Chat {
    /// An administrator may do in a public room what its owner may.
    pub(super) fn role(&self, id: RoomId, user: UserId) -> MemberRole {
        let Some(room) = self.rooms.get(&id) else { return MemberRole::Member };
        if room.info.kind == RoomKind::Public && self.is_admin(user) {
            return MemberRole::Owner;
        }
        room.members.get(&user).map_or(MemberRole::Member, |member| member.role)
    }

    /// Whether a member may do what the room's rules leave to some.
    pub(super) fn allowed(&self, id: RoomId, user: UserId, who: Who) -> Result<(), Refusal> {
        match who {
            Who::Members => Ok(()),
            Who::Moderators if self.role(id, user) >= MemberRole::Moderator => Ok(()),
            Who::Moderators => Err(Refusal::NotAllowed { needs: Needs::Moderator }),
            Who::Nobody => Err(Refusal::NotAllowed { needs: Needs::OtherRules }),
        }
    }

    fn with_role(&self, user: UserId, room: &RoomRef, archived: bool, role: MemberRole) -> Result<RoomId, Refusal> {
        let id = self.room_for(user, room)?;
        let found = &self.rooms[&id];
        if found.info.kind == RoomKind::Direct {
            return Err(Refusal::IsDirect);
        }
        if !found.members.contains_key(&user) && !self.is_admin(user) {
            return Err(Refusal::NotAMember { room: id });
        }
        if self.role(id, user) < role {
            let needs = if role == MemberRole::Owner { Needs::Owner } else { Needs::Moderator };
            return Err(Refusal::NotAllowed { needs });
        }
        if found.info.archived && !archived { Err(Refusal::Archived { room: id }) } else { Ok(id) }
    }

    /// The room, if the user is one of its moderators.
    pub(super) fn moderated(&self, user: UserId, room: &RoomRef) -> Result<RoomId, Refusal> {
        self.with_role(user, room, false, MemberRole::Moderator)
    }

    pub(super) fn owned(&self, user: UserId, room: &RoomRef) -> Result<RoomId, Refusal> {
        self.with_role(user, room, false, MemberRole::Owner)
    }

    pub(super) fn owned_or_archived(&self, user: UserId, room: &RoomRef) -> Result<RoomId, Refusal> {
        self.with_role(user, room, true, MemberRole::Owner)
    }

    /// The room and the user that a moderator does something to, who must stand below.
    fn subject(&self, user: UserId, (room, other): (&RoomRef, &UserRef)) -> Result<(RoomId, UserId), Refusal> {
        let id = self.moderated(user, room)?;
        let other = self.find_user(other)?;
        if other != user && self.role(id, other) >= self.role(id, user) {
            return Err(Refusal::NotAllowed { needs: Needs::HigherRole });
        }
        Ok((id, other))
    }

    pub(super) fn set_role(
        &mut self,
        at: &At,
        user: UserId,
        (room, other): (&RoomRef, &UserRef),
        role: MemberRole,
        effects: Fx,
    ) -> Result<Done, Refusal> {
        let id = self.owned(user, room)?;
        let other = self.find_user(other)?;
        let members = &self.rooms[&id].members;
        let Some(member) = members.get(&other) else { return Err(Refusal::NotAMember { room: id }) };
        if member.role == role {
            return Ok(Done::Changed { room: id, cursor: self.last(id) });
        }
        let owners = members.values().filter(|member| member.role == MemberRole::Owner).count();
        if member.role == MemberRole::Owner && owners == 1 {
            return Err(Refusal::LastOwner);
        }
        let cursor = self.give_role(at, id, other, user, role, effects);
        Ok(Done::Changed { room: id, cursor })
    }

    pub(super) fn give_role(&mut self, at: &At, id: RoomId, user: UserId, by: UserId, role: MemberRole, effects: Fx) -> Cursor {
        self.change_member(id, user, effects, |member| member.role = role);
        self.record(at, id, by, Change::Role { user, role }, None, effects)
    }

    pub(super) fn kick(&mut self, at: &At, user: UserId, whom: (&RoomRef, &UserRef), effects: Fx) -> Result<Done, Refusal> {
        let (id, other) = self.subject(user, whom)?;
        if !self.is_member(id, other) {
            return Ok(Done::Changed { room: id, cursor: self.last(id) });
        }
        let cursor = self.depart(at, id, other, user, Change::Kicked { user: other }, effects);
        Ok(Done::Changed { room: id, cursor: cursor.unwrap_or_default() })
    }

    pub(super) fn ban(
        &mut self,
        at: &At,
        user: UserId,
        whom: (&RoomRef, &UserRef),
        on: bool,
        effects: Fx,
    ) -> Result<Done, Refusal> {
        let (id, other) = self.subject(user, whom)?;
        if other == user {
            return Err(Refusal::BadRequest { why: "this is yourself".into() });
        }
        if self.rooms[&id].standings.get(&other).is_some_and(|standing| standing.banned) == on {
            return Ok(Done::Changed { room: id, cursor: self.last(id) });
        }
        if on {
            self.make_place(at, id, other, effects)?;
        }
        self.change_standing(id, other, effects, |standing| {
            standing.banned = on;
            standing.invited_by = None;
        });
        let change = Change::Banned { user: other, on };
        let cursor = if on && self.is_member(id, other) {
            self.depart(at, id, other, user, change, effects).unwrap_or_default()
        } else {
            self.record(at, id, user, change, None, effects)
        };
        Ok(Done::Changed { room: id, cursor })
    }

    /// A place for a ban or a mute of this user. Mutes that are over give theirs up when there is no other.
    fn make_place(&mut self, at: &At, id: RoomId, user: UserId, effects: Fx) -> Result<(), Refusal> {
        let limit = self.limits.standings;
        let standings = &self.rooms[&id].standings;
        if standings.len() < limit as usize || standings.contains_key(&user) {
            return Ok(());
        }
        let is_over = |standing: &Standing| {
            let muted = standing.muted_until.is_some_and(|until| until > at.at);
            !muted && !standing.banned && standing.invited_by.is_none()
        };
        let over: Vec<UserId> = standings.iter().filter(|(_, standing)| is_over(standing)).map(|(user, _)| *user).collect();
        if over.is_empty() {
            return Err(Refusal::Full { what: "bans, mutes and invitations of one room".into(), limit });
        }
        for user in over {
            self.change_standing(id, user, effects, |standing| standing.muted_until = None);
        }
        Ok(())
    }

    pub(super) fn mute(
        &mut self,
        at: &At,
        user: UserId,
        whom: (&RoomRef, &UserRef),
        for_ms: u64,
        effects: Fx,
    ) -> Result<Done, Refusal> {
        let (id, other) = self.subject(user, whom)?;
        if !self.is_member(id, other) {
            return Err(Refusal::NotAMember { room: id });
        }
        // For good, or for a time that a calendar can name.
        let for_ms = if for_ms == u64::MAX { for_ms } else { for_ms.min(LONGEST_MUTE) };
        let until = (for_ms > 0).then(|| at.at.after_ms(for_ms));
        if for_ms > 0 {
            self.make_place(at, id, other, effects)?;
        }
        self.change_standing(id, other, effects, |standing| standing.muted_until = until);
        let cursor = self.record(at, id, user, Change::Muted { user: other, until }, None, effects);
        Ok(Done::Changed { room: id, cursor })
    }
}
