//! Tentative messages stand in an order that their authors would recognize, and get their places in it.
//!
//! Source: Terry et al. 1994, "Session guarantees for weakly consistent replicated data" (read your writes, monotonic writes, writes follow reads), and 1995 (Bayou);
//! DESIGN 4: "nobody stores, shows or proposes it before what it depends on".
//! Verifies: in the tail of every client's screen, messages of one session stand in the order in which they were sent, and none comes before its elder has come; a
//! message never stands before one that its author had on its own tail when it sent it, and is never shown earlier than that one. Of what comes of it: what an author had on
//! its tail, in this room, when it sent a message has a smaller place than that message, if both have one.
//! Does *not* verify: what an author had seen before it turned to another server, and what became of a message while its author was elsewhere (a post is sent
//! again to each server, and a server knows only what has come to it); that something was shown before, where the reader has turned to another server since; texts
//! that were sent more than once; rooms against each other; lines that were told by different servers, until the later one has told both; committed messages (`causality`, `session-order`), also those that a reader does not yet know to be so: they come in
//! above what waits, whenever they come.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, ClientFact, Observed};
use crate::table::Table;
use crate::topics::{Topic, Topics};
use crate::view::View;
use std::collections::BTreeMap;
use tertulia_protocol::ids::{MessageId, NodeId, RoomId, Seq};

/// How often a client had turned to a server, and how many tentative messages had come onto its screen.
type Step = (u32, u64);

/// A post as its author sent it.
#[derive(Clone, Copy)]
struct Sent {
    client: u32,
    number: u64,
    at: Step,
    /// How often its author had sent something, this time included.
    nth: u64,
}

/// A message that came to a client's tail.
#[derive(Clone, Copy)]
struct Shown {
    since: Step,
    /// It has left the tail without having got its place on that screen: how often the client had sent something by then. What left and came again before the client sent
    /// something else was there all the time, as far as anybody can tell.
    left: Option<u64>,
    delivered: bool,
}

/// A message in a tail.
#[derive(Clone, Copy)]
struct Line {
    id: MessageId,
    text_digest: u64,
    /// How often the reader had turned by then.
    turned: u32,
}

/// What came to a client's tail, and what it sent, in one room.
#[derive(Clone, Default)]
struct Past {
    shown: Vec<(Step, MessageId)>,
    /// Acknowledged on the server at which it was sent.
    sent: Vec<(Step, u64, Seq)>,
}

#[derive(Clone, Default)]
pub(crate) struct TentativeOrder {
    /// By text; `None` when several requests say it.
    written: Table<u64, Option<Sent>>,
    steps: BTreeMap<u32, Step>,
    /// How often each client has sent something.
    sends: BTreeMap<u32, u64>,
    shown: Table<(u32, MessageId), Shown>,
    tails: BTreeMap<(u32, RoomId), Vec<Line>>,
    requests: Table<(u32, u64), Step>,
    pasts: BTreeMap<(u32, RoomId), Past>,
    places: Table<MessageId, Seq>,
    /// Something tentative was shown in this run.
    active: bool,
}

impl TentativeOrder {
    fn step(&self, client: u32) -> Step {
        self.steps.get(&client).copied().unwrap_or_default()
    }

    fn sent(&self, line: Line) -> Option<Sent> {
        *self.written.get(&line.text_digest)?
    }

    /// Whether the author of this had that on its tail when it sent it, and has not turned since.
    fn had_seen(&self, sent: Sent, id: MessageId) -> bool {
        let still_there = self.step(sent.client).0 == sent.at.0;
        let on_screen = |shown: &Shown| {
            shown.since.0 == sent.at.0 && shown.since <= sent.at && shown.left.is_none_or(|sends| sent.nth <= sends)
        };
        still_there && self.shown.get(&(sent.client, id)).is_some_and(on_screen)
    }

    fn submitted(&mut self, client: u32, number: u64, text_digest: u64) {
        let at = self.step(client);
        self.requests.or_insert((client, number), at);
        let nth = self.sends.entry(client).or_default();
        *nth += 1;
        if self.written.insert(text_digest, Some(Sent { client, number, at, nth: *nth })).is_some() {
            self.written.insert(text_digest, None);
        }
    }

    fn show(&mut self, fact: &ClientFact) -> Verdict {
        let &ClientFact::Tentative { client, room, id, text_digest, before, .. } = fact else { return Ok(()) };
        self.active = true;
        let step = self.steps.entry(client).or_default();
        step.1 += 1;
        let step = *step;
        let before_now = self.shown.get(&(client, id)).copied();
        let sends = self.sends.get(&client).copied().unwrap_or_default();
        // One that only moves has been seen since it came.
        let only_moves = |shown: Shown| shown.since.0 == step.0 && shown.left.is_none_or(|left| left == sends);
        if let Some(shown) = before_now.filter(|shown| only_moves(*shown)) {
            self.shown.insert((client, id), Shown { left: None, ..shown });
        } else {
            self.shown.insert((client, id), Shown { since: step, left: None, delivered: false });
            self.pasts.entry((client, room)).or_default().shown.push((step, id));
        }
        let tail = self.tails.entry((client, room)).or_default();
        tail.retain(|line| line.id != id);
        let place = before.and_then(|before| tail.iter().position(|line| line.id == before)).unwrap_or(tail.len());
        tail.insert(place, Line { id, text_digest, turned: step.0 });
        let told = self.judge(&self.tails[&(client, room)], place, before_now.is_some());
        told.map_err(|told| format!("On the screen of client {client}, in {room}, {told}"))
    }

    /// Whether what has just come to a tail, or has moved in it, stands where it may.
    fn judge(&self, tail: &[Line], place: usize, moved: bool) -> Verdict {
        let new = tail[place];
        let Some(sent) = self.sent(new) else { return Ok(()) };
        for (nth, other) in tail.iter().enumerate().filter(|(nth, _)| *nth != place) {
            let Some(their) = self.sent(*other) else { continue };
            let (first, second) = if nth < place { ((their, *other), (sent, new)) } else { ((sent, new), (their, *other)) };
            // It is about to come in above all that waits; or the two were told by different servers, which may know a message over different nodes.
            if self.places.get(&second.1.id).is_some() || other.turned != new.turned {
                continue;
            }
            if first.0.client == second.0.client && first.0.number > second.0.number {
                return Err(format!(
                    "request {} of client {} stands before its request {}.",
                    first.0.number, first.0.client, second.0.number
                ));
            }
            if self.had_seen(first.0, second.1.id) {
                return Err(format!(
                    "request {} of client {} stands before request {} of client {}, which its author had on its own screen when it sent it.",
                    first.0.number, first.0.client, second.0.number, second.0.client
                ));
            }
            let late = sent.client == their.client && sent.number < their.number || self.had_seen(their, new.id);
            let has_a_place = self.places.get(&new.id).is_some();
            if late && !moved && !has_a_place {
                return Err(format!(
                    "request {} of client {} was shown before request {} of client {}, which it depends on.",
                    their.number, their.client, sent.number, sent.client
                ));
            }
        }
        Ok(())
    }

    fn leaves(&mut self, client: u32, room: RoomId, id: MessageId) {
        let Some(tail) = self.tails.get_mut(&(client, room)) else { return };
        tail.retain(|line| line.id != id);
        let sends = self.sends.get(&client).copied().unwrap_or_default();
        if let Some(shown) = self.shown.get(&(client, id)).copied().filter(|shown| !shown.delivered) {
            self.shown.insert((client, id), Shown { left: Some(sends), ..shown });
        }
    }

    fn delivered(&mut self, client: u32, id: MessageId, seq: Seq) {
        self.places.or_insert(id, seq);
        if let Some(shown) = self.shown.get(&(client, id)).copied() {
            self.shown.insert((client, id), Shown { delivered: true, ..shown });
        }
    }

    fn acknowledged(&mut self, client: u32, number: u64, (room, seq, id): (RoomId, Seq, MessageId)) {
        if self.active {
            self.places.or_insert(id, seq);
        }
        let Some(&at) = self.requests.get(&(client, number)) else { return };
        // Nothing had come to its tail by then, or it has turned since.
        if at.1 > 0 && at.0 == self.step(client).0 {
            self.pasts.entry((client, room)).or_default().sent.push((at, number, seq));
        }
    }
}

impl Rule for TentativeOrder {
    fn name(&self) -> &'static str {
        "tentative-order"
    }

    fn kind(&self) -> Kind {
        Kind::ClientVisible
    }

    fn hears(&self) -> Topics {
        Topics::of(&[
            Topic::ClientSubmitted,
            Topic::ClientAcknowledged,
            Topic::ClientDelivered,
            Topic::ClientRead,
            Topic::ClientTentative,
        ])
    }

    fn observe(&mut self, _: &View, _: At, observed: &Observed<'_>) -> Verdict {
        let Observed::Client(fact) = *observed else { return Ok(()) };
        match *fact {
            ClientFact::Submitted { client, number, text_digest, .. } => self.submitted(client, number, text_digest),
            ClientFact::Acknowledged { client, number, room, seq, id, .. } => self.acknowledged(client, number, (room, seq, id)),
            ClientFact::Delivered { client, id, seq, .. } if self.active => self.delivered(client, id, seq),
            ClientFact::Read { ref posts, .. } if self.active => {
                for post in posts {
                    self.places.or_insert(post.id, post.seq);
                }
            }
            ClientFact::Tentative { .. } => return self.show(fact),
            ClientFact::Untailed { client, room, id } | ClientFact::Withdrawn { client, room, id } => {
                self.leaves(client, room, id)
            }
            ClientFact::Turned { client } => {
                let step = self.steps.entry(client).or_default();
                *step = (step.0 + 1, 0);
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, _: &View, _: &[NodeId]) -> Verdict {
        for ((client, room), past) in &mut self.pasts {
            past.sent.sort_unstable();
            let mut shown = past.shown.iter().peekable();
            let mut greatest: Option<(u32, Seq, MessageId)> = None;
            for &(at, number, seq) in &past.sent {
                while let Some(&(step, id)) = shown.next_if(|(step, _)| *step <= at) {
                    let Some(&place) = self.places.get(&id) else { continue };
                    // It did not stay on that screen, or left it for a while and is counted from when it came again.
                    if self.shown.get(&(*client, id)).is_none_or(|shown| shown.left.is_some() || shown.since != step) {
                        continue;
                    }
                    if greatest.is_none_or(|(turned, place_before, _)| (turned, place_before) < (step.0, place)) {
                        greatest = Some((step.0, place, id));
                    }
                }
                if let Some((_, place, id)) = greatest.filter(|(turned, place, _)| *turned == at.0 && *place >= seq) {
                    return Err(format!(
                        "Client {client} had the tentative message {id} on its screen when it sent request {number}, and stayed where it was until both had a place: it got \
                         ({room}, {seq}), and the other one ({room}, {place})."
                    ));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::observed::ClientFact;
    use crate::story::Story;

    const RULE: &str = "tentative-order";

    fn turned(story: Story, client: u32) -> Story {
        story.client(ClientFact::Turned { client })
    }

    /// Client 7 asks; client 8 has the question on its screen when it answers.
    fn question_and_answer() -> Story {
        Story::of(RULE).submit(7, 1, "question").tentative(8, "question", None).submit(8, 1, "answer")
    }

    #[test]
    fn an_author_whose_messages_change_places_is_seen() {
        let two = || Story::of(RULE).submit(7, 1, "a").submit(7, 2, "b");
        two().tentative(8, "b", None).tentative(8, "a", None).breaks(RULE, "request 2 of client 7 stands before its request 1");
        two().tentative(8, "b", None).tentative(8, "a", Some("b")).breaks(RULE, "was shown before request 1 of client 7");
        two().tentative(8, "a", None).tentative(8, "b", Some("a")).breaks(RULE, "stands before its request 1");
    }

    #[test]
    fn an_answer_before_its_question_is_seen() {
        question_and_answer().tentative(9, "answer", None).tentative(9, "question", None).breaks(RULE, "had on its own screen");
        question_and_answer()
            .tentative(9, "question", None)
            .tentative(9, "answer", Some("question"))
            .breaks(RULE, "had on its own screen");
    }

    #[test]
    fn an_answer_that_is_shown_earlier_than_its_question_is_seen() {
        let story = question_and_answer().tentative(9, "answer", None).tentative(9, "question", Some("answer"));
        story.breaks(RULE, "which it depends on");
    }

    #[test]
    fn places_that_contradict_what_the_author_had_seen_are_seen_at_the_end() {
        let story = question_and_answer().ack(8, 1, 4, "answer").deliver(9, 4, "answer").ack(7, 1, 5, "question");
        story.finish().breaks(RULE, "got (r1, 4), and the other one (r1, 5)");
    }

    #[test]
    fn who_has_turned_to_another_server_is_promised_nothing_of_what_the_first_one_knew() {
        let moved = turned(question_and_answer(), 8);
        moved
            .tentative(9, "answer", None)
            .tentative(9, "question", None)
            .ack(8, 1, 4, "answer")
            .ack(7, 1, 5, "question")
            .finish()
            .holds();
        let reader = turned(question_and_answer().tentative(9, "answer", None), 9);
        reader.tentative(9, "question", Some("answer")).holds();
    }

    #[test]
    fn the_order_in_which_things_were_said_holds_on_screens_and_in_the_log() {
        let story =
            question_and_answer().tentative(8, "answer", None).tentative(7, "question", None).tentative(7, "answer", None);
        let story = story.submit(9, 1, "elsewhere").tentative(9, "elsewhere", None).tentative(9, "question", Some("elsewhere"));
        let story = story.tentative(9, "answer", None).untailed(9, "question").ack(7, 1, 1, "question").ack(9, 1, 2, "elsewhere");
        story.ack(8, 1, 3, "answer").finish().holds();
    }

    #[test]
    fn what_moves_does_not_come_anew() {
        let story = question_and_answer().tentative(9, "question", None).tentative(9, "answer", None).tentative(9, "other", None);
        story.untailed(9, "question").tentative(9, "question", Some("answer")).holds();
        let author = question_and_answer().untailed(8, "question").tentative(8, "question", None).ack(8, 1, 4, "answer");
        author.ack(7, 1, 5, "question").finish().breaks(RULE, "got (r1, 4)");
    }

    #[test]
    fn what_has_left_a_screen_is_not_answered() {
        let left = || Story::of(RULE).submit(7, 1, "question").tentative(8, "question", None).untailed(8, "question");
        left().submit(8, 1, "elsewhere").tentative(9, "elsewhere", None).tentative(9, "question", None).holds();
        left().submit(8, 1, "elsewhere").ack(8, 1, 4, "elsewhere").ack(7, 1, 5, "question").finish().holds();
        let again = left().submit(8, 1, "elsewhere").tentative(8, "question", None).submit(8, 2, "answer");
        again
            .tentative(9, "elsewhere", None)
            .tentative(9, "answer", None)
            .tentative(9, "question", None)
            .breaks(RULE, "request 2");
    }

    #[test]
    fn what_has_a_place_comes_in_above_what_waits_whenever_it_comes() {
        let story = Story::of(RULE).tentative(9, "other", None).submit(7, 1, "a").ack(7, 1, 4, "a").submit(7, 2, "b");
        story.tentative(8, "b", None).tentative(8, "a", Some("b")).holds();
        let lagging = Story::of(RULE).tentative(9, "other", None).submit(7, 1, "a").submit(7, 2, "b").deliver(9, 4, "a");
        lagging.tentative(8, "a", None).untailed(8, "a").tentative(8, "b", None).tentative(8, "a", None).holds();
    }

    #[test]
    fn who_had_not_seen_it_may_stand_before_it() {
        let story = Story::of(RULE).submit(7, 1, "a").submit(8, 1, "b").tentative(9, "a", None).tentative(9, "b", Some("a"));
        story.ack(8, 1, 1, "b").ack(7, 1, 2, "a").finish().holds();
    }
}
