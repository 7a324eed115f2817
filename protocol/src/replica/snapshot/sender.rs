//! The sending side of a snapshot: reads what a peer asks for and answers. It remembers nothing that matters: a peer may ask anybody for any part.
//!
//! - At most [`Limits::snapshots`] peers are served at once; others are not answered, and ask again.
//! - One read is under way for a peer at a time. Nothing waits for it.

use super::*;
use crate::time::Duration;

/// A peer that has not asked for so long makes way for another.
const FORGET_AFTER: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, Default)]
pub(in crate::replica) struct Sender {
    served: Vec<Served>,
}

#[derive(Clone, Debug)]
struct Served {
    peer: NodeId,
    ask: Ask,
    load: Option<LoadId>,
    /// The place of the snapshot that it was answered from.
    at: Option<Index>,
    asked_at: Instant,
}

impl Sender {
    /// A peer asks. The read that it takes, to be made as `load`.
    pub(in crate::replica) fn ask(
        &mut self,
        now: Instant,
        peer: NodeId,
        ask: Ask,
        load: LoadId,
        limits: &Limits,
    ) -> Option<Query> {
        self.served.retain(|served| served.peer == peer || now.since(served.asked_at) < FORGET_AFTER);
        let nth = self.served.iter().position(|served| served.peer == peer);
        if nth.is_none() && self.served.len() >= limits.snapshots as usize {
            return None;
        }
        let mut at = ask.at;
        if let Some(before) = nth.map(|nth| self.served.swap_remove(nth))
            && (before.ask.boot, before.ask.id) == (ask.boot, ask.id)
        {
            if before.load.is_some() {
                // It is impatient: the answer is on its way from the disk.
                self.served.push(Served { asked_at: now, ..before });
                return None;
            }
            // The same question again is about the same snapshot.
            at = at.or(before.at);
        }
        let query = Query::Snapshot { at, from: ask.from.clone(), to: ask.to.clone(), max_bytes: limits.snapshot_part_bytes };
        self.served.push(Served { peer, at, ask, load: Some(load), asked_at: now });
        Some(query)
    }

    /// What a peer asked for was read: the answer to it.
    pub(in crate::replica) fn loaded(&mut self, load: LoadId, found: SnapshotRows) -> Option<(NodeId, Part)> {
        let served = self.served.iter_mut().find(|served| served.load == Some(load))?;
        served.load = None;
        served.at = Some(found.applied.position.index);
        let ask = &served.ask;
        let same = found.next.is_none() && ask.have == Some(sum_of(&found.rows));
        let to = found.next.or_else(|| ask.to.clone());
        let part = Part { boot: ask.boot, id: ask.id, applied: found.applied, to, rows: (!same).then_some(found.rows) };
        let peer = served.peer;
        if part.to.is_none() {
            // The last one: if it is lost, it is asked for once more.
            self.served.retain(|served| served.peer != peer);
        }
        Some((peer, part))
    }

    /// The lowest place of a snapshot that is being read: what follows it will be asked for next.
    pub(in crate::replica) fn lowest(&self, now: Instant) -> Option<Index> {
        let busy = self.served.iter().filter(|served| now.since(served.asked_at) < FORGET_AFTER);
        busy.filter_map(|served| served.at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant(1);

    fn ask(id: u64, from: &'static [u8], have: Option<StateHash>) -> Ask {
        let to = have.map(|_| Bytes::from_static(&[0x90]));
        Ask { boot: Boot(3), id, at: None, from: Bytes::from_static(from), to, have }
    }

    fn found(index: Index, next: Option<&'static [u8]>) -> SnapshotRows {
        let position = Position { index, ..Position::default() };
        let rows = Vec::from([(Bytes::from_static(&[0x80]), Bytes::from_static(b"row"))]);
        SnapshotRows { applied: AppliedRow { position, ..AppliedRow::default() }, rows, next: next.map(Bytes::from_static) }
    }

    fn place(query: Option<Query>) -> Option<Index> {
        let Some(Query::Snapshot { at, .. }) = query else { panic!("nothing is read") };
        at
    }

    #[test]
    fn so_many_are_served_at_once_and_who_falls_silent_makes_way() {
        let limits = Limits { snapshots: 2, ..Limits::default() };
        let mut sender = Sender::default();
        for peer in 1..=2 {
            assert!(sender.ask(NOW, NodeId(peer), ask(1, &[1], None), LoadId(peer), &limits).is_some());
        }
        assert!(sender.ask(NOW, NodeId(3), ask(1, &[1], None), LoadId(3), &limits).is_none());
        let later = NOW + Duration::from_secs(4);
        assert!(sender.ask(later, NodeId(2), ask(2, &[1], None), LoadId(4), &limits).is_some());
        let later = NOW + FORGET_AFTER;
        assert!(sender.ask(later, NodeId(3), ask(1, &[1], None), LoadId(5), &limits).is_some());
        assert!(sender.loaded(LoadId(1), found(5, None)).is_none(), "it has made way");
        assert!(sender.loaded(LoadId(4), found(5, None)).is_some());
        assert!(sender.ask(later, NodeId(1), ask(1, &[1], None), LoadId(6), &limits).is_some(), "the one before has got all");
    }

    #[test]
    fn the_same_question_is_read_once_and_about_the_same_snapshot() {
        let (limits, mut sender) = (Limits::default(), Sender::default());
        let peer = NodeId(1);
        assert_eq!(place(sender.ask(NOW, peer, ask(1, &[1], None), LoadId(1), &limits)), None);
        assert!(sender.ask(NOW, peer, ask(1, &[1], None), LoadId(2), &limits).is_none());
        assert!(sender.loaded(LoadId(2), found(5, None)).is_none());
        assert!(sender.loaded(LoadId(1), found(5, Some(&[0x81]))).is_some());
        assert_eq!(sender.lowest(NOW), Some(5));
        assert_eq!(place(sender.ask(NOW, peer, ask(1, &[1], None), LoadId(3), &limits)), Some(5));
        assert_eq!(place(sender.ask(NOW, peer, ask(2, &[1], None), LoadId(4), &limits)), None, "it wants a new one");
    }

    #[test]
    fn only_rows_that_are_the_same_as_a_whole_are_not_sent() {
        let (limits, mut sender) = (Limits::default(), Sender::default());
        let sum = sum_of(&found(5, None).rows);
        let mut answer = |id, have, next| {
            sender.ask(NOW, NodeId(1), ask(id, &[1], Some(have)), LoadId(id), &limits).unwrap();
            let (_, part) = sender.loaded(LoadId(id), found(5, next)).unwrap();
            (part.rows.is_none(), part.to.map(|to| to[0]))
        };
        assert_eq!(answer(1, sum, None), (true, Some(0x90)));
        assert_eq!(answer(2, StateHash(sum.0 + 1), None), (false, Some(0x90)));
        assert_eq!(answer(3, sum, Some(&[0x81])), (false, Some(0x81)));
    }
}
