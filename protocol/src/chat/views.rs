//! What the gateway looks up: users, devices, rooms and members as somebody sees them. Who is online is the gateway's to know, and filled in there.

use super::*;

impl Chat {
    pub fn user_of(&self, session: SessionId) -> Option<UserId> {
        self.devices.get(&session).map(|device| device.user)
    }

    /// The user's name; of a deleted one, what is said instead.
    pub fn user_name(&self, user: UserId) -> &str {
        self.users.get(&user).map_or("", |known| if known.user.deleted { "deleted user" } else { &known.user.name })
    }

    /// # Errors
    /// There is no such user.
    pub fn find_user(&self, user: &UserRef) -> Result<UserId, Refusal> {
        let found = match user {
            UserRef::Id(id) => self.users.get(id).filter(|known| !known.user.deleted).map(|_| *id),
            UserRef::Name(name) => self.user_by_name.first(&names::fold(name)),
        };
        found.ok_or_else(|| Refusal::UnknownUser { user: user.clone() })
    }

    /// How this user's password is derived, and what came of it; `None`: there is no such user or no password.
    pub fn password_of(&self, user: &UserRef) -> Option<password::PasswordHash> {
        self.users.get(&self.find_user(user).ok()?)?.user.password
    }

    pub fn user_view(&self, user: UserId) -> UserView {
        let Some(known) = self.users.get(&user) else {
            let (name, shown) = (String::new(), String::new());
            return UserView { id: user, name, shown, ambiguous: false, deleted: true, online: false };
        };
        let name = self.user_name(user).to_string();
        let shown = if known.user.display.is_empty() { name.clone() } else { known.user.display.clone() };
        let deleted = known.user.deleted;
        let ambiguous = !deleted && self.shown.get(&known.shown).is_some_and(|count| *count > 1);
        UserView { id: user, name, shown, ambiguous, deleted, online: false }
    }

    /// The devices that a user is signed in from, the oldest first.
    pub fn devices(&self, user: UserId) -> Vec<DeviceView> {
        let sessions = self.devices_of.get(&user).into_iter().flatten();
        let view = |session: &SessionId| {
            let device = self.devices.get(session)?;
            Some(DeviceView { session: *session, name: device.name.clone(), opened: device.opened, seen: device.seen })
        };
        sessions.filter_map(view).collect()
    }

    pub fn me(&self, user: UserId, session: SessionId) -> Me {
        let relations = self.relations.get(&user);
        let related = relations.into_iter().flatten().map(|(other, relation)| (self.user_view(*other), *relation));
        let (mut friends, mut blocked) = (Vec::new(), Vec::new());
        for (view, relation) in related {
            if relation.blocked {
                blocked.push(view.clone());
            }
            if relation.friendship != Friendship::None {
                friends.push((view, relation.friendship));
            }
        }
        let invitation = |id: &RoomId| {
            let room = self.rooms.get(id)?;
            Some((*id, room.info.name.clone(), room.standings.get(&user)?.invited_by?))
        };
        let invitations = self.invited_to.get(&user).into_iter().flatten().filter_map(invitation).collect();
        let known = self.users.get(&user);
        Me {
            user: self.user_view(user),
            session,
            admin: self.is_admin(user),
            has_password: known.is_some_and(|known| known.user.password.is_some()),
            devices: self.devices(user),
            friends,
            blocked,
            invitations,
            settings: self.settings(),
        }
    }

    /// All rooms that a user may know of.
    pub fn rooms(&self, user: UserId) -> Vec<RoomView> {
        self.rooms.keys().filter(|id| self.may_know(**id, user)).filter_map(|id| self.room_view(*id, user)).collect()
    }

    pub fn room_view(&self, id: RoomId, user: UserId) -> Option<RoomView> {
        let room = self.rooms.get(&id)?;
        let member = room.members.get(&user);
        let read = member.map_or(0, |member| member.read);
        let first = self.first_visible(id, user).unwrap_or(room.end.seq + 1);
        if member.is_none() && !self.may_look_into(id, user) {
            return Some(self.closed_door(id, room));
        }
        Some(RoomView {
            id,
            name: room.info.name.clone(),
            member: member.is_some(),
            members: room.members.len() as u32,
            last: room.end.seq,
            kind: room.info.kind,
            topic: room.info.topic.clone(),
            archived: room.info.archived,
            rules: room.info.rules,
            role: member.map_or(MemberRole::Member, |member| member.role),
            cursor: room.end.cursor,
            read,
            unread: self.unread(id, user),
            mentions: member.map_or(0, |member| member.mentions.iter().filter(|seq| **seq >= first).count() as u32),
            invited: room.standings.get(&user).is_some_and(|standing| standing.invited_by.is_some()),
            with: room.info.pair.map(|(a, b)| if a == user { b } else { a }),
            pins: room.info.pins.iter().copied().filter(|pin| *pin >= first).collect(),
            first,
        })
    }

    /// Messages that the user has not read and still may see.
    pub(super) fn unread(&self, id: RoomId, user: UserId) -> u64 {
        let first = self.first_visible(id, user).unwrap_or(Seq::MAX);
        let room = self.rooms.get(&id);
        let unread = |room: &Room| Some(room.end.seq.saturating_sub(room.members.get(&user)?.read.max(first.saturating_sub(1))));
        room.and_then(unread).unwrap_or(0)
    }

    /// Whether the user may see who and what is in a room: members, in a public room everybody, and who is invited.
    pub fn may_look_into(&self, id: RoomId, user: UserId) -> bool {
        self.rooms.get(&id).is_some_and(|room| {
            let invited = || room.standings.get(&user).is_some_and(|standing| standing.invited_by.is_some());
            room.info.kind == RoomKind::Public || room.members.contains_key(&user) || invited()
        })
    }

    /// A room that is not public as somebody sees it who is banned from it: its name.
    fn closed_door(&self, id: RoomId, room: &Room) -> RoomView {
        RoomView {
            id,
            name: room.info.name.clone(),
            member: false,
            members: 0,
            last: 0,
            kind: room.info.kind,
            topic: String::new(),
            archived: room.info.archived,
            rules: room.info.rules,
            role: MemberRole::Member,
            cursor: 0,
            read: 0,
            unread: 0,
            mentions: 0,
            invited: false,
            with: None,
            pins: Vec::new(),
            first: 1,
        }
    }

    /// Members `after` a user, by id, at most `limit`.
    pub fn members(&self, id: RoomId, after: UserId, limit: u32) -> Vec<MemberView> {
        let Some(room) = self.rooms.get(&id) else { return Vec::new() };
        let from = (core::ops::Bound::Excluded(after), core::ops::Bound::Unbounded);
        let view = |(user, member): (&UserId, &Member)| MemberView {
            user: self.user_view(*user),
            role: member.role,
            muted_until: room.standings.get(user).and_then(|standing| standing.muted_until),
            read: member.read,
        };
        room.members.range(from).take(limit as usize).map(view).collect()
    }

    /// Whether two users may see of each other whether they are there: they share a room or are friends, and neither has blocked the other.
    pub fn sees(&self, user: UserId, other: UserId) -> bool {
        if user == other || self.are_apart(user, other) {
            return user == other;
        }
        let share = || {
            let (mine, theirs) = (self.rooms_of.get(&user), self.rooms_of.get(&other));
            mine.zip(theirs).is_some_and(|(mine, theirs)| {
                let (few, many) = if mine.len() < theirs.len() { (mine, theirs) } else { (theirs, mine) };
                few.iter().any(|room| many.contains(room))
            })
        };
        self.friendship(user, other) == Friendship::Friends || share()
    }

    /// Who is told when the user comes or goes: friends, and members of its rooms with at most `small` of them; nobody that it is apart from.
    pub fn company(&self, user: UserId, small: usize) -> BTreeSet<UserId> {
        let friends = self.relations.get(&user).into_iter().flatten();
        let friends = friends.filter(|(_, relation)| relation.friendship == Friendship::Friends).map(|(other, _)| *other);
        let rooms = self.rooms_of(user).filter_map(|id| self.rooms.get(&id)).filter(|room| room.members.len() <= small);
        let company = rooms.flat_map(|room| room.members.keys().copied()).chain(friends);
        company.filter(|other| *other != user && !self.are_apart(user, *other)).collect()
    }

    /// The first room from this id on.
    pub fn room_from(&self, id: RoomId) -> Option<RoomId> {
        self.rooms.range(id..).next().map(|(id, _)| *id)
    }

    /// The first message that a room still keeps for its members: older ones may be there until a rule's next part takes them away.
    pub fn first_message(&self, id: RoomId) -> Seq {
        self.rooms.get(&id).map_or(1, |room| match room.info.rules.history {
            History::Last(count) => room.end.first.max((room.end.seq + 1).saturating_sub(u64::from(count))),
            _ => room.end.first,
        })
    }

    /// When a device last showed a sign of life, as far as the log says.
    pub fn seen(&self, session: SessionId) -> Option<Timestamp> {
        self.devices.get(&session).map(|device| device.seen)
    }
}
