//! Bad histories, as no cluster should ever make them: each is counted, and the judge objects to it.

use super::*;
use tertulia_judge::{Extent, text_digest};
use tertulia_protocol::chat::RoomRef;
use tertulia_protocol::time::Timestamp;

const ROOM: RoomId = RoomId(1);

struct Scene {
    tally: Tally,
    now: u64,
}

fn id(text: &str) -> MessageId {
    MessageId(u128::from(text_digest(text)))
}

impl Scene {
    fn new() -> Scene {
        Scene { tally: Tally::default(), now: 0 }
    }

    fn see(mut self, fact: ClientFact) -> Scene {
        self.now += 1_000;
        self.tally.observe(At(self.now), &fact);
        self
    }

    fn sends(self, client: u32, number: u64, text: &str) -> Scene {
        self.see(ClientFact::Submitted { client, number, room: RoomRef::Id(ROOM), text_digest: text_digest(text) })
    }

    fn acks(self, client: u32, number: u64, seq: Seq, text: &str) -> Scene {
        self.see(ClientFact::Acknowledged { client, number, room: ROOM, seq, id: id(text), at: Timestamp(seq) })
    }

    fn told(self, client: u32, seq: Seq, text: &str) -> Scene {
        self.told_as(client, seq, id(text), text)
    }

    fn told_as(self, client: u32, seq: Seq, id: MessageId, text: &str) -> Scene {
        let (cursor, text_digest) = (seq, text_digest(text));
        self.see(ClientFact::Delivered { client, room: ROOM, cursor, seq, id, text_digest, at: Timestamp(seq) })
    }

    /// Lost, doubled, reordered; and the rules that were broken.
    fn verdict(&self) -> ((u64, u64, u64), Vec<&'static str>) {
        let Figures { lost, doubled, reordered, .. } = self.tally.figures();
        ((lost, doubled, reordered), self.tally.violations.iter().map(|violation| violation.rule).collect())
    }

    fn ends(mut self, posts: &[(Seq, &str)]) -> Scene {
        self.now += 1_000;
        let posts: Vec<ReadPost> = posts
            .iter()
            .map(|(seq, text)| ReadPost { seq: *seq, id: id(text), text_digest: text_digest(text), at: Timestamp(*seq) })
            .collect();
        self.tally.end(At(self.now), &posts);
        self
    }
}

/// Two posts of client 1, told to clients 1 and 9 in order.
fn well() -> Scene {
    let scene = Scene::new().sends(1, 3, "a").sends(1, 4, "b").acks(1, 3, 5, "a").acks(1, 4, 6, "b");
    [1, 9].into_iter().fold(scene, |scene, client| scene.told(client, 5, "a").told(client, 6, "b"))
}

#[test]
fn a_run_in_which_all_is_well_counts_nothing_wrong() {
    let scene = well().ends(&[(5, "a"), (6, "b")]);
    assert_eq!(scene.verdict(), ((0, 0, 0), vec![]));
    let figures = scene.tally.figures();
    assert_eq!((figures.sent, figures.committed, figures.read_back, figures.delivered), (2, 2, 2, 4));
}

#[test]
fn a_message_that_stands_twice_is_doubled() {
    // The same message at two places.
    let (wrong, rules) = well().told(9, 7, "a").verdict();
    assert_eq!(wrong, (0, 1, 0));
    assert!(rules.contains(&"exactly-once"), "{rules:?}");
    // What was sent once, as another message.
    let (wrong, rules) = well().told_as(9, 7, MessageId(77), "a").verdict();
    assert_eq!(wrong, (0, 1, 0));
    assert!(rules.contains(&"sent-once"), "{rules:?}");
    // Told twice.
    let (wrong, rules) = well().told(9, 6, "b").verdict();
    assert_eq!(wrong, (0, 1, 0));
    assert!(rules.contains(&"delivery-order"), "{rules:?}");
}

#[test]
fn a_message_that_somebody_was_never_told_of_is_lost() {
    let scene =
        Scene::new().sends(1, 3, "a").sends(1, 4, "b").sends(1, 5, "c").acks(1, 3, 5, "a").acks(1, 4, 6, "b").acks(1, 5, 7, "c");
    let (wrong, rules) = scene.told(9, 5, "a").told(9, 7, "c").verdict();
    assert_eq!(wrong, (1, 0, 0));
    assert!(rules.contains(&"delivery-order"), "{rules:?}");
    // Also when its author hears of its place only later.
    let scene = Scene::new().sends(1, 3, "a").sends(1, 4, "b").acks(1, 3, 5, "a").told(9, 5, "a").told(9, 7, "c");
    assert_eq!(scene.acks(1, 4, 6, "b").verdict().0, (1, 0, 0));
}

#[test]
fn a_message_that_is_not_there_when_the_room_is_read_back_is_lost() {
    let scene = well().ends(&[(5, "a")]);
    assert_eq!(scene.verdict().0, (1, 0, 0));
    assert_eq!(scene.tally.figures().read_back, 1);
}

#[test]
fn a_place_that_holds_another_message_than_its_author_was_told_is_a_loss_and_another_order() {
    let scene = Scene::new().sends(1, 3, "a").acks(1, 3, 5, "a").told(9, 5, "x");
    let (wrong, rules) = scene.verdict();
    assert_eq!(wrong, (1, 0, 1));
    assert!(rules.contains(&"one-order"), "{rules:?}");
}

#[test]
fn posts_that_do_not_stand_as_they_were_sent_are_reordered() {
    let scene = Scene::new().sends(1, 3, "a").sends(1, 4, "b").acks(1, 4, 5, "b").acks(1, 3, 6, "a");
    let (wrong, rules) = scene.verdict();
    assert_eq!(wrong, (0, 0, 1));
    assert!(rules.contains(&"session-order"), "{rules:?}");
}

#[test]
fn a_page_that_leaves_out_what_was_acknowledged_breaks_a_rule() {
    let page = |scene: Scene| {
        let asked = At(scene.now + 1);
        let (posts, extent) = (Vec::new(), Extent::ToEnd);
        scene.see(ClientFact::Read {
            client: 9,
            room: ROOM,
            asked,
            after: Some(4),
            before: None,
            posts,
            extent,
            current: true,
            own_past: false,
        })
    };
    assert_eq!(page(well()).verdict(), ((0, 0, 0), vec!["linearizable-reads"]));
}

#[test]
fn figures_go_on_over_generations_and_memory_does_not() {
    let scene = well().told(9, 6, "b").ends(&[(5, "a"), (6, "b")]);
    let scene = scene.sends(1, 5, "c").acks(1, 5, 7, "c").told(9, 7, "c").ends(&[]);
    let figures = scene.tally.figures();
    assert_eq!((figures.sent, figures.committed, figures.doubled, figures.lost, figures.read_back), (3, 3, 1, 1, 2));
    assert_eq!(scene.tally.generation, 3);
    assert!(scene.tally.ledger.placed.is_empty() && !scene.tally.has_posts());
}

#[test]
fn a_generation_is_settled_when_nothing_is_open_and_everybody_was_told() {
    let clients = BTreeSet::from([1, 9]);
    let scene = Scene::new().sends(1, 3, "a");
    assert!(scene.tally.unsettled(&clients).unwrap().contains("1 posts"));
    let scene = scene.acks(1, 3, 5, "a").told(1, 5, "a");
    assert!(scene.tally.unsettled(&clients).unwrap().contains("client 9"));
    assert_eq!(scene.told(9, 5, "a").tally.unsettled(&clients), None);
}

#[test]
fn time_without_service_is_when_somebody_waits_and_nobody_is_answered() {
    let mut scene = Scene::new().sends(1, 3, "a");
    assert_eq!(scene.tally.json(50_000)["interrupted"], false);
    assert_eq!(scene.tally.json(401_000)["without_service_s"], 0.4);
    scene.now = 500_000;
    let scene = scene.acks(1, 3, 5, "a");
    assert_eq!((scene.tally.figures().without_service, scene.tally.figures().last_wait), (500_000, 500_000));
    // An ordinary wait is none.
    let scene = scene.sends(1, 4, "b").acks(1, 4, 6, "b");
    assert_eq!(scene.tally.figures().without_service, 500_000);
    let json = scene.tally.json(scene.now);
    assert_eq!((&json["committed"], &json["interrupted"], &json["open"]), (&json!(2), &json!(false), &json!(0)));
}

#[test]
fn what_is_accepted_is_an_answer_and_not_yet_a_place() {
    let scene = Scene::new().sends(1, 3, "a").see(ClientFact::Accepted { client: 1, number: 3, id: id("a"), copies: 1 });
    let scene = scene.see(ClientFact::Accepted { client: 1, number: 3, id: id("a"), copies: 2 });
    let json = scene.tally.json(9_000_000);
    assert_eq!((&json["accepted"], &json["accepted_now"], &json["committed"]), (&json!(1), &json!(1), &json!(0)));
    assert_eq!(json["interrupted"], false);
    assert_eq!(scene.acks(1, 3, 5, "a").tally.json(9_000_000)["accepted_now"], 0);
}
