//! Tentative messages of followed rooms.

use super::*;
use crate::gateway::TentativePost;

impl Client {
    /// The tentative messages of a room, in the order in which they are shown behind the committed ones.
    pub fn tail(&self, _room: RoomId) -> impl Iterator<Item = &TentativePost> {
        core::iter::empty()
    }
}
