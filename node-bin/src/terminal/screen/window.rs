//! The part of a room's history that is held: a row of messages without a gap.
//!
//! - It is *live* when it ends with the room's newest message: then new ones are added to it. A jump into the past makes one that is not, until its end is reached again.
//! - It holds at most [`MOST`] messages: what is furthest from where it grows goes.

use std::collections::BTreeMap;
use tertulia_protocol::chat::Post;
use tertulia_protocol::ids::{MessageId, Seq};

/// Messages held of one room.
pub const MOST: usize = 3_000;
/// What is cut off at once.
const SLACK: usize = 500;

#[derive(Clone, Debug, Default)]
pub struct Window {
    posts: BTreeMap<Seq, Post>,
    /// It ends with the newest message.
    pub live: bool,
    /// Nothing older may be seen.
    pub from_first: bool,
    /// It has been filled once.
    pub filled: bool,
}

impl Window {
    /// Empty, to be filled by its newest messages.
    pub fn live() -> Window {
        Window { live: true, ..Window::default() }
    }

    pub fn posts(&self) -> impl DoubleEndedIterator<Item = &Post> {
        self.posts.values()
    }

    pub fn get(&self, seq: Seq) -> Option<&Post> {
        self.posts.get(&seq)
    }

    pub fn first(&self) -> Option<Seq> {
        self.posts.keys().next().copied()
    }

    pub fn last(&self) -> Option<Seq> {
        self.posts.keys().next_back().copied()
    }

    /// Whether one of the newest messages has this id.
    pub fn has_lately(&self, id: MessageId) -> bool {
        self.posts.values().rev().take(200).any(|post| post.id == id)
    }

    /// A new window: the newest messages, or those around a place.
    pub fn fill(&mut self, posts: Vec<Post>, live: bool, from_first: bool) {
        // What was added while the answer was on its way is not in it.
        let newer: Vec<Post> = match (live && self.live, posts.last()) {
            (true, Some(last)) => self.posts.range(last.seq + 1..).map(|(_, post)| post.clone()).collect(),
            (true, None) => self.posts.values().cloned().collect(),
            _ => Vec::new(),
        };
        self.posts = posts.into_iter().chain(newer).map(|post| (post.seq, post)).collect();
        (self.live, self.from_first, self.filled) = (live, from_first, true);
    }

    /// A page that ends before the first message held.
    pub fn older(&mut self, posts: Vec<Post>, asked: usize, before: Seq) {
        if self.first() != Some(before) {
            return;
        }
        self.from_first = posts.len() < asked;
        self.posts.extend(posts.into_iter().map(|post| (post.seq, post)));
        if self.posts.len() > MOST + SLACK {
            while self.posts.len() > MOST {
                self.posts.pop_last();
            }
            self.live = false;
        }
    }

    /// A page that begins after the last message held.
    pub fn newer(&mut self, posts: Vec<Post>, asked: usize, after: Seq) {
        if self.last() != Some(after) {
            return;
        }
        self.live = self.live || posts.len() < asked;
        self.posts.extend(posts.into_iter().map(|post| (post.seq, post)));
        self.cut_oldest();
    }

    /// A message was posted. One that is held already is newer than what the event says.
    pub fn posted(&mut self, post: Post) {
        if self.live && self.last().is_none_or(|last| post.seq > last) {
            self.posts.insert(post.seq, post);
            self.cut_oldest();
        }
    }

    /// A message is another than it was.
    pub fn changed(&mut self, post: Post) {
        if let Some(held) = self.posts.get_mut(&post.seq) {
            *held = post;
        }
    }

    fn cut_oldest(&mut self) {
        if self.posts.len() > MOST + SLACK {
            while self.posts.len() > MOST {
                self.posts.pop_first();
            }
            self.from_first = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tertulia_protocol::chat::More;
    use tertulia_protocol::ids::UserId;
    use tertulia_protocol::time::Timestamp;

    fn post(seq: Seq) -> Post {
        let (author, author_name, more) = (UserId(1), "ana".into(), More::default());
        Post { seq, id: MessageId(seq.into()), author, author_name, text: format!("m{seq}"), at: Timestamp(0), more }
    }

    fn posts(seqs: std::ops::RangeInclusive<Seq>) -> Vec<Post> {
        seqs.map(post).collect()
    }

    #[test]
    fn what_comes_while_the_first_page_is_on_its_way_is_kept() {
        let mut window = Window { live: true, ..Window::default() };
        window.posted(post(11));
        window.fill(posts(1..=10), true, true);
        assert_eq!((window.first(), window.last()), (Some(1), Some(11)));
        window.posted(post(9));
        assert_eq!(window.posts().count(), 11);
    }

    #[test]
    fn a_jump_into_the_past_is_not_live_until_its_end_is_reached() {
        let mut window = Window::default();
        window.fill(posts(100..=150), false, false);
        window.posted(post(1_000));
        assert_eq!(window.last(), Some(150));
        window.newer(posts(151..=200), 50, 150);
        assert!(!window.live);
        window.newer(posts(201..=210), 50, 200);
        assert!(window.live);
        window.posted(post(211));
        assert_eq!(window.last(), Some(211));
        // A page that was asked for before the jump belongs nowhere.
        window.older(posts(1..=9), 50, 10);
        assert_eq!(window.first(), Some(100));
    }

    #[test]
    fn a_window_is_bounded_and_says_what_it_let_go() {
        let mut window = Window::default();
        window.fill(posts(10_001..=10_100), true, false);
        for before in (1..=80).map(|page| 10_001 - (page - 1) * 100) {
            window.older(posts(before - 100..=before - 1), 100, before);
        }
        assert!(!window.live && window.posts().count() <= MOST + SLACK);
        let mut window = Window { live: true, filled: true, from_first: true, ..Window::default() };
        posts(1..=4_000).into_iter().for_each(|post| window.posted(post));
        assert!(window.live && !window.from_first && window.posts().count() <= MOST + SLACK);
    }
}
