//! Requests that are accepted without a leader, and the tentative messages that members see.
//!
//! - A request that may be carried wants the outbox as soon as no leader answers; the node puts it there, and it is answered when it is on as many disks as its room wants.
//! - A room's tentative messages are told to its live followers one by one; who becomes live later is told all of them at once. So a reader that did not keep up misses none.

use super::*;
use crate::chat::{Carry, Command, decode_reply};
use crate::outbox::{Offered, Order};
use crate::replica::{Executed, Identity, Slot, message_id};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Bound;

/// Bytes of tentative messages of one room that a reader is told at once, also where it may be owed less: what stands behind the first part goes from the reader's screen until it
/// is told again, and its own messages, which stay, stand before what they followed.
const TAIL_BYTES: u32 = 256 << 10;

#[derive(Clone, Debug, Default)]
pub(super) struct Tails {
    rooms: BTreeMap<RoomId, BTreeMap<Order, TentativePost>>,
    places: BTreeMap<MessageId, (RoomId, Order)>,
    /// Rooms that had tentative messages in this run: their readers may have some on their screens.
    had: BTreeSet<RoomId>,
}

impl Tails {
    fn remove(&mut self, id: MessageId) -> Option<RoomId> {
        let (room, order) = self.places.remove(&id)?;
        if let Some(posts) = self.rooms.get_mut(&room) {
            posts.remove(&order);
            if posts.is_empty() {
                self.rooms.remove(&room);
            }
        }
        Some(room)
    }

    /// Behind this place, or from the first one on, as far as they fit in so many bytes, but at least one if there is any; and whether there are more.
    fn posts(&self, room: RoomId, behind: Option<Order>, most: u32) -> (Vec<TentativePost>, bool) {
        let behind = behind.map_or(Bound::Unbounded, Bound::Excluded);
        let all = || self.rooms.get(&room).into_iter().flat_map(|posts| posts.range((behind, Bound::Unbounded)));
        let mut bytes = 0;
        let fits = |(nth, (_, post)): &(usize, (&Order, &TentativePost))| {
            bytes += post.cost();
            *nth == 0 || bytes <= most
        };
        let posts: Vec<TentativePost> = all().enumerate().take_while(fits).map(|(_, (_, post))| post.clone()).collect();
        let more = all().count() > posts.len();
        (posts, more)
    }
}

impl Gateway {
    /// Requests that no leader answers and that may be accepted without one, in order.
    pub(crate) fn wanting(&self) -> impl Iterator<Item = RequestKey> + '_ {
        self.wanting.iter().copied()
    }

    pub(crate) fn wants_outbox(&self) -> bool {
        !self.wanting.is_empty()
    }

    /// Whether members have tentative messages of this node on their screens.
    pub(super) fn shows_tentative(&self) -> bool {
        !self.tails.places.is_empty()
    }

    pub(super) fn shows_tentative_in(&self, room: RoomId) -> bool {
        self.tails.rooms.contains_key(&room)
    }

    /// Whether the request may be accepted here and now, and on how many nodes it must be. Not asked again for the same request.
    pub(super) fn may_be_carried(&self, now: Now, replica: &Replica<Chat>, key: RequestKey) -> Option<u32> {
        let (RequestKey::Execute(session, _), Some(pending)) = (key, self.pending.get(&key)) else { return None };
        let command = Command::decode(pending.command()).ok()?;
        match replica.machine().carry(session, &command, now.wall) {
            Carry::Accept { copies } => Some(copies),
            Carry::Wait => None,
        }
    }

    /// It is durable on so many nodes. If that is enough its client is told; says under which identity, and whether more than one was wanted.
    pub(crate) fn accepted(&mut self, key: RequestKey, copies: u32) -> Option<(Identity, bool)> {
        let RequestKey::Execute(session, slot) = key else { return None };
        let pending = self.pending.get_mut(&key)?;
        let (wanted, identity) = (pending.carried_on(copies)?, pending.identity()?);
        if copies < wanted {
            return None;
        }
        self.settle(key, &Ok(Answer::Accepted { id: message_id(session, slot), copies }));
        Some((identity, wanted > 1))
    }

    /// A request as it goes into the outbox.
    pub(crate) fn offered(&self, key: RequestKey) -> Option<Offered> {
        self.pending.get(&key)?.offered()
    }

    /// Whether a client waits for a request to be accepted.
    pub(crate) fn is_wanting(&self, key: RequestKey) -> bool {
        self.wanting.contains(&key)
    }

    pub(crate) fn refuse_full(&mut self, key: RequestKey, limit: u64) {
        self.settle(key, &Err(Refusal::OutboxFull { limit }));
    }

    /// Members may see this message: it is durable here.
    pub(crate) fn show_tentative(&mut self, replica: &Replica<Chat>, room: RoomId, post: TentativePost) {
        if let Some((_, order)) = self.tails.places.get(&post.id) {
            // The same post over two nodes stands where it stands first.
            if *order <= post.order {
                return;
            }
            self.tails.remove(post.id);
        }
        self.tails.had.insert(room);
        self.tails.places.insert(post.id, (room, post.order));
        self.tails.rooms.entry(room).or_default().insert(post.order, post.clone());
        self.publish_tentative(replica, room, EventKind::Tentative(Box::new(post)));
    }

    /// A message that members may see is on more nodes than it was.
    pub(crate) fn see_copies(&mut self, replica: &Replica<Chat>, id: MessageId, copies: u32) {
        let Some((room, order)) = self.tails.places.get(&id).copied() else { return };
        let Some(post) = self.tails.rooms.get_mut(&room).and_then(|posts| posts.get_mut(&order)) else { return };
        if post.copies != copies {
            post.copies = copies;
            let post = Box::new(post.clone());
            self.publish_tentative(replica, room, EventKind::Tentative(post));
        }
    }

    /// What was carried is executed, or refused. True if it was refused.
    pub(crate) fn settle_tentative(&mut self, replica: &Replica<Chat>, executed: &Executed) -> bool {
        let RequestKey::Execute(session, slot) = executed.request else { return false };
        let refusal = match &executed.outcome {
            Ok(reply) => decode_reply(reply).err(),
            Err(refusal) => Some(requests::session_refusal(*refusal)),
        };
        let id = message_id(session, slot);
        if let (Some(room), Some(refusal)) = (self.tails.remove(id), refusal.clone()) {
            self.publish_tentative(replica, room, EventKind::Withdrawn { id, refusal: Box::new(refusal) });
        }
        refusal.is_some()
    }

    /// The state has jumped: only these are still tentative. Followers are told all again when they have caught up.
    pub(crate) fn retain_tentative(&mut self, is_open: impl Fn(&MessageId) -> bool) {
        let gone: Vec<MessageId> = self.tails.places.keys().filter(|id| !is_open(id)).copied().collect();
        for id in gone {
            self.tails.remove(id);
        }
    }

    fn publish_tentative(&mut self, replica: &Replica<Chat>, room: RoomId, kind: EventKind) {
        let event = Event { room, cursor: 0, kind };
        let (cost, next) = (event.cost(), replica.machine().last(room) + 1);
        let mut to = Vec::new();
        for (connection, known) in &mut self.connections {
            if known.follows.get(&room) != Some(&Follow::Live) {
                continue;
            }
            // Its turn comes: none is told before those that stand before it.
            if let (EventKind::Tentative(post), Some(told)) = (&event.kind, known.tails_owed.get(&room))
                && post.order > *told
            {
                continue;
            }
            if known.outstanding.saturating_add(cost) > self.limits.reader_bytes {
                // It is told the whole tail when it has caught up.
                known.follows.insert(room, Follow::CatchingUp { next });
                self.audiences.remove(&room);
                self.fell_behind = true;
            } else {
                known.outstanding += cost;
                to.push(*connection);
            }
        }
        if !to.is_empty() {
            self.outputs.push_back(node::Output::Publish { to: to.into(), event: Arc::new(event) });
        }
    }

    /// A follower has become live: what is tentative in its room follows what is committed.
    pub(super) fn tell_tail(&mut self, connection: ConnectionId, room: RoomId) {
        if !self.tails.had.contains(&room) {
            return;
        }
        let (posts, more) = self.tails.posts(room, None, TAIL_BYTES);
        let Some(known) = self.connections.get_mut(&connection) else { return };
        match posts.last().filter(|_| more) {
            Some(last) => known.tails_owed.insert(room, last.order),
            None => known.tails_owed.remove(&room),
        };
        let event = Event { room, cursor: 0, kind: EventKind::Tail(posts.into()) };
        known.outstanding = known.outstanding.saturating_add(event.cost());
        self.outputs.push_back(node::Output::Publish { to: known.alone.clone(), event: Arc::new(event) });
    }

    /// Tells a reader that keeps up the next part of a tail that was too long to be told at once. True if something was told.
    pub(super) fn tell_more(&mut self, connection: ConnectionId) -> bool {
        let Some(known) = self.connections.get_mut(&connection) else { return false };
        let Some((room, told)) = known.tails_owed.first_key_value().map(|(room, told)| (*room, *told)) else { return false };
        known.tails_owed.remove(&room);
        if known.follows.get(&room) != Some(&Follow::Live) {
            return true;
        }
        let (posts, more) = self.tails.posts(room, Some(told), TAIL_BYTES);
        let Some(known) = self.connections.get_mut(&connection) else { return false };
        if let Some(last) = posts.last().filter(|_| more) {
            known.tails_owed.insert(room, last.order);
        }
        for post in posts {
            let event = Event { room, cursor: 0, kind: EventKind::Tentative(Box::new(post)) };
            known.outstanding = known.outstanding.saturating_add(event.cost());
            self.outputs.push_back(node::Output::Publish { to: known.alone.clone(), event: Arc::new(event) });
        }
        true
    }

    pub(super) fn tentative(&mut self, replica: &Replica<Chat>, connection: ConnectionId, id: u64, room: RoomId) {
        let cursor = replica.machine().last(room);
        let (posts, _) = self.tails.posts(room, None, TAIL_BYTES);
        self.reply(connection, id, Ok(Answer::Tentative { room, cursor, posts }));
    }

    /// How a request that still waits is refused when nobody has answered for long enough.
    pub(super) fn not_accepted(&self, now: Now, key: RequestKey) -> Refusal {
        match self.pending.get(&key).and_then(|pending| pending.too_few()) {
            Some((copies, wanted)) => Refusal::TooFewCopies { copies, wanted },
            None => self.no_leader(now),
        }
    }

    /// A slot of a session, as the outbox names it.
    pub(crate) fn request(key: RequestKey) -> Option<(SessionId, Slot)> {
        if let RequestKey::Execute(session, slot) = key { Some((session, slot)) } else { None }
    }
}
