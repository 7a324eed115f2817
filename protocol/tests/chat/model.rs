//! The chat's rules once more, in plain structures: what a user who has read the documentation expects. No rows, no memory to restore, no indexes.

use std::collections::{BTreeMap, BTreeSet};
use tertulia_protocol::chat::*;
use tertulia_protocol::ids::*;
use tertulia_protocol::time::Timestamp;

/// Devices that one user may be signed in from, and rooms in all.
pub const DEVICES: usize = 2;
pub const ROOMS: usize = 4;

/// Refused, by the name of the refusal.
pub type Outcome = Result<(), String>;

#[derive(Clone, Debug)]
pub struct Message {
    pub author: UserId,
    pub text: String,
    pub deleted: bool,
    reactions: BTreeSet<(String, UserId)>,
    pinned: bool,
}

#[derive(Clone, Debug)]
pub struct Member {
    pub role: MemberRole,
    /// When it came, among all that came.
    since: Cursor,
    joined_seq: Seq,
    pub read: Seq,
    pub mentions: BTreeSet<Seq>,
}

#[derive(Clone, Debug)]
pub struct Room {
    pub kind: RoomKind,
    pub history: History,
    post: Who,
    archived: bool,
    pub members: BTreeMap<UserId, Member>,
    banned: BTreeSet<UserId>,
    muted: BTreeMap<UserId, Timestamp>,
    invited: BTreeSet<UserId>,
    pub messages: Vec<Message>,
    /// Messages through this one are gone.
    gone: Seq,
    pub events: Cursor,
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub devices: BTreeMap<SessionId, UserId>,
    /// Devices that were silent for too long, and whose: what they said to a node without a leader is heard late.
    pub expired: BTreeMap<SessionId, UserId>,
    pub rooms: BTreeMap<RoomId, Room>,
    made: u64,
    /// Who has asked whom; both: friends.
    asked: BTreeSet<(UserId, UserId)>,
    blocked: BTreeSet<(UserId, UserId)>,
}

fn no<T>(why: &str) -> Result<T, String> {
    Err(why.into())
}

fn by_id(room: &RoomRef) -> RoomId {
    let RoomRef::Id(id) = room else { panic!("the model knows ids") };
    *id
}

fn user_id(user: &UserRef) -> UserId {
    let UserRef::Id(id) = user else { panic!("the model knows ids") };
    *id
}

/// The name of a refusal, with what it needs.
pub fn named(refusal: &Refusal) -> String {
    match refusal {
        Refusal::NotAllowed { needs } => format!("NotAllowed {needs:?}"),
        other => format!("{other:?}").split([' ', '{']).next().unwrap().into(),
    }
}

impl Room {
    fn last(&self) -> Seq {
        self.messages.len() as Seq
    }

    /// The first message that a member may see.
    pub fn first(&self, user: UserId) -> Seq {
        let by_rule = match self.history {
            History::All => 1,
            History::Last(count) => (self.last() + 1).saturating_sub(count.into()),
            History::SinceJoin | History::None => self.members[&user].joined_seq + 1,
        };
        by_rule.max(self.gone + 1)
    }

    pub fn visible(&self, user: UserId) -> Vec<(Seq, String)> {
        let texts = (self.first(user).max(1)..=self.last()).map(|seq| (seq, &self.messages[seq as usize - 1]));
        texts.map(|(seq, message)| (seq, message.text.clone())).collect()
    }

    pub fn unread(&self, user: UserId) -> u64 {
        let member = &self.members[&user];
        (self.first(user).max(1)..=self.last()).filter(|seq| *seq > member.read).count() as u64
    }

    pub fn mentions(&self, user: UserId) -> u32 {
        self.members[&user].mentions.iter().filter(|seq| **seq >= self.first(user)).count() as u32
    }

    fn role(&self, user: UserId) -> MemberRole {
        self.members.get(&user).map_or(MemberRole::Member, |member| member.role)
    }

    /// In a room without history goes what all members had read.
    fn forget(&mut self) {
        if self.history == History::None {
            let read = self.members.values().map(|member| member.read).min().unwrap_or(0);
            self.gone = self.gone.max(read);
        }
    }

    fn enter(&mut self, user: UserId, role: MemberRole) {
        self.events += 1;
        let last = self.last();
        let mentions = BTreeSet::new();
        self.members.insert(user, Member { role, since: self.events, joined_seq: last, read: last, mentions });
    }

    fn find(&mut self, user: UserId, seq: Seq) -> Result<&mut Message, String> {
        let first = self.first(user);
        if seq < first.max(1) || seq > self.last() {
            return no("UnknownMessage");
        }
        Ok(&mut self.messages[seq as usize - 1])
    }
}

impl Model {
    fn apart(&self, a: UserId, b: UserId) -> bool {
        self.blocked.contains(&(a, b)) || self.blocked.contains(&(b, a))
    }

    pub fn sign_in(&mut self, user: UserId) -> Outcome {
        if self.devices.values().filter(|other| **other == user).count() >= DEVICES { no("TooManyDevices") } else { Ok(()) }
    }

    fn known(&mut self, user: UserId, room: &RoomRef) -> Result<&mut Room, String> {
        let knows = |room: &&mut Room| {
            let of_it = room.members.contains_key(&user) || room.invited.contains(&user) || room.banned.contains(&user);
            room.kind == RoomKind::Public || of_it
        };
        self.rooms.get_mut(&by_id(room)).filter(knows).ok_or_else(|| "UnknownRoom".into())
    }

    fn open(&mut self, user: UserId, room: &RoomRef) -> Result<&mut Room, String> {
        let room = self.known(user, room)?;
        match room.members.contains_key(&user) {
            false if room.banned.contains(&user) => no("Banned"),
            false => no("NotAMember"),
            true if room.archived => no("Archived"),
            true => Ok(room),
        }
    }

    fn with_role(&mut self, user: UserId, room: &RoomRef, role: MemberRole, archived: bool) -> Result<&mut Room, String> {
        let room = self.known(user, room)?;
        if room.kind == RoomKind::Direct {
            return no("IsDirect");
        }
        if !room.members.contains_key(&user) {
            return no("NotAMember");
        }
        if room.role(user) < role {
            return no(&format!("NotAllowed {role:?}"));
        }
        if room.archived && !archived { no("Archived") } else { Ok(room) }
    }

    /// In a room of two: the other one.
    fn apart_in(&mut self, user: UserId, room: &RoomRef) -> bool {
        let Some(found) = self.rooms.get(&by_id(room)) else { return false };
        let others: Vec<UserId> = found.members.keys().copied().filter(|other| *other != user).collect();
        found.kind == RoomKind::Direct && others.iter().any(|other| self.apart(user, *other))
    }

    fn writable(&mut self, user: UserId, room: &RoomRef, now: Timestamp) -> Result<&mut Room, String> {
        let apart = self.apart_in(user, room);
        let room = self.open(user, room)?;
        if room.muted.get(&user).is_some_and(|until| *until > now) {
            return no("Muted");
        }
        match room.post {
            Who::Moderators if room.role(user) < MemberRole::Moderator => return no("NotAllowed Moderator"),
            Who::Nobody => return no("NotAllowed OtherRules"),
            _ => {}
        }
        if apart { no("Blocked") } else { Ok(room) }
    }

    fn depart(&mut self, id: RoomId, user: UserId) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let Some(member) = room.members.remove(&user) else { return };
        room.events += 1;
        if room.members.is_empty() && room.kind != RoomKind::Public {
            self.rooms.remove(&id);
            return;
        }
        let owners = room.members.values().any(|member| member.role == MemberRole::Owner);
        if member.role == MemberRole::Owner && !owners && !room.members.is_empty() {
            // The longest-standing of the highest role.
            let highest = room.members.values().map(|member| member.role).max().unwrap();
            let heirs = room.members.values_mut().filter(|member| member.role == highest);
            heirs.min_by_key(|member| member.since).unwrap().role = MemberRole::Owner;
            room.events += 1;
        }
    }

    /// Who of the room's members a text names.
    fn named(&self, id: RoomId, author: UserId, text: &str) -> BTreeSet<UserId> {
        let members = self.rooms[&id].members.keys().copied();
        members.filter(|user| *user != author && text.contains(&format!("@user{}", user.0))).collect()
    }

    fn call(&mut self, id: RoomId, author: UserId, seq: Seq, users: &BTreeSet<UserId>) {
        for user in users {
            let deaf = self.blocked.contains(&(*user, author));
            let member = self.rooms.get_mut(&id).unwrap().members.get_mut(user).unwrap();
            if !deaf && member.read < seq {
                member.mentions.insert(seq);
            }
        }
    }

    fn post(&mut self, id: RoomId, author: UserId, text: &str) {
        let named = self.named(id, author, text);
        let room = self.rooms.get_mut(&id).unwrap();
        room.forget();
        let (reactions, text) = (BTreeSet::new(), text.to_string());
        room.messages.push(Message { author, text, deleted: false, reactions, pinned: false });
        room.events += 1;
        let seq = room.last();
        let member = room.members.get_mut(&author).unwrap();
        (member.read, member.mentions) = (seq, BTreeSet::new());
        self.call(id, author, seq, &named);
    }

    pub fn expire(&mut self, session: SessionId) {
        self.expired.extend(self.devices.remove(&session).map(|user| (session, user)));
    }

    /// `carried`: by way of an outbox.
    pub fn apply(&mut self, session: SessionId, command: &Command, carried: bool, now: Timestamp) -> Outcome {
        let late = self.expired.get(&session).filter(|_| carried);
        let Some(user) = self.devices.get(&session).or(late).copied() else { return no("LoggedOut") };
        match command {
            Command::LogOut { devices } => self.log_out(session, user, *devices),
            Command::Post { .. }
            | Command::Respond { .. }
            | Command::Edit { .. }
            | Command::Delete { .. }
            | Command::React { .. }
            | Command::Pin { .. }
            | Command::Read { .. } => self.about_messages(user, command, now),
            Command::Befriend { .. } | Command::Unfriend { .. } | Command::Block { .. } => self.about_people(user, command),
            _ => self.about_rooms(user, command, now),
        }
    }

    fn log_out(&mut self, this: SessionId, user: UserId, which: Devices) -> Outcome {
        if let Devices::One(session) = which
            && self.devices.get(&session) != Some(&user)
        {
            return no("UnknownDevice");
        }
        self.devices.retain(|session, owner| {
            *owner != user
                || match which {
                    Devices::This => *session != this,
                    Devices::One(one) => *session != one,
                    Devices::Others => *session == this,
                    Devices::All => false,
                }
        });
        Ok(())
    }

    fn about_messages(&mut self, user: UserId, command: &Command, now: Timestamp) -> Outcome {
        match command {
            Command::Post { room, text } => {
                self.writable(user, room, now)?;
                self.post(by_id(room), user, text);
            }
            Command::Respond { room, to, text } => {
                self.writable(user, room, now)?.find(user, *to)?;
                self.post(by_id(room), user, text);
            }
            Command::Edit { room, seq, text } => {
                let message = self.writable(user, room, now)?.find(user, *seq)?;
                if message.author != user {
                    return no("NotAllowed Author");
                }
                if message.deleted {
                    return no("UnknownMessage");
                }
                let before = std::mem::replace(&mut message.text, text.clone());
                let id = by_id(room);
                let (before, named) = (self.named(id, user, &before), self.named(id, user, text));
                let room = self.rooms.get_mut(&id).unwrap();
                room.events += 1;
                for gone in before.difference(&named) {
                    room.members.get_mut(gone).unwrap().mentions.remove(seq);
                }
                // Who was a member when it was written and named is called already; who is named anew is called now.
                self.call(id, user, *seq, &named.difference(&before).copied().collect());
            }
            Command::Delete { room, seq } => {
                let room = self.open(user, room)?;
                let (direct, role) = (room.kind == RoomKind::Direct, room.role(user));
                let message = room.find(user, *seq)?;
                if message.author != user && (direct || role < MemberRole::Moderator) {
                    return no(if direct { "NotAllowed Author" } else { "NotAllowed Moderator" });
                }
                if message.deleted {
                    return Ok(());
                }
                (message.text, message.deleted, message.pinned) = (String::new(), true, false);
                message.reactions.clear();
                room.events += 1;
                room.members.values_mut().for_each(|member| _ = member.mentions.remove(seq));
            }
            Command::React { room, seq, emoji, on } => {
                let apart = self.apart_in(user, room);
                let room = self.open(user, room)?;
                if apart {
                    return no("Blocked");
                }
                let message = room.find(user, *seq)?;
                if message.deleted {
                    return no("UnknownMessage");
                }
                let mine = (emoji.clone(), user);
                let changed = if *on { message.reactions.insert(mine) } else { message.reactions.remove(&mine) };
                room.events += u64::from(changed);
            }
            Command::Pin { room, seq, on } => {
                let room = self.open(user, room)?;
                if room.kind != RoomKind::Direct && room.role(user) < MemberRole::Moderator {
                    return no("NotAllowed Moderator");
                }
                let message = room.find(user, *seq)?;
                if message.deleted {
                    return no("UnknownMessage");
                }
                let changed = message.pinned != *on;
                message.pinned = *on;
                room.events += u64::from(changed);
            }
            Command::Read { room, seq } => {
                let room = self.known(user, room)?;
                if !room.members.contains_key(&user) {
                    return no("NotAMember");
                }
                room.forget();
                let last = room.last();
                let member = room.members.get_mut(&user).unwrap();
                member.read = member.read.max((*seq).min(last));
                member.mentions.retain(|mention| *mention > (*seq).min(last));
            }
            other => panic!("{other:?}"),
        }
        Ok(())
    }

    fn about_people(&mut self, user: UserId, command: &Command) -> Outcome {
        let (Command::Befriend { user: other } | Command::Unfriend { user: other } | Command::Block { user: other, .. }) =
            command
        else {
            panic!("{command:?}")
        };
        let other = user_id(other);
        if other == user {
            return no("BadRequest");
        }
        let strangers = |model: &mut Model| {
            model.asked.remove(&(user, other));
            model.asked.remove(&(other, user));
        };
        match command {
            Command::Befriend { .. } if self.apart(user, other) => return no("Blocked"),
            Command::Befriend { .. } => _ = self.asked.insert((user, other)),
            Command::Block { on: true, .. } => {
                strangers(self);
                self.blocked.insert((user, other));
            }
            Command::Block { .. } => _ = self.blocked.remove(&(user, other)),
            _ => strangers(self),
        }
        Ok(())
    }

    pub fn friendship(&self, user: UserId, other: UserId) -> Friendship {
        match (self.asked.contains(&(user, other)), self.asked.contains(&(other, user))) {
            (true, true) => Friendship::Friends,
            (true, false) => Friendship::Requested,
            (false, true) => Friendship::Asked,
            (false, false) => Friendship::None,
        }
    }

    fn make(&mut self, room: Room) -> Result<&mut Room, String> {
        if self.rooms.len() >= ROOMS {
            return no("Full");
        }
        self.made += 1;
        Ok(self.rooms.entry(RoomId(self.made)).or_insert(room))
    }

    fn about_rooms(&mut self, user: UserId, command: &Command, now: Timestamp) -> Outcome {
        let new = |kind: RoomKind, rules: Rules| Room {
            kind,
            history: rules.history,
            post: rules.post,
            archived: false,
            members: BTreeMap::new(),
            banned: BTreeSet::new(),
            muted: BTreeMap::new(),
            invited: BTreeSet::new(),
            messages: Vec::new(),
            gone: 0,
            events: 0,
        };
        match command {
            Command::MakeRoom { kind, rules, members, .. } => {
                let others: BTreeSet<UserId> = members.iter().map(user_id).filter(|other| *other != user).collect();
                if others.iter().any(|other| self.apart(user, *other)) {
                    return no("Blocked");
                }
                let room = self.make(new(*kind, rules.unwrap_or_default()))?;
                room.enter(user, MemberRole::Owner);
                for other in others {
                    if *kind == RoomKind::Group {
                        room.enter(other, MemberRole::Member);
                    } else {
                        room.invited.insert(other);
                    }
                }
            }
            Command::OpenDirect { user: other } => {
                let other = user_id(other);
                if other == user {
                    return no("BadRequest");
                }
                let both = |room: &Room| room.members.contains_key(&user) && room.members.contains_key(&other);
                if self.rooms.values().any(|room| room.kind == RoomKind::Direct && both(room)) {
                    return Ok(());
                }
                if self.apart(user, other) {
                    return no("Blocked");
                }
                let room = self.make(new(RoomKind::Direct, Rules::default()))?;
                room.enter(user, MemberRole::Member);
                room.enter(other, MemberRole::Member);
            }
            Command::Join { room } => {
                let room = self.known(user, room)?;
                if room.members.contains_key(&user) {
                    return Ok(());
                }
                if room.banned.contains(&user) {
                    return no("Banned");
                }
                if room.archived {
                    return no("Archived");
                }
                let role = if room.members.is_empty() { MemberRole::Owner } else { MemberRole::Member };
                room.invited.remove(&user);
                room.enter(user, role);
            }
            Command::Leave { room } => {
                if self.known(user, room)?.kind == RoomKind::Direct {
                    return no("IsDirect");
                }
                self.depart(by_id(room), user);
            }
            Command::Invite { room, user: other } => {
                let other = user_id(other);
                let apart = self.apart(user, other);
                let room = self.open(user, room)?;
                if room.kind == RoomKind::Direct {
                    return no("IsDirect");
                }
                if apart {
                    return no("Blocked");
                }
                if room.banned.contains(&other) {
                    return no("Banned");
                }
                if room.members.contains_key(&other) {
                    return Ok(());
                }
                if room.kind == RoomKind::Group {
                    room.enter(other, MemberRole::Member);
                } else {
                    room.invited.insert(other);
                }
            }
            Command::Decline { room } => _ = self.known(user, room)?.invited.remove(&user),
            Command::SetTopic { room, .. } => self.with_role(user, room, MemberRole::Moderator, false)?.events += 1,
            Command::SetRules { room, rules } => {
                let room = self.with_role(user, room, MemberRole::Owner, false)?;
                (room.history, room.post) = (rules.history, rules.post);
                room.events += 1;
            }
            Command::Archive { room, on } => {
                let room = self.with_role(user, room, MemberRole::Owner, true)?;
                room.events += u64::from(room.archived != *on);
                room.archived = *on;
            }
            Command::DeleteRoom { room } => {
                self.with_role(user, room, MemberRole::Owner, true)?;
                self.rooms.remove(&by_id(room));
            }
            Command::SetRole { room, user: other, role } => {
                let (room, other) = (self.with_role(user, room, MemberRole::Owner, false)?, user_id(other));
                let owners = room.members.values().filter(|member| member.role == MemberRole::Owner).count();
                let Some(member) = room.members.get_mut(&other) else { return no("NotAMember") };
                if member.role == *role {
                    return Ok(());
                }
                if member.role == MemberRole::Owner && owners == 1 {
                    return no("LastOwner");
                }
                member.role = *role;
                room.events += 1;
            }
            Command::Kick { room, user: other }
            | Command::Ban { room, user: other, .. }
            | Command::Mute { room, user: other, .. } => {
                return self.moderate(user, (room, user_id(other)), command, now);
            }
            other => panic!("{other:?}"),
        }
        Ok(())
    }

    fn moderate(&mut self, user: UserId, (room, other): (&RoomRef, UserId), command: &Command, now: Timestamp) -> Outcome {
        let id = by_id(room);
        let room = self.with_role(user, room, MemberRole::Moderator, false)?;
        if other != user && room.role(other) >= room.role(user) {
            return no("NotAllowed HigherRole");
        }
        let is_member = room.members.contains_key(&other);
        match command {
            Command::Kick { .. } => self.depart(id, other),
            Command::Ban { .. } if other == user => return no("BadRequest"),
            Command::Ban { on, .. } if room.banned.contains(&other) == *on => {}
            Command::Ban { on: false, .. } => {
                room.banned.remove(&other);
                room.invited.remove(&other);
                room.events += 1;
            }
            Command::Ban { .. } => {
                room.banned.insert(other);
                room.invited.remove(&other);
                if is_member { self.depart(id, other) } else { room.events += 1 }
            }
            Command::Mute { .. } if !is_member => return no("NotAMember"),
            Command::Mute { for_ms, .. } => {
                room.muted.insert(other, now.after_ms(*for_ms));
                room.events += 1;
            }
            other => panic!("{other:?}"),
        }
        Ok(())
    }
}
