//! Stories of a cluster without a leader: what is accepted, where the client goes, what is on the screen.

use super::stories::Story;
use super::*;

/// All of them, by the names under which the vectors stand.
pub const ALL: &[(&str, Story)] = &[
    ("what is accepted without a leader is asked about until it is settled", accepted_then_done),
    ("what is settled while it is being asked about is asked again at once", hurried),
    ("what is accepted goes in order to the next server", accepted_moves),
    ("a restart forgets that something was accepted, and asks", accepted_restart),
    ("a client that begins without a leader goes on with its numbers", restart_without_a_leader),
    ("an old copy does not go on without a leader where its later life is known", old_copy_without_a_leader),
    ("an old copy that has gone on without a leader says what is unclear", old_copy_ahead),
    ("all servers are tried once for a leader while posts are accepted", one_round),
    ("a server that cannot be reached is not waited for while another one accepts", unreachable),
    ("a round goes to the best servers first", round_by_figure),
    ("a join that waits for a leader does not take the client from server to server", join_waits),
    ("where nothing is accepted, a server without a leader is given up", never_accepted),
    ("a request that is kept on too few nodes is tried again", too_few_copies),
    ("a tentative message is shown until it is committed or refused", tail_events),
    ("a tentative message settles without leaving the screen", settles_in_place),
    ("what was delivered is not tentative again on a node that is behind", behind_with_a_tail),
    ("what an earlier run was delivered is not tentative for long", behind_after_a_restart),
    ("what is on the screen is asked about on a new connection", asks_for_the_tail),
    ("an own message stays until its command is settled", own_stays),
    ("a room that is followed no more has no tail", tail_dropped),
];

const ROOM: RoomId = RoomId(1);

impl Scene {
    fn accept(&mut self, request: &Request, id: u128, copies: u32) -> Vec<Output> {
        self.reply(request.id, Ok(Answer::Accepted { id: MessageId(id), copies }))
    }

    fn no_leader(&mut self, request: &Request) -> Vec<Output> {
        self.reply(request.id, Err(Refusal::NoLeader { since_ms: 500 }))
    }

    /// Signed in, and room 1 is followed from its fourth event on.
    fn following() -> Scene {
        let mut scene = Scene::new();
        scene.sign_in(1);
        let ask = requests(&scene.follow(1, 4)).remove(0);
        scene.reply(ask.id, Ok(Answer::Following { room: ROOM, cursor: 4 }));
        scene
    }

    /// Signed in on a server that has answered one post without a leader.
    fn accepted_once() -> Scene {
        let mut scene = Scene::new();
        scene.sign_in(1);
        scene.submit_accepted();
        scene
    }

    fn submit_accepted(&mut self) {
        let request = requests(&self.submit("one").1).remove(0);
        self.accept(&request, 5, 1);
    }

    /// The server goes on to say so, about every second, until the client goes on. To which one?
    fn until_it_moves(&mut self) -> u32 {
        for _ in 0..4 {
            let mut outputs = self.pass_alive(1_000);
            for request in submits(&outputs) {
                outputs.extend(self.accept(&request, 5, 1));
            }
            if let [next] = connects(&outputs)[..] {
                return next;
            }
        }
        panic!("it stays")
    }

    /// The server accepts everything for a while, and the client stays.
    fn stays(&mut self, seconds: u64) {
        for _ in 0..seconds {
            let mut outputs = self.pass_alive(1_000);
            let asked = submits(&outputs);
            for request in &asked {
                outputs.extend(self.accept(request, 5, 1));
            }
            assert_eq!((connects(&outputs), asked.len()), (vec![], 1));
        }
    }

    /// Signs in on the server that a connection is wanted to, which accepts what it is sent.
    fn arrive(&mut self) {
        let outputs = self.sign_in(1);
        let mut asked = submits(&outputs);
        assert_eq!(asked.len(), 1, "at once");
        self.accept(&asked.remove(0), 5, 1);
    }
}

fn submits(outputs: &[Output]) -> Vec<Request> {
    requests(outputs).into_iter().filter(|request| matches!(request.ask, Ask::Submit { .. })).collect()
}

fn tail_asks(outputs: &[Output]) -> Vec<Request> {
    requests(outputs).into_iter().filter(|request| matches!(request.ask, Ask::Tentative { .. })).collect()
}

/// A message that is written at this time, and is to become the room's event of this number.
pub fn post(id: u128, at: u64) -> TentativePost {
    let outbox = OutboxId { node: NodeId(2), boot: Boot(1) };
    TentativePost {
        id: MessageId(id),
        author: UserId(2),
        author_name: "ben".into(),
        text: "hello".into(),
        reply_to: None,
        written_at: Timestamp(at),
        order: (Timestamp(at), outbox, at),
        copies: 1,
    }
}

fn tentative(id: u128, at: u64) -> EventKind {
    EventKind::Tentative(Box::new(post(id, at)))
}

const CHANGED: Output = Output::Tail { room: ROOM };

pub fn accepted_then_done() -> Scene {
    let mut scene = Scene::following();
    let (number, outputs) = scene.submit("one");
    let outputs = scene.accept(&requests(&outputs)[0], 5, 1);
    assert_eq!(outputs, [Output::Accepted { number, id: MessageId(5), copies: 1 }]);
    assert_eq!(scene.status(number), Some(Status::Accepted { copies: 1 }));
    assert!(!scene.withdraw(number), "others have it");
    // The same number is asked about a second later. There is nothing new.
    let outputs = scene.pass_alive(1_000);
    assert_eq!(sent(&outputs), [(1, "one".into())]);
    assert!(scene.accept(&submits(&outputs)[0], 5, 1).is_empty());
    // A leader is back, and the message comes as the room's next event: its outcome is asked for at once.
    let outputs = scene.event(1, 5);
    assert_eq!((delivered(&outputs), sent(&outputs)), (vec![(1, 5)], vec![(1, "one".into())]));
    let outputs = scene.posted(&submits(&outputs)[0], 5);
    assert_eq!((settled(&outputs), scene.status(number)), (vec![1], None));
    scene
}

pub fn hurried() -> Scene {
    let mut scene = Scene::following();
    scene.submit_accepted();
    // The question is under way while the message gets its place: its answer was given before, and says nothing new.
    let asked = submits(&scene.pass_alive(1_000)).remove(0);
    let refused = || EventKind::Withdrawn { id: MessageId(5), refusal: Box::new(Refusal::NotAMember { room: ROOM }) };
    scene.hint(1, refused());
    let asked = submits(&scene.accept(&asked, 5, 1));
    assert_eq!(asked.len(), 1, "at once");
    // That one is answered from what the server knows by now.
    let outputs = scene.reply(asked[0].id, Err(Refusal::NotAMember { room: ROOM }));
    assert!(matches!(&outputs[0], Output::Settled { number: 1, result: Err(_) }));
    // Where nothing is under way, the question does not wait for its time.
    let request = submits(&scene.submit("two").1).remove(0);
    scene.accept(&request, 6, 1);
    let asked =
        submits(&scene.hint(1, EventKind::Withdrawn { id: MessageId(6), refusal: Box::new(Refusal::NotAMember { room: ROOM }) }));
    assert_eq!(asked.len(), 1);
    scene
}

pub fn accepted_moves() -> Scene {
    let mut scene = Scene::new();
    scene.sign_in(1);
    for (text, id) in [("one", 5), ("two", 6), ("three", 7)] {
        let request = requests(&scene.submit(text).1).remove(0);
        scene.accept(&request, id, 1);
    }
    scene.disconnected();
    assert_eq!(scene.status(2), Some(Status::Accepted { copies: 1 }));
    let (four, _) = scene.submit("four");
    assert_eq!(scene.status(four), Some(Status::Waiting));
    let outputs = scene.sign_in(1);
    let in_order = [(1, "one".into()), (2, "two".into()), (3, "three".into()), (4, "four".into())];
    assert_eq!(sent(&outputs), in_order);
    // Two of its nodes hold the first one; the others are new there.
    for (nth, request) in submits(&outputs).iter().enumerate() {
        let copies = if nth == 0 { 2 } else { 1 };
        let told = if nth == 1 || nth == 2 { vec![] } else { vec![(nth as u64 + 1, copies)] };
        assert_eq!(accepted(&scene.accept(request, nth as u128 + 5, copies)), told);
    }
    let outputs = scene.pass_alive(1_000);
    assert_eq!(sent(&outputs), in_order);
    for (nth, request) in submits(&outputs).iter().enumerate() {
        scene.posted(request, nth as u64 + 5);
    }
    assert_eq!(scene.client.unsettled(), 0);
    scene
}

pub fn accepted_restart() -> Scene {
    let mut scene = Scene::keeping();
    scene.sign_in(1);
    scene.submit("one");
    let outputs = scene.synced();
    scene.accept(&requests(&outputs)[0], 5, 1);
    scene.restart();
    assert_eq!(scene.status(1), Some(Status::Sent));
    let outputs = scene.sign_in(1);
    let ask = requests(&outputs).into_iter().find(|request| request.ask == Ask::NextNumber).unwrap();
    // The leader has not heard of it yet.
    let outputs = scene.reply(ask.id, Ok(Answer::NextNumber(1)));
    assert_eq!(sent(&outputs), [(1, "one".into())]);
    assert_eq!(settled(&scene.posted(&submits(&outputs)[0], 5)), [1]);
    scene
}

/// Restarted from what was kept, and asked which number is next by a server that takes it for `next`.
fn begin_again(scene: &mut Scene, kept: &[Bytes], next: u64) -> Request {
    scene.restart_from(kept);
    let outputs = scene.sign_in(next);
    requests(&outputs).into_iter().find(|request| request.ask == Ask::NextNumber).unwrap()
}

pub fn restart_without_a_leader() -> Scene {
    let mut scene = Scene::keeping();
    scene.sign_in(1);
    scene.submit("one");
    scene.synced();
    let kept = scene.kept.clone();
    let ask = begin_again(&mut scene, &kept, 1);
    scene.submit("two");
    let outputs = scene.no_leader(&ask);
    assert_eq!(sent(&outputs), [(1, "one".into())], "the other's number is not durable yet");
    scene.accept(&submits(&outputs)[0], 5, 1);
    let outputs = scene.synced();
    assert_eq!(sent(&outputs), [(2, "two".into())]);
    assert_eq!(accepted(&scene.accept(&submits(&outputs)[0], 6, 2)), [(2, 2)]);
    // The leader is asked again, and the server is not given up: it is of use.
    let asked = |outputs: &[Output]| requests(outputs).into_iter().find(|request| request.ask == Ask::NextNumber);
    let ask = asked(&scene.pass(1_000)).unwrap();
    assert_eq!(scene.client.server(), 0);
    scene.reply(ask.id, Ok(Answer::NextNumber(1)));
    let (_, outputs) = scene.submit("three");
    assert!(sent(&outputs).is_empty());
    assert_eq!(sent(&scene.synced()), [(3, "three".into())]);
    scene
}

pub fn old_copy_without_a_leader() -> Scene {
    let mut scene = Scene::keeping();
    scene.sign_in(1);
    scene.synced();
    let copy = scene.kept.clone();
    // A later life has posted, and this server knows.
    let ask = begin_again(&mut scene, &copy, 2);
    scene.submit("mine");
    assert!(sent(&scene.no_leader(&ask)).is_empty());
    let ask = requests(&scene.pass(100)).into_iter().find(|request| request.ask == Ask::NextNumber).unwrap();
    scene.synced();
    scene.reply(ask.id, Ok(Answer::NextNumber(2)));
    assert_eq!(sent(&scene.synced()), [(2, "mine".into())]);
    scene
}

pub fn old_copy_ahead() -> Scene {
    let mut scene = Scene::keeping();
    scene.sign_in(1);
    scene.synced();
    let copy = scene.kept.clone();
    // A later life has posted twice, and this server does not know.
    let ask = begin_again(&mut scene, &copy, 1);
    scene.no_leader(&ask);
    scene.submit("mine");
    let outputs = scene.synced();
    assert_eq!(sent(&outputs), [(1, "mine".into())]);
    scene.accept(&submits(&outputs)[0], 5, 1);
    let outputs = scene.pass(1_000);
    let ask = requests(&outputs).into_iter().find(|request| request.ask == Ask::NextNumber).unwrap();
    let outputs = scene.reply(ask.id, Ok(Answer::NextNumber(3)));
    assert!(outputs.contains(&Output::Unclear { number: 1 }), "its number is another one's: {outputs:?}");
    scene.submit("next");
    assert_eq!(sent(&scene.synced()), [(3, "next".into())]);
    scene
}

pub fn one_round() -> Scene {
    let mut scene = Scene::accepted_once();
    // No server knows a leader. Each is left at once for the next one.
    assert_eq!(scene.until_it_moves(), 1);
    scene.arrive();
    assert_eq!(scene.until_it_moves(), 2);
    scene.arrive();
    // All were tried: the client stays where it is, for ten seconds and until it is told so once more.
    scene.stays(11);
    assert_eq!(scene.client.server(), 2);
    assert_eq!(scene.until_it_moves(), 0, "another round");
    scene.arrive();
    assert_eq!(scene.until_it_moves(), 1);
    scene.arrive();
    scene.stays(21);
    // A leader answers.
    let outputs = scene.pass_alive(1_000);
    let outputs = scene.posted(&submits(&outputs)[0], 5);
    assert_eq!((settled(&outputs), scene.client.server()), (vec![1], 1));
    scene
}

pub fn unreachable() -> Scene {
    let mut scene = Scene::accepted_once();
    assert_eq!(scene.until_it_moves(), 1);
    // No connection comes about. A longer wait is not worth the silence.
    let outputs = scene.pass(300);
    assert_eq!((outputs[0].clone(), connects(&outputs)), (Output::Disconnect, vec![2]));
    let outputs = scene.pass(300);
    assert_eq!(outputs, [Output::Disconnect], "all were tried: the next attempt comes after a pause");
    assert_eq!(connects(&scene.pass(50)), [0], "the one that accepts");
    scene.arrive();
    scene.stays(9);
    // The connection is lost while it rests: the others are known to be of no use.
    scene.disconnected();
    let outputs = scene.pass(50);
    assert_eq!(connects(&outputs).len(), 1);
    scene
}

pub fn round_by_figure() -> Scene {
    let mut scene = Scene::choosing();
    scene.sign_in(1);
    // Server 2 is nearer than server 1.
    for _ in 0..2 {
        let (server, _) = stories::until_probe(&mut scene, 10);
        scene.probed(server, Some((if server == 1 { 90 } else { 30 }, 10)));
    }
    scene.submit_accepted();
    assert_eq!(scene.until_it_moves(), 2);
    scene.arrive();
    // The first one is not avoided any more by then, and nearer; but it was tried.
    assert_eq!(scene.until_it_moves(), 1);
    scene.arrive();
    scene.stays(5);
    scene
}

pub fn join_waits() -> Scene {
    let mut scene = Scene::accepted_once();
    scene.until_it_moves();
    scene.arrive();
    scene.until_it_moves();
    scene.arrive();
    let command = Command::Join { room: RoomRef::Name("other".into()) };
    let number = scene.client.submit(scene.now, command.clone()).unwrap();
    let outputs = scene.step(json!({ "submit": { "command": command, "returns": number } }));
    let mut join = submits(&outputs);
    // The node holds it for a while, again and again. What was accepted is asked about between, whatever pause is drawn.
    for _ in 0..8 {
        assert!(submits(&scene.pass_alive(300)).is_empty());
        let mut outputs = scene.pass_alive(700);
        outputs.extend(scene.no_leader(&join.remove(0)));
        outputs.extend(scene.pass_alive(50));
        for request in submits(&outputs) {
            match &request.ask {
                Ask::Submit { command: Command::Join { .. }, .. } => join.push(request),
                _ => outputs.extend(scene.accept(&request, 5, 1)),
            }
        }
        assert!(!outputs.contains(&Output::Disconnect));
    }
    assert_eq!(scene.client.server(), 2);
    scene
}

pub fn never_accepted() -> Scene {
    let mut scene = Scene::new();
    scene.sign_in(1);
    let mut asked = submits(&scene.submit("one").1);
    for _ in 0..2 {
        scene.no_leader(&asked.remove(0));
        asked = submits(&scene.pass(50));
    }
    assert_eq!(scene.no_leader(&asked.remove(0)), [Output::Disconnect]);
    assert_eq!(connects(&scene.pass(50)), [1], "after a pause");
    scene
}

pub fn too_few_copies() -> Scene {
    let mut scene = Scene::new();
    scene.sign_in(1);
    let (number, outputs) = scene.submit("one");
    assert!(scene.reply(requests(&outputs)[0].id, Err(Refusal::TooFewCopies { copies: 1, wanted: 2 })).is_empty());
    assert_eq!(scene.status(number), Some(Status::Sent));
    let outputs = scene.pass(300);
    assert_eq!(sent(&outputs), [(1, "one".into())]);
    assert_eq!(accepted(&scene.accept(&submits(&outputs)[0], 5, 2)), [(1, 2)]);
    // A full node is asked again, less often.
    let outputs = scene.submit("two").1;
    assert!(scene.reply(requests(&outputs)[0].id, Err(Refusal::OutboxFull { limit: 1 << 26 })).is_empty());
    assert!(sent(&scene.pass(400)).is_empty());
    scene
}

pub fn tail_events() -> Scene {
    let mut scene = Scene::following();
    assert_eq!(scene.hint(1, tentative(6, 20)), [CHANGED]);
    assert_eq!(scene.hint(1, tentative(5, 10)), [CHANGED]);
    assert_eq!(scene.tail(1), [5, 6], "by what they carry, not as they come");
    assert!(scene.hint(1, tentative(5, 10)).is_empty(), "nothing new");
    let mut on_two = post(5, 30);
    on_two.copies = 2;
    assert_eq!(scene.hint(1, EventKind::Tentative(Box::new(on_two))), [CHANGED]);
    assert_eq!(scene.tail(1), [5, 6], "it stands where it stood first");
    assert!(scene.hint(2, tentative(9, 9)).is_empty(), "a room that is not followed");
    // Refused when it was its turn.
    let refusal = Refusal::NotAMember { room: ROOM };
    let withdrawn = EventKind::Withdrawn { id: MessageId(6), refusal: Box::new(refusal.clone()) };
    let expected = Output::Withdrawn { room: ROOM, post: Box::new(post(6, 20)), refusal };
    assert_eq!(scene.hint(1, withdrawn.clone()), [expected, CHANGED]);
    assert!(scene.hint(1, withdrawn).is_empty(), "once");
    assert!(scene.hint(1, tentative(6, 20)).is_empty(), "for good");
    // The node tells all it has.
    let all = EventKind::Tail(vec![post(7, 5), post(8, 6)].into());
    assert_eq!((scene.hint(1, all.clone()), scene.tail(1)), (vec![CHANGED], vec![7, 8]));
    assert!(scene.hint(1, all).is_empty());
    assert_eq!((scene.hint(1, EventKind::Tail([].into())), scene.tail(1)), (vec![CHANGED], vec![]));
    scene
}

pub fn settles_in_place() -> Scene {
    let mut scene = Scene::following();
    let request = requests(&scene.submit("one").1).remove(0);
    scene.hint(1, tentative(5, 10));
    scene.hint(1, tentative(6, 20));
    scene.accept(&request, 5, 1);
    // One step: it is shown as committed, then the tail without it. Its outcome is asked for.
    let outputs = scene.event(1, 5);
    assert!(matches!(&outputs[..], [Output::Deliver(_), CHANGED, Output::Send(_)]));
    assert_eq!(scene.tail(1), [6]);
    assert_eq!(settled(&scene.posted(&submits(&outputs)[0], 5)), [1]);
    // A gap: what cannot be delivered yet stays where it is.
    let ask = requests(&scene.event(1, 7)).remove(0);
    assert_eq!(scene.tail(1), [6]);
    let asked = scene.reply(ask.id, Ok(Answer::Following { room: ROOM, cursor: 5 }));
    assert!(matches!(&scene.event(1, 6)[..], [Output::Deliver(_), CHANGED]));
    // The question that went out with the room is answered. It was of no use.
    let answer = Answer::Tentative { room: ROOM, cursor: 6, posts: vec![] };
    assert!(scene.reply(tail_asks(&asked)[0].id, Ok(answer)).is_empty());
    scene
}

pub fn behind_with_a_tail() -> Scene {
    let mut scene = Scene::following();
    scene.event(1, 5);
    scene.disconnected();
    let ask = requests(&scene.sign_in(1)).remove(0);
    // This node holds the fifth message, and does not know yet that it has a place.
    scene.reply(ask.id, Ok(Answer::Following { room: ROOM, cursor: 4 }));
    assert!(scene.hint(1, EventKind::Tail(vec![post(5, 10)].into())).is_empty());
    assert!(scene.hint(1, tentative(5, 10)).is_empty());
    assert!(scene.event(1, 5).is_empty());
    scene
}

pub fn behind_after_a_restart() -> Scene {
    let mut scene = Scene::keeping();
    scene.sign_in(1);
    let ask = requests(&scene.follow(1, 4)).remove(0);
    scene.reply(ask.id, Ok(Answer::Following { room: ROOM, cursor: 4 }));
    scene.event(1, 5);
    scene.synced();
    scene.restart();
    scene.follow(1, 5);
    let outputs = scene.sign_in(1);
    let ask = requests(&outputs).into_iter().find(|request| matches!(request.ask, Ask::Follow { .. })).unwrap();
    // This node holds the fifth message, and does not know yet that it has a place. This run was never told that message.
    scene.reply(ask.id, Ok(Answer::Following { room: ROOM, cursor: 4 }));
    assert_eq!(scene.hint(1, tentative(5, 10)), [CHANGED]);
    assert_eq!((scene.event(1, 5), scene.tail(1)), (vec![CHANGED], vec![]), "not delivered, and gone");
    assert!(scene.hint(1, tentative(5, 10)).is_empty());
    scene
}

pub fn asks_for_the_tail() -> Scene {
    let mut scene = Scene::following();
    for id in [5, 6, 7] {
        scene.hint(1, tentative(id, id as u64));
    }
    scene.disconnected();
    assert_eq!(scene.tail(1), [5, 6, 7], "it stays on the screen");
    let outputs = scene.sign_in(1);
    assert!(tail_asks(&outputs).is_empty());
    let outputs = scene.reply(requests(&outputs)[0].id, Ok(Answer::Following { room: ROOM, cursor: 4 }));
    let ask = tail_asks(&outputs).remove(0);
    assert_eq!(ask.ask, Ask::Tentative { room: RoomRef::Id(ROOM) });
    let outputs = scene.reply(ask.id, Err(Refusal::Busy { retry_after_ms: 10 }));
    assert!(outputs.is_empty());
    let ask = tail_asks(&scene.pass(100)).remove(0);
    // Between question and answer one is told by the node itself.
    scene.hint(1, tentative(9, 9));
    // 5 and 6 have become events 5 and 6, or are not known here. 7 is on more nodes.
    let mut on_two = post(7, 7);
    on_two.copies = 2;
    let answer = Answer::Tentative { room: ROOM, cursor: 6, posts: vec![on_two, post(8, 8)] };
    assert_eq!(scene.reply(ask.id, Ok(answer)), [CHANGED]);
    assert_eq!(scene.tail(1), [5, 6, 7, 8, 9], "nothing goes before what it may have become is here");
    assert!(matches!(&scene.event(1, 5)[..], [Output::Deliver(_), CHANGED]));
    assert_eq!(scene.tail(1), [6, 7, 8, 9]);
    // The sixth event is something else.
    let (id, author, at) = (MessageId(66), UserId(2), Timestamp(6));
    let other = Post { seq: 6, id, author, author_name: "ben".into(), text: "other".into(), at, more: Default::default() };
    let event = Event { room: ROOM, cursor: 6, kind: EventKind::Posted(other) };
    let input = json!({ "event": serde_json::to_value(&event).unwrap() });
    scene.client.handle_event(scene.now, Arc::new(event));
    assert!(matches!(&scene.step(input)[..], [Output::Deliver(_), CHANGED]));
    assert_eq!(scene.tail(1), [7, 8, 9]);
    scene
}

pub fn own_stays() -> Scene {
    let mut scene = Scene::following();
    let request = requests(&scene.submit("one").1).remove(0);
    scene.accept(&request, 5, 1);
    scene.hint(1, tentative(5, 5));
    scene.hint(1, tentative(6, 6));
    scene.disconnected();
    let outputs = scene.sign_in(1);
    let follow = requests(&outputs).into_iter().find(|request| matches!(request.ask, Ask::Follow { .. })).unwrap();
    let outputs_of_follow = scene.reply(follow.id, Ok(Answer::Following { room: ROOM, cursor: 4 }));
    // This node has neither, and is just being given the own one.
    let answer = Answer::Tentative { room: ROOM, cursor: 4, posts: vec![] };
    assert_eq!(scene.reply(tail_asks(&outputs_of_follow)[0].id, Ok(answer)), [CHANGED]);
    assert_eq!(scene.tail(1), [5]);
    assert!(scene.hint(1, EventKind::Tail([].into())).is_empty());
    // The refusal comes with the outcome; what the room is told is then no news.
    let refusal = Refusal::Muted { until: Timestamp(9) };
    let outputs = scene.reply(submits(&outputs)[0].id, Err(refusal.clone()));
    assert!(matches!(&outputs[..], [Output::Settled { number: 1, result: Err(_) }, Output::Withdrawn { .. }, CHANGED]));
    assert!(scene.hint(1, EventKind::Withdrawn { id: MessageId(5), refusal: Box::new(refusal) }).is_empty());
    scene
}

pub fn tail_dropped() -> Scene {
    let mut scene = Scene::following();
    scene.hint(1, tentative(5, 5));
    assert_eq!((scene.unfollow(1), scene.tail(1)), (vec![CHANGED], vec![]));
    assert!(scene.hint(1, tentative(5, 5)).is_empty());
    // All rooms: one of them is left by another device.
    let ask = requests(&scene.follow_all()).remove(0);
    scene.reply(ask.id, Ok(Answer::FollowingAll { cursors: vec![(ROOM, 4), (RoomId(2), 0)] }));
    scene.hint(1, tentative(5, 5));
    scene.hint(2, tentative(9, 9));
    scene.disconnected();
    let outputs = scene.sign_in(1);
    let ask = requests(&outputs).remove(0);
    let outputs = scene.reply(ask.id, Ok(Answer::FollowingAll { cursors: vec![(RoomId(2), 0)] }));
    assert_eq!((outputs[0].clone(), tail_asks(&outputs).len(), scene.tail(1)), (CHANGED, 1, vec![]));
    assert_eq!(scene.tail(2), [9]);
    scene
}
