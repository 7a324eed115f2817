//! Who is here, and who is typing: hints from node to node, never logged. Losing one costs nothing but a moment of not knowing.
//!
//! - A user is online while a connection of its is open on some node. One that goes is said to be gone only after [`GONE_AFTER`]: clients change servers.
//! - Every node tells the others all its users every [`TELL_ALL`], and changes at once; what a node said counts for [`COUNTS_FOR`].
//! - Whoever has blocked somebody is not told of them, nor they of it.

use super::*;
use crate::chat::ChatEvent;
use crate::contract::Class;
use crate::node::{Body, Message};
use crate::time::Duration;
use alloc::string::ToString;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

const GONE_AFTER: Duration = Duration::from_secs(5);
const TELL_ALL: Duration = Duration::from_secs(20);
const COUNTS_FOR: Duration = Duration::from_secs(60);
/// A connection's typing is passed on this often.
const TYPING: Duration = Duration::from_secs(1);
/// Users of one node that are told of. More are online and not said to be.
const MOST: usize = 4_096;
/// Rooms with more members are not told who comes and goes: whoever wants to know asks for the members.
const SMALL: usize = 100;

/// What nodes tell each other of the moment.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Hint {
    /// All users that are on this node.
    Here {
        users: Vec<UserId>,
    },
    Came {
        user: UserId,
    },
    Gone {
        user: UserId,
    },
    Typing {
        room: RoomId,
        user: UserId,
    },
}

/// What this node knows of the moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Moment {
    /// Users who are on other nodes, and until when that counts.
    elsewhere: BTreeMap<NodeId, (Instant, BTreeSet<UserId>)>,
    /// Users without a connection here who have not been said to be gone.
    going: BTreeMap<UserId, Instant>,
    /// When all are told all again.
    tell_at: Option<Instant>,
}

impl Moment {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.going.values().copied().chain(self.tell_at).min()
    }
}

impl Gateway {
    /// Whether the user has a connection, here or elsewhere.
    pub(super) fn is_online(&self, now: Now, user: UserId) -> bool {
        self.by_user.contains_key(&user) || self.is_elsewhere(now, user)
    }

    fn is_elsewhere(&self, now: Now, user: UserId) -> bool {
        self.moment.elsewhere.values().any(|(until, users)| *until > now.instant && users.contains(&user))
    }

    fn tell_peers(&mut self, replica: &Replica<Chat>, hint: &Hint) {
        let raft = replica.raft();
        let peers: Vec<NodeId> = raft.configuration().members().iter().map(|member| member.id).collect();
        for to in peers.into_iter().filter(|peer| *peer != raft.node() && raft.is_linked(*peer)) {
            let message = Message { group: GROUP, body: Body::Hint(hint.clone()) };
            // What is dropped first is the right class for a hint.
            self.outputs.push_back(node::Output::Send { to, class: Class::Data, message });
        }
    }

    /// A user's first connection is here.
    pub(super) fn came(&mut self, now: Now, replica: &Replica<Chat>, user: UserId) {
        let was_going = self.moment.going.remove(&user).is_some();
        self.moment.tell_at.get_or_insert(now.instant + TELL_ALL);
        if was_going {
            return;
        }
        if !self.is_elsewhere(now, user) {
            self.tell_presence(replica, user, true);
        }
        self.tell_peers(replica, &Hint::Came { user });
    }

    /// A user's last connection here is gone.
    pub(super) fn went(&mut self, now: Now, user: UserId) {
        if self.moment.going.len() < MOST {
            self.moment.going.insert(user, now.instant + GONE_AFTER);
        }
    }

    pub(super) fn see_moment(&mut self, now: Now, replica: &Replica<Chat>) {
        let due = |(user, at): (&UserId, &Instant)| (*at <= now.instant).then_some(*user);
        let gone: Vec<UserId> = self.moment.going.iter().filter_map(due).collect();
        for user in gone {
            self.moment.going.remove(&user);
            self.tell_peers(replica, &Hint::Gone { user });
            if !self.is_online(now, user) {
                self.tell_presence(replica, user, false);
            }
        }
        if self.moment.tell_at.is_some_and(|at| at <= now.instant) {
            let users: Vec<UserId> = self.by_user.keys().copied().take(MOST).collect();
            // Nobody here: the others forget by themselves.
            self.moment.tell_at = (!users.is_empty()).then_some(now.instant + TELL_ALL);
            self.tell_peers(replica, &Hint::Here { users });
        }
    }

    pub(crate) fn handle_hint(&mut self, now: Now, replica: &Replica<Chat>, from: NodeId, hint: Hint) {
        if let Hint::Typing { room, user } = hint {
            return self.publish_typing(replica, room, user);
        }
        let mut changed = BTreeSet::new();
        let before = self.moment.elsewhere.entry(from).or_default();
        // What a node said too long ago is as if it had said nothing.
        if before.0 <= now.instant {
            changed.append(&mut before.1);
        }
        before.0 = now.instant + COUNTS_FOR;
        match hint {
            Hint::Here { users } => {
                let users: BTreeSet<UserId> = users.into_iter().take(MOST).collect();
                changed.extend(before.1.symmetric_difference(&users).copied());
                before.1 = users;
            }
            Hint::Came { user } if before.1.len() < MOST && before.1.insert(user) => _ = changed.insert(user),
            Hint::Gone { user } if before.1.remove(&user) => _ = changed.insert(user),
            _ => {}
        }
        let news: Vec<(UserId, bool)> = (changed.into_iter())
            .filter(|user| !self.by_user.contains_key(user))
            .map(|user| (user, self.is_elsewhere(now, user)))
            .collect();
        for (user, online) in news {
            self.tell_presence(replica, user, online);
        }
    }

    /// Tells the members of the user's small rooms, and its friends, who are connected here.
    fn tell_presence(&mut self, replica: &Replica<Chat>, user: UserId, online: bool) {
        let chat = replica.machine();
        let who = chat.company(user, SMALL);
        let connections = who.into_iter().filter_map(|other| self.by_user.get(&other)).flatten().copied();
        let connections: BTreeSet<ConnectionId> = connections.collect();
        self.tell_now(connections, Event { room: RoomId(0), cursor: 0, kind: EventKind::Presence { user, online } });
    }

    pub(super) fn typing(&mut self, now: Now, replica: &Replica<Chat>, connection: ConnectionId, user: UserId, room: RoomId) {
        let Some(known) = self.connections.get_mut(&connection) else { return };
        let lately = known.typed.is_some_and(|(typed, at)| typed == room && now.instant.since(at) < TYPING);
        if lately || !replica.machine().is_member(room, user) {
            return;
        }
        known.typed = Some((room, now.instant));
        self.publish_typing(replica, room, user);
        self.tell_peers(replica, &Hint::Typing { room, user });
    }

    fn publish_typing(&mut self, replica: &Replica<Chat>, room: RoomId, user: UserId) {
        let chat = replica.machine();
        let looks = |(id, known): (&ConnectionId, &Connection)| {
            let (_, reader) = known.session.filter(|(_, reader)| *reader != user)?;
            (known.follows.get(&room) == Some(&Follow::Live) && !chat.are_apart(reader, user)).then_some(*id)
        };
        let readers: BTreeSet<ConnectionId> = self.connections.iter().filter_map(looks).collect();
        let name = chat.user_name(user).to_string();
        self.tell_now(readers, Event { room, cursor: 0, kind: EventKind::Typing { user, name } });
    }

    /// For all connections of a user.
    pub(super) fn notice(&mut self, event: &ChatEvent) {
        let ChatEvent::Notice { user, notice } = event else { return };
        let connections = self.by_user.get(user).cloned().unwrap_or_default();
        let kind = EventKind::Notice(alloc::boxed::Box::new(notice.clone()));
        self.tell_now(connections, Event { room: RoomId(0), cursor: 0, kind });
    }

    /// An event of this moment: whoever has no credit left misses it.
    fn tell_now(&mut self, connections: BTreeSet<ConnectionId>, event: Event) {
        let cost = event.cost();
        let mut audience = Vec::with_capacity(connections.len());
        for connection in connections {
            let Some(known) = self.connections.get_mut(&connection) else { continue };
            // Only connections that listen get anything without having asked for it.
            let listens = known.follows_all || !known.follows.is_empty();
            if listens && known.outstanding.saturating_add(cost) <= self.limits.reader_bytes {
                known.outstanding += cost;
                audience.push(connection);
            }
        }
        if !audience.is_empty() {
            self.outputs.push_back(node::Output::Publish { to: audience.into(), event: Arc::new(event) });
        }
    }
}
