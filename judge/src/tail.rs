//! What a client's tail of tentative messages was and is, told as the judge wants to hear it: one message came, before that one; another one left. Told so, what stays costs nothing.

use crate::observed::ClientFact;
use tertulia_protocol::ids::{MessageId, RoomId, UserId};

/// One message of a tail, as far as the judge wants to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TailLine {
    pub id: MessageId,
    pub author: UserId,
    pub text_digest: u64,
}

/// What turns one tail into another, in an order in which the second one is never contradicted.
pub fn tail_changes(client: u32, room: RoomId, old: &[TailLine], new: &[TailLine]) -> Vec<ClientFact> {
    let place = |line: &TailLine| old.iter().position(|other| other == line);
    // What stays is what stands in the same order; whatever else there is leaves first and comes anew.
    let mut stays = vec![false; old.len()];
    let mut behind = 0;
    for at in new.iter().filter_map(place) {
        if at >= behind {
            stays[at] = true;
            behind = at + 1;
        }
    }
    let stayed = |line: &TailLine| place(line).is_some_and(|at| stays[at]);
    let left = old.iter().zip(&stays).filter(|(_, stays)| !**stays);
    let mut facts: Vec<ClientFact> = left.map(|(line, _)| ClientFact::Untailed { client, room, id: line.id }).collect();
    for (nth, line) in new.iter().enumerate().filter(|(_, line)| !stayed(line)) {
        let before = new[nth..].iter().find(|line| stayed(line)).map(|line| line.id);
        let TailLine { id, author, text_digest } = *line;
        facts.push(ClientFact::Tentative { client, room, id, author, text_digest, before });
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(ids: &[u128]) -> Vec<TailLine> {
        ids.iter().map(|id| TailLine { id: MessageId(*id), author: UserId(1), text_digest: *id as u64 }).collect()
    }

    /// What the judge's own copy of a tail becomes.
    fn played(old: &[TailLine], facts: &[ClientFact]) -> Vec<MessageId> {
        let mut ids: Vec<MessageId> = old.iter().map(|line| line.id).collect();
        for fact in facts {
            match fact {
                ClientFact::Untailed { id, .. } => ids.retain(|other| other != id),
                ClientFact::Tentative { id, before, .. } => {
                    let place = before.and_then(|before| ids.iter().position(|other| *other == before));
                    ids.insert(place.unwrap_or(ids.len()), *id);
                }
                other => panic!("{other:?}"),
            }
        }
        ids
    }

    #[test]
    fn what_is_told_of_a_tail_makes_the_same_tail() {
        let cases: [(&[u128], &[u128], usize); 8] = [
            (&[], &[1, 2, 3], 3),
            (&[1, 2, 3], &[], 3),
            (&[1, 2, 3], &[1, 2, 3, 4], 1),
            (&[1, 2, 3], &[2, 3], 1),
            (&[1, 3], &[1, 2, 3], 1),
            (&[1, 2, 3], &[3, 1, 2], 4),
            (&[1, 2, 3], &[4, 2, 5], 4),
            (&[1, 2, 3, 4], &[1, 3, 2, 4], 2),
        ];
        for (old, new, most) in cases {
            let facts = tail_changes(7, RoomId(1), &tail(old), &tail(new));
            let wanted: Vec<MessageId> = new.iter().copied().map(MessageId).collect();
            assert_eq!(played(&tail(old), &facts), wanted, "{old:?} {new:?}");
            assert!(facts.len() <= most, "{old:?} {new:?}: {facts:?}");
        }
    }

    #[test]
    fn a_message_that_says_something_else_comes_anew() {
        let changed = [TailLine { text_digest: 9, ..tail(&[1])[0] }];
        let facts = tail_changes(7, RoomId(1), &tail(&[1]), &changed);
        assert!(matches!(facts[..], [ClientFact::Untailed { .. }, ClientFact::Tentative { text_digest: 9, .. }]));
    }
}
