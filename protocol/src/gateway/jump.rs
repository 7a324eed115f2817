//! What a jump of the state to that of a snapshot means for clients: nothing was told of what happened in between, so it is looked up.
//!
//! - Live followers fall back to catching up from where they are; who is no member any more is sent nothing more, and who follows all rooms gets the new ones.
//! - Requests that were executed in between are answered from the session table; others are offered again by their own timers.
//! - Reads that wait for a place are woken by the replica, as when it applies.

use super::*;
use alloc::vec::Vec;
use follow::Follow;

impl Gateway {
    /// The rows are about to be replaced. The machine is still the old one: it knows what live followers have been handed.
    pub(crate) fn handle_jumping(&mut self, replica: &Replica<Chat>) {
        self.jumping = true;
        #[cfg(feature = "zoo")]
        if self.has(crate::zoo::Bug::LiveOverJump) {
            return;
        }
        self.audiences.clear();
        for known in self.connections.values_mut() {
            for (room, follow) in &mut known.follows {
                if *follow == Follow::Live {
                    *follow = Follow::CatchingUp { next: replica.machine().last(*room) + 1 };
                }
            }
        }
    }

    /// The state is that of the snapshot.
    pub(crate) fn handle_jumped(&mut self, replica: &Replica<Chat>) {
        self.jumping = false;
        let requests: Vec<RequestKey> = self.pending.keys().copied().collect();
        for key in requests {
            self.settle_from_table(replica, key);
        }
        let sessions: BTreeSet<SessionId> = self.connections.values().filter_map(|known| Some(known.session?.0)).collect();
        for over in sessions.into_iter().filter(|session| replica.machine().user_of(*session).is_none()) {
            self.close_session(over);
        }
        let connections: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for connection in connections {
            self.see_rooms(replica, connection);
            self.pump(replica, connection);
        }
    }

    /// Follows what the connection's user is a member of now, as far as it wants to.
    fn see_rooms(&mut self, replica: &Replica<Chat>, connection: ConnectionId) {
        let Some(known) = self.connections.get(&connection) else { return };
        let Some((_, user)) = known.session else { return };
        let chat = replica.machine();
        let left: Vec<RoomId> = known.follows.keys().copied().filter(|room| !chat.is_member(*room, user)).collect();
        let joined: Vec<(RoomId, Cursor)> = (chat.rooms_of(user))
            .filter(|room| known.follows_all && !known.follows.contains_key(room))
            .filter_map(|room| Some((room, chat.joined_after(room, user)?)))
            .collect();
        for room in left {
            self.unfollow(connection, room);
        }
        for (room, cursor) in joined {
            self.begin(connection, room, cursor);
        }
    }
}
