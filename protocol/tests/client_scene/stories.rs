//! The stories: each shows one rule of the client at work, and asserts it. What they do and see is also the file of test vectors.

use super::*;

/// A story plays a scene and gives it back.
pub type Story = fn() -> Scene;

/// Those of this file, by the names under which the vectors stand.
pub const ALL: &[(&str, Story)] = &[
    ("a lost answer is asked for again", lost_answer),
    ("unsettled commands are sent again, in order, to the next server", failover),
    ("what was submitted offline waits, and is sent once", offline),
    ("what was never sent can be withdrawn and takes no number", withdrawn),
    ("nothing is sent before its record is durable", record_first),
    ("a client goes on from what it kept", restart),
    ("an answer that was lost with the process still settles", lost_with_the_process),
    ("an old copy gives no number twice", old_copy),
    ("a cluster that has forgotten gets everything anew", forgetful_cluster),
    ("a gap is fetched and not delivered", gap),
    ("a server that is behind does not take a follower back", behind),
    ("all rooms are followed on one connection", all_rooms),
    ("a room that is joined once more is asked for at once", joined_again),
    ("a better server is moved to", better_server),
    ("a server that is better for a moment is not moved to", hysteresis),
    ("a failed server is avoided, the best other one is taken", avoided),
    ("a full server counts as a distant one", full_server),
    ("the list of servers changes", new_list),
];

pub fn lost_answer() -> Scene {
    let mut scene = Scene::new();
    scene.sign_in(1);
    let (number, outputs) = scene.submit("one");
    assert_eq!((number, sent(&outputs)), (1, vec![(1, "one".into())]));
    // It was executed; the answer is lost with the connection.
    scene.disconnected();
    let outputs = scene.sign_in(2);
    assert_eq!(sent(&outputs), [(1, "one".into())]);
    let outputs = scene.posted(&requests(&outputs)[0], 1);
    assert_eq!((settled(&outputs), scene.status(1)), (vec![1], None));
    let (number, outputs) = scene.submit("two");
    assert_eq!((number, sent(&outputs)), (2, vec![(2, "two".into())]));
    scene
}

pub fn failover() -> Scene {
    let mut scene = Scene::new();
    scene.sign_in(1);
    for text in ["one", "two", "three"] {
        scene.submit(text);
    }
    // The server says nothing: it is asked for a sign of life, then given up.
    let outputs = scene.pass(300);
    assert_eq!(requests(&outputs)[0].ask, Ask::Ping);
    assert_eq!(scene.pass(700), [Output::Disconnect]);
    let outputs = scene.pass(2_000);
    assert_eq!(connects(&outputs), [1]);
    // Nobody listens there.
    scene.disconnected();
    assert_eq!(connects(&scene.pass(2_000)), [2]);
    let ask = requests(&scene.connected()).remove(0);
    let (user, session) = (UserId(1), SessionId(1));
    let outputs = scene.reply(ask.id, Ok(Answer::SignedIn { user, session, name: "ada".into(), next_number: 2 }));
    assert_eq!(sent(&outputs), [(1, "one".into()), (2, "two".into()), (3, "three".into())]);
    let asked = requests(&outputs);
    scene.posted(&asked[0], 1);
    // A refusal that may pass is no end: the same number is sent again.
    let refused = scene.reply(asked[1].id, Err(Refusal::Busy { retry_after_ms: 100 }));
    assert!(settled(&refused).is_empty());
    assert_eq!(settled(&scene.posted(&asked[2], 3)), [3]);
    let outputs = scene.pass(150);
    assert_eq!(sent(&outputs), [(2, "two".into())]);
    assert_eq!(settled(&scene.posted(&requests(&outputs)[0], 2)), [2]);
    scene
}

pub fn offline() -> Scene {
    let mut scene = Scene::new();
    for text in ["one", "two"] {
        assert!(sent(&scene.submit(text).1).is_empty());
    }
    scene.disconnected();
    assert_eq!((scene.status(1), scene.status(2)), (Some(Status::Waiting), Some(Status::Waiting)));
    let outputs = scene.sign_in(1);
    assert_eq!(sent(&outputs), [(1, "one".into()), (2, "two".into())]);
    assert_eq!(scene.status(2), Some(Status::Sent));
    assert!(scene.pass(10).is_empty(), "once");
    for (nth, request) in requests(&outputs).iter().enumerate() {
        scene.posted(request, nth as u64 + 1);
    }
    assert_eq!(scene.client.unsettled(), 0);
    scene
}

pub fn withdrawn() -> Scene {
    let mut scene = Scene::new();
    for text in ["one", "two", "three"] {
        scene.submit(text);
    }
    assert!(scene.withdraw(2));
    assert!(!scene.withdraw(2), "it is gone");
    let outputs = scene.sign_in(1);
    // What the host calls 3 is the session's number 2.
    assert_eq!(sent(&outputs), [(1, "one".into()), (2, "three".into())]);
    assert!(!scene.withdraw(3), "it may have been sent");
    let asked = requests(&outputs);
    assert_eq!(settled(&scene.posted(&asked[1], 2)), [3]);
    scene.disconnected();
    assert!(!scene.withdraw(1), "it may have been sent on the connection that is gone");
    assert_eq!(sent(&scene.sign_in(3)), [(1, "one".into())]);
    scene
}

pub fn record_first() -> Scene {
    let mut scene = Scene::keeping();
    scene.sign_in(1);
    let (_, outputs) = scene.submit("one");
    assert!(sent(&outputs).is_empty());
    assert!(matches!(&outputs[..], [Output::Keep { change, .. }] if change.sync && change.key == Key::Command(1)));
    assert!(sent(&scene.pass(10)).is_empty());
    let outputs = scene.synced();
    assert_eq!(sent(&outputs), [(1, "one".into())]);
    let outputs = scene.posted(&requests(&outputs)[0], 1);
    // The next number stands before the last command is forgotten.
    assert!(matches!(
        &outputs[..],
        [Output::Settled { .. }, Output::Keep { change: session, .. }, Output::Forget { change: command }]
            if session.key == Key::Session && command.key == Key::Command(1)
    ));
    scene
}

/// Signed in after a restart: a leader says which number is next.
fn confirmed(scene: &mut Scene, next: u64) -> Vec<Output> {
    let outputs = scene.sign_in(next);
    assert!(sent(&outputs).is_empty(), "not before the session's next number is known");
    let ask = requests(&outputs).into_iter().find(|request| request.ask == Ask::NextNumber).unwrap();
    scene.reply(ask.id, Ok(Answer::NextNumber(next)))
}

pub fn restart() -> Scene {
    let mut scene = Scene::keeping();
    scene.sign_in(1);
    scene.submit("one");
    scene.submit("two");
    let outputs = scene.synced();
    assert_eq!(sent(&outputs).len(), 2);
    scene.posted(&requests(&outputs)[0], 1);
    scene.follow(1, 0);
    scene.disconnected();
    scene.submit("three");
    scene.restart();
    let open: Vec<(u64, Status)> = scene.client.open().map(|(number, _, status)| (number, status)).collect();
    assert_eq!(open, [(2, Status::Sent), (3, Status::Waiting)]);
    assert!(!scene.withdraw(2), "an earlier run may have sent it");
    let (number, _) = scene.submit("four");
    assert_eq!(number, 4);
    let outputs = confirmed(&mut scene, 2);
    assert_eq!(sent(&outputs), [(2, "two".into())], "the others' numbers are not durable yet");
    let two = requests(&outputs).remove(0);
    let outputs = scene.synced();
    assert_eq!(sent(&outputs), [(3, "three".into()), (4, "four".into())]);
    assert_eq!(settled(&scene.posted(&two, 2)), [2]);
    scene
}

pub fn lost_with_the_process() -> Scene {
    let mut scene = Scene::keeping();
    scene.sign_in(1);
    scene.submit("one");
    let outputs = scene.synced();
    assert_eq!(sent(&outputs), [(1, "one".into())]);
    // It was executed. Nobody heard the answer.
    scene.restart();
    let outputs = confirmed(&mut scene, 2);
    assert_eq!(sent(&outputs), [(1, "one".into())]);
    let request = requests(&outputs).remove(0);
    assert_eq!(settled(&scene.posted(&request, 1)), [1]);
    assert!(settled(&scene.posted(&request, 1)).is_empty(), "once");
    scene.restart();
    assert_eq!(scene.client.unsettled(), 0);
    scene
}

pub fn old_copy() -> Scene {
    let mut scene = Scene::keeping();
    scene.sign_in(1);
    scene.submit("one");
    scene.synced();
    scene.disconnected();
    scene.submit("two");
    let copy = scene.kept.clone();
    // Its newer self sends the second one, and a third.
    let outputs = scene.sign_in(2);
    let again = requests(&outputs).remove(0);
    scene.posted(&again, 1);
    scene.submit("three");
    assert_eq!(sent(&scene.synced()), [(2, "two".into()), (3, "three".into())]);
    // The machine is restored from a copy of yesterday.
    scene.restart_from(&copy);
    let (number, _) = scene.submit("four");
    assert_eq!(number, 3, "the copy knows of two");
    let outputs = confirmed(&mut scene, 4);
    assert_eq!(sent(&outputs), [(1, "one".into())], "that had its number in the copy: the cluster remembers it");
    assert!(outputs.contains(&Output::Unclear { number: 2 }), "it may have been sent under a number that the copy does not know");
    let one = requests(&outputs).remove(0);
    assert_eq!(sent(&scene.synced()), [(4, "four".into())], "the cluster's next number");
    let outputs = scene.reply(one.id, Err(Refusal::Forgotten));
    assert!(matches!(outputs[0], Output::Settled { number: 1, result: Err(Refusal::Forgotten) }));
    scene
}

pub fn forgetful_cluster() -> Scene {
    let mut scene = Scene::keeping();
    scene.sign_in(1);
    for nth in 1..=2 {
        scene.submit("before");
        let outputs = scene.synced();
        scene.posted(&requests(&outputs)[0], nth);
    }
    scene.submit("three");
    scene.synced();
    scene.restart();
    // The cluster was set up anew: this session begins there.
    let outputs = confirmed(&mut scene, 1);
    assert!(sent(&outputs).is_empty());
    assert_eq!(sent(&scene.synced()), [(1, "three".into())]);
    scene
}

pub fn gap() -> Scene {
    let mut scene = Scene::new();
    scene.sign_in(1);
    let ask = requests(&scene.follow(1, 4)).remove(0);
    scene.reply(ask.id, Ok(Answer::Following { room: RoomId(1), cursor: 4 }));
    assert_eq!(delivered(&scene.event(1, 5)), [(1, 5)]);
    assert!(scene.event(1, 5).is_empty(), "once");
    // The sixth is missing.
    let outputs = scene.event(1, 7);
    assert!(delivered(&outputs).is_empty());
    let ask = requests(&outputs).remove(0);
    assert_eq!(ask.ask, Ask::Follow { room: RoomRef::Id(RoomId(1)), from: From::After(5) });
    assert!(scene.event(1, 8).is_empty());
    scene.reply(ask.id, Ok(Answer::Following { room: RoomId(1), cursor: 5 }));
    for cursor in [6, 7, 8] {
        assert_eq!(delivered(&scene.event(1, cursor)), [(1, cursor)]);
    }
    scene
}

pub fn behind() -> Scene {
    let mut scene = Scene::new();
    scene.sign_in(1);
    let ask = requests(&scene.follow(1, 4)).remove(0);
    // This server's room has two events so far.
    scene.reply(ask.id, Ok(Answer::Following { room: RoomId(1), cursor: 2 }));
    for cursor in [3, 4] {
        assert!(scene.event(1, cursor).is_empty(), "an earlier run has seen it");
    }
    assert_eq!(delivered(&scene.event(1, 5)), [(1, 5)]);
    scene
}

pub fn all_rooms() -> Scene {
    let mut scene = Scene::keeping();
    scene.sign_in(1);
    let ask = requests(&scene.follow_all()).remove(0);
    assert_eq!(ask.ask, Ask::FollowAll { after: vec![] });
    scene.reply(ask.id, Ok(Answer::FollowingAll { cursors: vec![(RoomId(1), 3), (RoomId(2), 0)] }));
    assert_eq!(delivered(&scene.event(1, 4)), [(1, 4)]);
    assert_eq!(delivered(&scene.event(2, 1)), [(2, 1)]);
    // A room that another device has joined: it begins with what comes first.
    assert_eq!(delivered(&scene.event(9, 6)), [(9, 6)]);
    let outputs = scene.event(2, 3);
    let ask = requests(&outputs).remove(0);
    let places = |two| vec![(RoomId(1), 4), (RoomId(2), two), (RoomId(9), 6)];
    assert_eq!((delivered(&outputs), &ask.ask), (vec![], &Ask::FollowAll { after: places(1) }));
    assert_eq!(delivered(&scene.event(1, 5)), [(1, 5)], "the others go on");
    assert!(requests(&scene.event(2, 4)).is_empty(), "it is asked for already");
    scene.reply(ask.id, Ok(Answer::FollowingAll { cursors: places(1) }));
    for cursor in [2, 3, 4] {
        assert_eq!(delivered(&scene.event(2, cursor)), [(2, cursor)]);
    }
    assert!(scene.event(1, 5).is_empty(), "once");
    // The next run begins where this one was.
    scene.restart();
    scene.follow_all();
    let outputs = scene.sign_in(1);
    let after = vec![(RoomId(1), 5), (RoomId(2), 4), (RoomId(9), 6)];
    assert!(requests(&outputs).iter().any(|request| request.ask == Ask::FollowAll { after: after.clone() }));
    scene
}

pub fn joined_again() -> Scene {
    let mut scene = Scene::keeping();
    scene.sign_in(1);
    let ask = requests(&scene.follow_all()).remove(0);
    scene.reply(ask.id, Ok(Answer::FollowingAll { cursors: vec![(RoomId(1), 3)] }));
    // The fourth event was that this user was removed. Others have happened since.
    assert_eq!(delivered(&scene.event(1, 4)), [(1, 4)]);
    let (_, outputs) = scene.command(Command::Join { room: RoomRef::Id(RoomId(1)) });
    assert!(requests(&outputs).is_empty(), "its number is not durable yet");
    let join = requests(&scene.synced()).remove(0);
    let done = Done::Joined { room: RoomId(1), name: "lobby".into(), last: 2, cursor: 9 };
    let outputs = scene.reply(join.id, Ok(Answer::Done(done)));
    let ask = requests(&outputs).remove(0);
    assert_eq!(ask.ask, Ask::FollowAll { after: vec![(RoomId(1), 4)] }, "before anything else happens there");
    scene.reply(ask.id, Ok(Answer::FollowingAll { cursors: vec![(RoomId(1), 8)] }));
    assert_eq!(delivered(&scene.event(1, 9)), [(1, 9)]);
    scene
}

/// Answers what is asked of the present server after so many ms, until a probe is wanted.
pub fn until_probe(scene: &mut Scene, answers_in: u64) -> (u32, Vec<Output>) {
    for _ in 0..20 {
        let outputs = scene.pass(5_000);
        let probed = probes(&outputs);
        scene.now.instant += Duration::from_millis(answers_in);
        for request in requests(&outputs) {
            let answer = if request.ask == Ask::Load { Answer::Load { permille: 10 } } else { Answer::Pong };
            scene.reply(request.id, Ok(answer));
        }
        if let [server] = probed[..] {
            return (server, outputs);
        }
    }
    panic!("no probe")
}

pub fn better_server() -> Scene {
    let mut scene = Scene::choosing();
    scene.sign_in(1);
    // Server 0 is far, server 1 near, server 2 as far as 0. They are probed in turn.
    let (mut seen, mut outputs) = (0, Vec::new());
    while connects(&outputs).is_empty() {
        let (server, _) = until_probe(&mut scene, 60);
        seen += u32::from(server == 1);
        scene.probed(server, Some((if server == 1 { 10 } else { 55 }, 10)));
        outputs = scene.pass(0);
    }
    assert_eq!((outputs[0].clone(), connects(&outputs), seen), (Output::Disconnect, vec![1], 3));
    assert!(scene.now.instant >= Instant(30_000_000));
    let ask = requests(&scene.connected()).remove(0);
    let (user, session) = (UserId(1), SessionId(1));
    scene.reply(ask.id, Ok(Answer::SignedIn { user, session, name: "ada".into(), next_number: 1 }));
    // It stays there: what it left is not better.
    for _ in 0..8 {
        let (server, _) = until_probe(&mut scene, 10);
        assert!(scene.probed(server, Some((55, 10))).is_empty());
    }
    assert_eq!(scene.client.server(), 1);
    scene
}

pub fn hysteresis() -> Scene {
    let mut scene = Scene::choosing();
    scene.sign_in(1);
    let mut seen = 0;
    // Server 1 is better at two probes in a row, then slow, again and again. Server 2 is better by less than counts.
    for _ in 0..18 {
        let (server, _) = until_probe(&mut scene, 20);
        let found = if server == 1 {
            seen += 1;
            if seen % 3 == 0 { (400, 10) } else { (1, 10) }
        } else {
            (17, 10)
        };
        scene.probed(server, Some(found));
        assert!(!scene.pass(0).contains(&Output::Disconnect));
    }
    assert_eq!((scene.client.server(), seen), (0, 9));
    scene
}

pub fn avoided() -> Scene {
    let mut scene = Scene::choosing();
    scene.sign_in(1);
    for _ in 0..2 {
        let (server, _) = until_probe(&mut scene, 10);
        scene.probed(server, Some((if server == 1 { 90 } else { 30 }, 10)));
    }
    scene.disconnected();
    assert_eq!(connects(&scene.pass(50)), [2], "the better one of those that are left");
    scene.disconnected();
    assert_eq!(connects(&scene.pass(50)), [1]);
    // The pause of the first one is over when this one is given up, too.
    assert!(scene.pass(1_500).is_empty());
    scene.disconnected();
    assert_eq!(connects(&scene.pass(50)), [0], "the best one that is not avoided");
    scene.disconnected();
    assert_eq!(connects(&scene.pass(200)), [2], "a second failure in a row is avoided for longer");
    scene
}

pub fn full_server() -> Scene {
    let mut scene = Scene::choosing();
    scene.sign_in(1);
    for _ in 0..2 {
        let (server, _) = until_probe(&mut scene, 10);
        // As near as can be, and full: 1 ms + 90 ms against 30 ms + 1 ms.
        scene.probed(server, Some(if server == 1 { (1, 900) } else { (30, 10) }));
    }
    scene.disconnected();
    assert_eq!(connects(&scene.pass(50)), [2]);
    scene
}

pub fn new_list() -> Scene {
    let mut scene = Scene::choosing();
    scene.sign_in(1);
    // A server comes, one goes, they stand in another order. The connection stays.
    assert!(scene.set_servers(&[Some(2), None, Some(0)]).is_empty());
    assert_eq!(scene.client.server(), 2);
    // The present one is taken from the list.
    let outputs = scene.set_servers(&[Some(0), Some(1)]);
    assert_eq!((outputs[0].clone(), connects(&outputs)), (Output::Disconnect, vec![0]));
    scene
}
