//! Messages without a place as lines of a terminal: accepted on this side of a split, waiting for a majority.
//!
//! A line that is printed stays. So such a message is printed once, behind a `~`, and what became of it is told with as few lines as say it: when those at the end of the screen
//! get their places in the order in which they stand there, one line gives their numbers; one that got its place elsewhere is printed there, with its number.

use super::{harmless, line_of};
use std::collections::{BTreeSet, VecDeque};
use tertulia_protocol::chat::{Post, Refusal};
use tertulia_protocol::gateway::TentativePost;
use tertulia_protocol::ids::{MessageId, Seq};

/// Of messages that never settle here (their room is left, say) no more are remembered than this.
const REMEMBERED: usize = 10_000;

/// One room's.
#[derive(Default)]
pub struct Waiting {
    /// On the screen, and not settled as far as is known.
    shown: BTreeSet<MessageId>,
    /// Those of them that end the screen, in their order.
    last: VecDeque<MessageId>,
    /// The places of those that ended it and have settled since.
    placed: Option<(Seq, Seq)>,
}

impl Waiting {
    /// The lines for those of a room's tentative messages that are not on the screen yet.
    pub fn tail(&mut self, posts: &[TentativePost]) -> Vec<String> {
        let fresh: Vec<&TentativePost> = posts.iter().filter(|post| !self.shown.contains(&post.id)).collect();
        let mut lines = if fresh.is_empty() { Vec::new() } else { self.numbers().into_iter().collect() };
        if self.shown.len() > REMEMBERED {
            self.shown.clear();
        }
        for post in fresh {
            self.shown.insert(post.id);
            self.last.push_back(post.id);
            lines.push(tentative(post));
        }
        lines
    }

    /// A message has its place; `line` is how it would be printed.
    pub fn posted(&mut self, post: &Post, line: String) -> Vec<String> {
        let waited = self.shown.remove(&post.id);
        if !waited || self.last.front() != Some(&post.id) {
            return self.other(line);
        }
        self.last.pop_front();
        let first = self.placed.map_or(post.seq, |(first, _)| first);
        self.placed = Some((first, post.seq));
        if self.last.is_empty() { self.numbers().into_iter().collect() } else { Vec::new() }
    }

    /// A message was refused when it was its turn.
    pub fn withdrawn(&mut self, post: &TentativePost, refusal: &Refusal) -> Vec<String> {
        self.shown.remove(&post.id);
        self.other(format!("-- not posted: {refusal} ({}: {})", harmless(&post.author_name), harmless(&post.text)))
    }

    /// A message that will not be posted, of which enough was said.
    pub fn forget(&mut self, id: MessageId) {
        self.shown.remove(&id);
        self.last.retain(|last| *last != id);
    }

    /// Something else is printed.
    pub fn other(&mut self, line: String) -> Vec<String> {
        let numbers = self.numbers();
        self.last.clear();
        numbers.into_iter().chain([line]).collect()
    }

    /// Tells the places of those that need no line of their own.
    fn numbers(&mut self) -> Option<String> {
        let (first, last) = self.placed.take()?;
        Some(if first == last { format!("-- in place: #{first}") } else { format!("-- in place: #{first} to #{last}") })
    }
}

/// `~ 12:03 ana: hello (waiting for a majority, on 2 nodes)`
pub fn tentative(post: &TentativePost) -> String {
    let on = if post.copies == 1 { "1 node".into() } else { format!("{} nodes", post.copies) };
    let to = post.reply_to.map_or(String::new(), |to| format!(", to #{to}"));
    let plain = line_of(post.written_at, &format!("{}{to}", post.author_name), &post.text);
    format!("~ {plain} (waiting for a majority, on {on})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tertulia_protocol::chat::More;
    use tertulia_protocol::ids::{Boot, NodeId, OutboxId, UserId};
    use tertulia_protocol::time::Timestamp;

    fn waits(id: u128) -> TentativePost {
        let order = (Timestamp(0), OutboxId { node: NodeId(1), boot: Boot(1) }, id as u64);
        let (author, author_name, text) = (UserId(1), "ana".into(), format!("m{id}"));
        TentativePost { id: MessageId(id), author, author_name, text, reply_to: None, written_at: Timestamp(0), order, copies: 2 }
    }

    fn settles(waiting: &mut Waiting, id: u128, seq: Seq) -> Vec<String> {
        let (author, author_name, more) = (UserId(1), "ana".into(), More::default());
        let post = Post { seq, id: MessageId(id), author, author_name, text: format!("m{id}"), at: Timestamp(0), more };
        waiting.posted(&post, format!("#{seq} ana: m{id}"))
    }

    #[test]
    fn messages_that_settle_as_they_stand_are_not_printed_twice() {
        let mut waiting = Waiting::default();
        assert_eq!(waiting.tail(&[waits(1)]), ["~ 00:00 ana: m1 (waiting for a majority, on 2 nodes)"]);
        assert_eq!(waiting.tail(&[waits(1), waits(2)]).len(), 1);
        assert!(waiting.tail(&[waits(1), waits(2)]).is_empty());
        assert!(settles(&mut waiting, 1, 15).is_empty());
        assert_eq!(settles(&mut waiting, 2, 16), ["-- in place: #15 to #16"]);
        assert_eq!(settles(&mut waiting, 3, 17), ["#17 ana: m3"]);
    }

    #[test]
    fn a_message_whose_place_is_elsewhere_is_printed_there() {
        let mut waiting = Waiting::default();
        waiting.tail(&[waits(1), waits(2), waits(3)]);
        assert!(settles(&mut waiting, 1, 15).is_empty());
        // One from the other side comes between: the number of the first is told before, the others are printed where they stand.
        assert_eq!(settles(&mut waiting, 9, 16), ["-- in place: #15", "#16 ana: m9"]);
        assert_eq!(settles(&mut waiting, 2, 17), ["#17 ana: m2"]);
        let refused = waiting.withdrawn(&waits(3), &Refusal::LoggedOut);
        assert!(refused[0].starts_with("-- not posted: ") && refused[0].ends_with("(ana: m3)"), "{refused:?}");
    }

    #[test]
    fn what_waits_cannot_drive_the_terminal() {
        let mut post = waits(1);
        post.text = "a\u{1b}[2J\nb".into();
        assert!(!tentative(&post).contains('\u{1b}'));
        assert!(
            tentative(&TentativePost { copies: 1, reply_to: Some(4), ..waits(2) })
                .contains("ana, to #4: m2 (waiting for a majority, on 1 node)")
        );
    }
}
