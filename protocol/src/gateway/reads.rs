//! Requests that change nothing. What depends on being up to date waits for a read index first; without a leader it is answered from the state here, and says so.

use super::*;
use crate::chat::{LastMessages, Planned, RoomRef, RoomView};
use crate::contract::{Loaded, StoreError};
use crate::wire::EnvelopeError;
#[cfg(feature = "zoo")]
use crate::zoo::Bug;
use alloc::vec::Vec;
use bytes::Bytes;

/// Bytes of text after which a page of history ends early: it must fit a frame.
pub(super) const PAGE_BYTES: usize = 512 << 10;

/// What is known of the state that a request looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fresh {
    /// It may be behind.
    Unknown,
    /// It holds everything that was committed when the request came.
    Confirmed,
    /// No leader could say.
    Unconfirmed,
}

/// What waits until the state has come to some place.
#[derive(Clone, Debug)]
pub(super) enum Wait {
    /// A request, until its read index is there.
    Read { connection: ConnectionId, request: Request, give_up_at: Instant, timer: Instant },
    /// A forwarded request that the leader says is executed.
    Outcome(RequestKey),
}

/// A page of history under way.
#[derive(Clone, Debug)]
pub(super) enum HistoryLoad {
    Page {
        connection: ConnectionId,
        id: u64,
        room: RoomId,
        backwards: bool,
        current: bool,
    },
    /// Posts from the one at `first` among the messages on, of a room that has only posts from where its follower is.
    CatchUp {
        connection: ConnectionId,
        room: RoomId,
        first: Seq,
    },
    /// The newest changes of a room, to find where its last messages begin.
    Last {
        connection: ConnectionId,
        id: u64,
        last: LastMessages,
    },
    /// Changes from where a follower is.
    Changes {
        connection: ConnectionId,
        room: RoomId,
    },
    /// The messages of the events that come next for a follower.
    Events {
        connection: ConnectionId,
        room: RoomId,
        planned: Planned,
    },
    Thread {
        connection: ConnectionId,
        id: u64,
        user: UserId,
        room: RoomId,
    },
    Messages {
        connection: ConnectionId,
        id: u64,
        user: UserId,
        room: RoomId,
    },
    /// The index looks for words.
    Found {
        connection: ConnectionId,
        id: u64,
        user: UserId,
        limit: u32,
    },
    /// The messages that it has found.
    Read {
        connection: ConnectionId,
        id: u64,
        user: UserId,
        more: Option<Found>,
    },
    Export {
        connection: ConnectionId,
        id: u64,
        user: UserId,
        at: (RoomId, Seq),
    },
}

impl Gateway {
    pub(super) fn serve(
        &mut self,
        now: Now,
        replica: &mut Replica<Chat>,
        connection: ConnectionId,
        request: Request,
        fresh: Fresh,
    ) {
        #[cfg(feature = "zoo")]
        let fresh = match &request.ask {
            Ask::History { at_least: None, .. } if fresh == Fresh::Unknown && self.has(Bug::ReadLocal) => Fresh::Confirmed,
            _ => fresh,
        };
        let may_be_behind = fresh == Fresh::Unknown;
        #[cfg(feature = "zoo")]
        let may_be_behind = may_be_behind && !self.has(Bug::IgnoreAtLeast);
        let id = request.id;
        let request = around(request);
        let needs_session = !matches!(
            request.ask,
            Ask::Ping | Ask::Load | Ask::Cluster | Ask::Settings | Ask::SignIn { .. } | Ask::SignInAs { .. }
        );
        let session = self.session_of(replica, connection);
        let Some((session, user)) = session.or((!needs_session).then_some((SessionId(0), UserId(0)))) else {
            return match self.connections.get(&connection).map(|known| known.credential) {
                Some(Some(credential)) => {
                    let refusal = if replica.is_closed(&credential) { Refusal::LoggedOut } else { Refusal::UnknownSession };
                    self.refuse_or_wait(now, replica, connection, request, fresh, refusal);
                }
                _ => self.reply(connection, id, Err(Refusal::NotSignedIn)),
            };
        };
        if session != SessionId(0) {
            self.heard(now, replica, session);
        }
        match &request.ask {
            Ask::SignIn { .. } | Ask::SignInAs { .. } if fresh == Fresh::Unknown => {
                if let Err(refusal) = self.may_sign_in(now, replica, connection) {
                    return self.reply(connection, id, Err(refusal));
                }
            }
            _ => {}
        }
        match &request.ask {
            Ask::Ping => self.reply(connection, id, Ok(Answer::Pong)),
            Ask::Load => {
                let permille = self.fullness();
                self.reply(connection, id, Ok(Answer::Load { permille }));
            }
            Ask::NextNumber => match (fresh, replica.next_number(session)) {
                (Fresh::Unknown, _) => self.wait_for_read(now, replica, connection, request),
                (Fresh::Confirmed, Some(next)) => self.reply(connection, id, Ok(Answer::NextNumber(next))),
                (Fresh::Confirmed, None) => self.reply(connection, id, Err(Refusal::UnknownSession)),
                (Fresh::Unconfirmed, _) => {
                    let refusal = self.no_leader(now);
                    self.reply(connection, id, Err(refusal));
                }
            },
            Ask::Cluster => {
                let status = node::status_of(replica);
                self.reply(connection, id, Ok(Answer::Cluster(alloc::boxed::Box::new(status))));
            }
            // Those of a node that has applied nothing are nobody's: they say what a new cluster would begin with.
            Ask::Settings if replica.applied() == 0 => {
                let refusal = self.no_leader(now);
                self.reply(connection, id, Err(refusal));
            }
            Ask::Settings => {
                let settings = replica.machine().settings();
                self.reply(connection, id, Ok(Answer::Settings(alloc::boxed::Box::new(settings))));
            }
            Ask::SignIn { name, token } => self.sign_in(now, replica, connection, id, name, token),
            Ask::SignInAs { name, token, device, how } => {
                self.sign_in_as(now, replica, connection, &request, (name, token, device), how, fresh);
            }
            Ask::ChangePassword { .. } | Ask::DeleteAccount { .. } => {
                self.change_password(now, replica, connection, &request, (session, user), fresh);
            }
            Ask::Typing { room } if !replica.machine().is_member(*room, user) => {
                let refusal = Refusal::NotAMember { room: *room };
                self.refuse_or_wait(now, replica, connection, request, fresh, refusal);
            }
            Ask::Typing { room } => {
                self.typing(now, replica, connection, user, *room);
                self.reply(connection, id, Ok(Answer::Noted));
            }
            ask if Gateway::is_lookup(ask) && fresh == Fresh::Unknown => self.wait_for_read(now, replica, connection, request),
            ask if Gateway::is_lookup(ask) => self.look_up(now, replica, connection, request, (session, user), fresh),
            Ask::Submit { identity, first_unacked, command } => {
                self.submit(now, replica, connection, id, session, *identity, *first_unacked, command);
            }
            Ask::History { at_least: Some(index), .. } if may_be_behind && replica.applied() < *index => {
                self.wait_for_index(now, replica, connection, request);
            }
            Ask::Rooms | Ask::History { at_least: None, .. } if fresh == Fresh::Unknown => {
                self.wait_for_read(now, replica, connection, request);
            }
            Ask::Rooms => {
                let rooms: Vec<RoomView> = replica.machine().rooms(user);
                self.reply(connection, id, Ok(Answer::Rooms(rooms)));
            }
            Ask::History { room, after, before, limit, at_least } => {
                let page = (*after, *before, *limit);
                // The state is where the asker has been; whether there is something newer, nobody has said.
                let (fresh, absent) = if at_least.is_some() { (Fresh::Unconfirmed, Fresh::Unknown) } else { (fresh, fresh) };
                match self.visible_room(replica.machine(), user, room) {
                    Ok((room, first)) => {
                        // What is posted while the page is read would make it longer than the room keeps.
                        let end = replica.machine().end_of_page(room);
                        let page = (page.0, end.map_or(page.1, |end| Some(page.1.map_or(end, |before| before.min(end)))), page.2);
                        self.history(connection, id, (room, first), page, fresh);
                    }
                    Err(refusal) => self.refuse_or_wait(now, replica, connection, request, absent, refusal),
                }
            }
            Ask::Follow { room, from } => match self.followable(replica, user, room) {
                Ok(room) => self.follow(replica, connection, id, room, *from),
                Err(refusal) => self.refuse_or_wait(now, replica, connection, request, fresh, refusal),
            },
            Ask::Tentative { room } => match self.followable(replica, user, room) {
                Ok(room) => self.tentative(replica, connection, id, room),
                Err(refusal) => self.refuse_or_wait(now, replica, connection, request, fresh, refusal),
            },
            Ask::Unfollow { room } => {
                self.unfollow(connection, *room);
                self.reply(connection, id, Ok(Answer::Unfollowed));
            }
            Ask::FollowAll { .. } if fresh == Fresh::Unknown => self.wait_for_read(now, replica, connection, request),
            Ask::FollowAll { after } => self.follow_all(replica, connection, id, user, after),
            // Turned into a page, or taken above.
            _ => {}
        }
    }

    /// This node wrote that row: nothing that it holds can be trusted now.
    pub(super) fn unreadable(&mut self, room: RoomId, error: &EnvelopeError) {
        let message = alloc::format!("a message of room {} cannot be read: {error}", room.0);
        self.outputs.push_back(node::Output::Halt { reason: node::HaltReason::Store { message } });
    }

    fn followable(&self, replica: &Replica<Chat>, user: UserId, room: &RoomRef) -> Result<RoomId, Refusal> {
        let chat = replica.machine();
        let known = chat.find_room_for(user, room).filter(|id| chat.may_know(*id, user));
        let id = known.ok_or_else(|| Refusal::UnknownRoom { room: room.clone() })?;
        if chat.is_member(id, user) { Ok(id) } else { Err(Refusal::NotAMember { room: id }) }
    }

    /// "There is no such thing" is said only when the state is known to be up to date.
    pub(super) fn refuse_or_wait(
        &mut self,
        now: Now,
        replica: &mut Replica<Chat>,
        connection: ConnectionId,
        request: Request,
        fresh: Fresh,
        refusal: Refusal,
    ) {
        match fresh {
            #[cfg(feature = "zoo")]
            Fresh::Unknown if self.has(Bug::DenyWhenBehind) => self.reply(connection, request.id, Err(refusal)),
            Fresh::Unknown => self.wait_for_read(now, replica, connection, request),
            Fresh::Confirmed => self.reply(connection, request.id, Err(refusal)),
            Fresh::Unconfirmed => {
                let refusal = self.no_leader(now);
                self.reply(connection, request.id, Err(refusal));
            }
        }
    }

    pub(super) fn waits_are_full(&self) -> bool {
        self.waits.len() >= self.limits.pending_requests as usize
    }

    pub(super) fn wait(&mut self, wait: Wait) -> u64 {
        self.waits_made += 1;
        self.waits.insert(self.waits_made, wait);
        self.waits_made
    }

    pub(super) fn wait_for_read(
        &mut self,
        now: Now,
        replica: &mut Replica<Chat>,
        connection: ConnectionId,
        mut request: Request,
    ) {
        if let Ask::History { at_least, .. } = &mut request.ask {
            *at_least = None;
        }
        if self.waits_are_full() {
            return self.reply(connection, request.id, Err(Refusal::Busy { retry_after_ms: 100 }));
        }
        let give_up_at = now.instant + self.timing.hold;
        let id = self.wait(Wait::Read { connection, request, give_up_at, timer: now.instant });
        self.ask_again(now, replica, id);
    }

    /// Waits until the state here has come to where the asker has seen it elsewhere.
    fn wait_for_index(&mut self, now: Now, replica: &mut Replica<Chat>, connection: ConnectionId, request: Request) {
        let Ask::History { at_least: Some(index), .. } = request.ask else { return };
        if self.waits_are_full() {
            return self.reply(connection, request.id, Err(Refusal::Busy { retry_after_ms: 100 }));
        }
        let give_up_at = now.instant + self.timing.hold;
        let id = self.wait(Wait::Read { connection, request, give_up_at, timer: give_up_at });
        self.timers.insert((give_up_at, Timer::Read(id)));
        replica.read_at(id, index);
    }

    /// Asks for the read index (again), or answers from what is here when no leader could be asked in time.
    pub(super) fn ask_again(&mut self, now: Now, replica: &mut Replica<Chat>, id: u64) {
        let Some(Wait::Read { connection, request, give_up_at, timer }) = self.waits.get_mut(&id) else { return };
        if let Ask::History { at_least: Some(index), .. } = request.ask {
            if now.instant < *give_up_at {
                return;
            }
            // An older state is what the asker must not be shown: another node may have come further.
            let (connection, id_asked) = (*connection, request.id);
            self.waits.remove(&id);
            replica.forget_read(id, index);
            let refusal = self.no_leader(now);
            return self.reply(connection, id_asked, Err(refusal));
        }
        if now.instant >= *give_up_at {
            let fresh = Fresh::Unconfirmed;
            #[cfg(feature = "zoo")]
            let fresh = if self.has(Bug::UnconfirmedIsCurrent) { Fresh::Confirmed } else { fresh };
            return self.readable(now, replica, id, fresh);
        }
        self.timers.remove(&(*timer, Timer::Read(id)));
        *timer = (now.instant + self.timing.forward_again).min(*give_up_at);
        self.timers.insert((*timer, Timer::Read(id)));
        replica.read(now, id);
    }

    /// The state has come to where a wait may go on.
    pub(crate) fn handle_readable(&mut self, now: Now, replica: &mut Replica<Chat>, id: u64) {
        self.readable(now, replica, id, Fresh::Confirmed);
    }

    fn readable(&mut self, now: Now, replica: &mut Replica<Chat>, id: u64, fresh: Fresh) {
        match self.waits.remove(&id) {
            Some(Wait::Read { connection, request, timer, .. }) => {
                self.timers.remove(&(timer, Timer::Read(id)));
                if self.connections.contains_key(&connection) {
                    self.serve(now, replica, connection, request, fresh);
                }
            }
            Some(Wait::Outcome(key)) => self.outcome_is_here(replica, key),
            None => {}
        }
    }

    fn history(
        &mut self,
        connection: ConnectionId,
        id: u64,
        (room, first): (RoomId, Seq),
        (after, before, limit): (Option<Seq>, Option<Seq>, u32),
        fresh: Fresh,
    ) {
        if let Err(refusal) = self.check_limit(limit) {
            return self.reply(connection, id, Err(refusal));
        }
        let backwards = before.is_some() && after.is_none();
        #[cfg(feature = "zoo")]
        let after = match () {
            () if self.has(Bug::PageInclusive) => after.map(|after| after.saturating_sub(1)),
            () if self.has(Bug::PageSkips) => after.map(|after| after.saturating_add(1)),
            () => after,
        };
        let (after, before) = (after.unwrap_or(0).max(first - 1), before.unwrap_or(Seq::MAX));
        let current = fresh == Fresh::Confirmed;
        let query = Chat::messages(room, after, before.max(after.saturating_add(1)), limit, backwards);
        self.load(query, HistoryLoad::Page { connection, id, room, backwards, current });
    }

    pub(super) fn load(&mut self, query: crate::contract::Query, load: HistoryLoad) -> LoadId {
        self.loads_made += 1;
        let id = LoadId(self.loads_made * 4 + 2);
        self.loads.insert(id, load);
        self.outputs.push_back(node::Output::Load { id, query });
        id
    }

    pub(crate) fn handle_loaded(&mut self, replica: &Replica<Chat>, load: LoadId, loaded: Result<Loaded, StoreError>) {
        let Some(asked) = self.loads.remove(&load) else { return };
        let rows = match loaded {
            Ok(Loaded::Rows(rows)) => rows,
            Ok(_) => return,
            Err(error) => {
                return self.outputs.push_back(node::Output::Halt { reason: node::HaltReason::Store { message: error.message } });
            }
        };
        match asked {
            #[cfg(feature = "zoo")]
            HistoryLoad::Page { connection, id, room, backwards: true, current } if self.has(Bug::PageBackwards) => {
                if let Ok(posts) = page(replica.machine(), rows, false) {
                    self.reply(connection, id, Ok(Answer::History { room, posts, current }));
                }
            }
            HistoryLoad::Page { connection, id, room, backwards, current } => match page(replica.machine(), rows, backwards) {
                Ok(posts) => self.reply(connection, id, Ok(Answer::History { room, posts, current })),
                Err(error) => self.unreadable(room, &error),
            },
            HistoryLoad::CatchUp { connection, room, first } => self.caught_up(replica, connection, (load, room), first, &rows),
            HistoryLoad::Last { connection, id, last } => self.begin_last(replica, connection, id, &last, &rows),
            HistoryLoad::Changes { connection, room } => self.plan(replica, connection, (load, room), &rows),
            HistoryLoad::Events { connection, room, planned } => match replica.machine().events_of(room, planned, &rows) {
                Ok(events) => {
                    let chat = replica.machine();
                    let user = self.user_on(connection).unwrap_or(UserId(0));
                    let events = events.into_iter().map(|event| chat.as_seen_by(user, event)).collect();
                    self.hand_over(replica, connection, (load, room), events);
                }
                Err(error) => self.unreadable(room, &error),
            },
            other => self.looked_up(replica, other, &rows),
        }
    }
}

/// A page around a place is one page: the places are dense.
fn around(request: Request) -> Request {
    let Ask::Around { room, seq, limit, at_least } = request.ask else { return request };
    let after = Some(seq.saturating_sub(u64::from(limit / 2) + 1));
    let before = Some(seq.saturating_add(u64::from(limit - limit / 2)));
    Request { id: request.id, ask: Ask::History { room, after, before, limit, at_least } }
}

/// The posts of a page, ascending, cut at [`PAGE_BYTES`] on the side where the reader goes on.
fn page(chat: &Chat, mut rows: Vec<(Bytes, Bytes)>, backwards: bool) -> Result<Vec<crate::chat::Post>, EnvelopeError> {
    let mut bytes = 0;
    let kept = rows.iter().take_while(|(_, value)| {
        bytes += value.len() + 96;
        bytes <= PAGE_BYTES
    });
    let kept = kept.count().max(1);
    rows.truncate(kept);
    if backwards {
        rows.reverse();
    }
    rows.iter().map(|(key, value)| chat.post_in(key, value).map(|(_, post)| post)).collect()
}
