//! Random commands of four users on up to three devices each, held against the [`super::model`].
//!
//! `TERTULIA_CASES=10000` plays more of them than an ordinary run does.

use super::model::{DEVICES, Model, ROOMS, named};
use super::stage::Stage;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeMap;
use tertulia_protocol::chat::*;
use tertulia_protocol::contract::Limits;
use tertulia_protocol::ids::*;

const USERS: u64 = 4;

/// What one step is drawn from: device, command, room, user, number, switch.
pub type Step = (u8, u8, u8, u8, u8, bool);

pub fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0u8..12, any::<u8>(), 1u8..7, 1u8..5, 0u8..12, any::<bool>()), 1..most)
}

fn history(number: u8) -> History {
    match number % 4 {
        0 => History::All,
        1 => History::Last(1 + u32::from(number / 4)),
        2 => History::SinceJoin,
        _ => History::None,
    }
}

/// The command of a step; `None`: its device signs in.
pub fn command_of(
    (_, what, room, user, number, on): Step,
    sessions: &[Option<SessionId>; 12],
    rooms: &[RoomId],
) -> Option<Command> {
    // One of the rooms that there are, or once in a while one that there is not.
    let room =
        RoomRef::Id(rooms.get(usize::from(room)).or(rooms.get(usize::from(room) % 3)).copied().unwrap_or(RoomId(room.into())));
    let (seq, other) = (Seq::from(number), UserRef::Id(UserId(user.into())));
    let text = if on { format!("text {what}") } else { format!("@user{user} {what}") };
    let post = if number > 8 { Who::Moderators } else { Who::Members };
    let rules = Rules { history: history(number), post, ..Rules::default() };
    Some(match what {
        0..12 => return None,
        12..24 => {
            let kind = [RoomKind::Public, RoomKind::Private, RoomKind::Group][usize::from(number % 3)];
            let rules = Rules { post: Who::Members, history: history(what), ..rules };
            Command::MakeRoom { name: "room".into(), kind, topic: String::new(), rules: Some(rules), members: vec![other] }
        }
        24..32 => Command::OpenDirect { user: other },
        32..48 => Command::Join { room },
        48..53 => Command::Leave { room },
        53..100 => Command::Post { room, text },
        100..108 => Command::Respond { room, to: seq, text },
        108..122 => Command::Edit { room, seq, text },
        122..130 => Command::Delete { room, seq },
        130..142 => Command::React { room, seq, emoji: ["a", "b"][usize::from(what % 2)].into(), on },
        142..148 => Command::Pin { room, seq, on },
        148..170 => Command::Read { room, seq },
        170..182 => Command::Invite { room, user: other },
        182..185 => Command::Decline { room },
        185..190 => Command::SetTopic { room, topic: text },
        190..196 => Command::SetRules { room, rules },
        196..199 => Command::Archive { room, on: on && number < 6 },
        199 => Command::DeleteRoom { room },
        200..212 => {
            let role = [MemberRole::Member, MemberRole::Moderator, MemberRole::Owner][usize::from(number % 3)];
            Command::SetRole { room, user: other, role }
        }
        212..216 => Command::Kick { room, user: other },
        216..222 => Command::Ban { room, user: other, on },
        222..227 => Command::Mute { room, user: other, for_ms: 5 * u64::from(number) },
        227..235 => Command::Befriend { user: other },
        235..238 => Command::Unfriend { user: other },
        238..243 => Command::Block { user: other, on: on && number < 6 },
        _ => {
            let one = Devices::One(sessions[usize::from(number)].unwrap_or(SessionId(9_999)));
            Command::LogOut { devices: [Devices::This, Devices::Others, Devices::All, one][usize::from(user - 1)] }
        }
    })
}

struct Both {
    stage: Stage,
    model: Model,
    sessions: [Option<SessionId>; 12],
    made: u32,
    /// Late requests that were done.
    late: u32,
}

/// The four users are there, with a device each.
fn begin() -> Both {
    let limits = Limits { rooms: ROOMS as u32, ..Limits::default() };
    let mut both =
        Both { stage: Stage::with(limits, BTreeMap::new()), model: Model::default(), sessions: [None; 12], made: 0, late: 0 };
    let settings = Settings { devices: DEVICES as u32, ..Settings::default() };
    both.stage.house(Housekeeping::Configure { settings, founding: true }.encode());
    for device in 0..USERS as u8 {
        both.step((device, 0, 1, 1, 0, false)).unwrap();
    }
    // One room of each kind, by three of them.
    for (device, number) in [(0, 0), (1, 1), (2, 2)] {
        both.step((device, 12 + device, 1, 4, number, false)).unwrap();
    }
    both
}

impl Both {
    /// One step, by both; what it came to.
    fn step(&mut self, step: Step) -> Result<String, String> {
        let user = UserId(u64::from(step.0) % USERS + 1);
        // A device that is signed in, if the user has one: this or the next.
        let mut devices = [0, 4, 8].map(|more| (usize::from(step.0) + more) % 12).into_iter();
        let device = devices.find(|device| step.1 >= 12 && self.sessions[*device].is_some()).unwrap_or(usize::from(step.0));
        let rooms: Vec<RoomId> = self.model.rooms.keys().copied().collect();
        let (here, expected) = match (command_of(step, &self.sessions, &rooms), self.sessions[device]) {
            (Some(mut command), Some(session)) => {
                // No two rooms have one name.
                if let Command::MakeRoom { name, .. } = &mut command {
                    self.made += 1;
                    *name = format!("room number {}", self.made);
                }
                let carried = super::tentative::is_about_messages(&command) && step.4.is_multiple_of(3);
                if carried && step.3 == 4 {
                    self.expire(session);
                }
                let now = self.stage.stamp_of_next();
                let expected = self.model.apply(session, &command, carried, now);
                let carry = self.stage.chat().carry(session, &command, now);
                let is_open = self.model.devices.contains_key(&session);
                let here = if carried { self.stage.carried(session, &command, 10).0 } else { self.stage.ask(session, &command) };
                if is_open || carry != Carry::Wait {
                    super::tentative::hold(carry, &command, &here).map_err(|what| format!("{step:?}: {what}"))?;
                }
                // A device that has expired is not signed in: only late requests come of it.
                if self.model.expired.contains_key(&session) {
                    self.late += u32::from(carried && here.is_ok());
                }
                (here.map(|_| ()), expected)
            }
            _ => {
                let opening = Opening::Name { name: format!("user{}", user.0), device: String::new() };
                let expected = self.model.sign_in(user);
                let opened = self.stage.open(&opening);
                if let Ok(session) = &opened {
                    self.sessions[device] = Some(*session);
                    self.model.devices.insert(*session, user);
                }
                (opened.map(|_| ()), expected)
            }
        };
        if matches!(here, Err(Refusal::LoggedOut | Refusal::Forgotten)) {
            self.sessions[device] = None;
        }
        let here = here.map_err(|refusal| named(&refusal));
        if here != expected && !(here == Err("Forgotten".into()) && expected == Err("LoggedOut".into())) {
            return Err(format!("{step:?}: the chat says {here:?}, the model {expected:?}"));
        }
        self.compare().map_err(|what| format!("{step:?}: {what}"))?;
        Ok(here.err().unwrap_or_else(|| "done".into()))
    }

    fn expire(&mut self, session: SessionId) {
        if let Some(seen) = self.stage.chat().seen(session) {
            self.stage.house(Housekeeping::Expire { sessions: vec![(session, seen)] }.encode());
            self.model.expire(session);
        }
    }

    fn compare(&self) -> Result<(), String> {
        let chat = self.stage.chat();
        for id in (1..100).map(RoomId).take_while(|id| id.0 <= 6 || self.model.rooms.keys().any(|room| room >= id)) {
            let Some(room) = self.model.rooms.get(&id) else {
                if chat.first_visible(id, UserId(1)).is_some() || chat.last(id) > 0 {
                    return Err(format!("{id} is still there"));
                }
                continue;
            };
            if (chat.last(id), chat.last_message(id)) != (room.events, room.messages.len() as Seq) {
                return Err(format!("{id} ends at {} and {}: {room:?}", chat.last(id), chat.last_message(id)));
            }
            let members: Vec<(UserId, MemberRole, Seq)> =
                chat.members(id, UserId(0), 10).iter().map(|member| (member.user.id, member.role, member.read)).collect();
            let expected: Vec<(UserId, MemberRole, Seq)> =
                room.members.iter().map(|(user, member)| (*user, member.role, member.read)).collect();
            if members != expected {
                return Err(format!("{id} has {members:?}, not {expected:?}"));
            }
            for user in room.members.keys() {
                let view = chat.room_view(id, *user).unwrap();
                if (view.unread, view.mentions) != (room.unread(*user), room.mentions(*user)) {
                    return Err(format!("{id} for {user}: {view:?}, not {} and {}", room.unread(*user), room.mentions(*user)));
                }
                let first = chat.first_visible(id, *user).unwrap();
                let rows = self.stage.read(&Chat::messages(id, first.max(1) - 1, Seq::MAX, 1_000, false));
                let posts = rows.iter().map(|(key, row)| chat.post_in(key, row).unwrap().1);
                let texts: Vec<(Seq, String)> = posts.map(|post| (post.seq, post.text)).collect();
                if texts != room.visible(*user) {
                    return Err(format!("{user} sees {texts:?} in {id}, not {:?}", room.visible(*user)));
                }
            }
        }
        for (a, b) in (1..=USERS).flat_map(|a| (1..=USERS).map(move |b| (UserId(a), UserId(b)))) {
            let friends = chat.me(a, SessionId(0)).friends;
            let here = friends.iter().find(|(view, _)| view.id == b).map_or(Friendship::None, |(_, friendship)| *friendship);
            if here != self.model.friendship(a, b) {
                return Err(format!("{a} to {b}: {here:?}"));
            }
        }
        Ok(())
    }
}

pub fn cases(ordinary: u32) -> u32 {
    std::env::var("TERTULIA_CASES").map_or(ordinary, |cases| cases.parse().unwrap())
}

/// Cases are the same in every run; more of them go on where fewer end.
pub fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[test]
fn the_chat_does_what_its_rules_say() {
    let came = RefCell::new(BTreeMap::<String, u64>::new());
    let late = RefCell::new(0);
    let result = runner(cases(600)).run(&steps(150), |steps| {
        let mut both = begin();
        for (nth, step) in steps.into_iter().enumerate() {
            // Whether rows, memory and hash agree is looked at now and then: whoever drifts apart stays apart.
            both.stage.looks = nth % 8 == 7;
            match both.step(step) {
                Ok(outcome) => *came.borrow_mut().entry(outcome).or_default() += 1,
                Err(why) => return Err(TestCaseError::fail(why)),
            }
        }
        *late.borrow_mut() += both.late;
        both.stage.looks = true;
        both.stage.look();
        both.stage.restart();
        both.stage.keep_house();
        both.compare().map_err(TestCaseError::fail)
    });
    let came = came.into_inner();
    println!("{came:#?}");
    if let Err(broken) = result {
        panic!("{broken}");
    }
    assert!(late.into_inner() > 100, "late requests that are never done prove nothing");
    // A sweep that does not come to a refusal proves nothing about it.
    for outcome in [
        "done",
        "Archived",
        "BadRequest",
        "Banned",
        "Blocked",
        "Full",
        "IsDirect",
        "LastOwner",
        "LoggedOut",
        "Muted",
        "NotAMember",
        "NotAllowed Author",
        "NotAllowed HigherRole",
        "NotAllowed Moderator",
        "NotAllowed Owner",
        "TooManyDevices",
        "UnknownDevice",
        "UnknownMessage",
        "UnknownRoom",
    ] {
        assert!(came.contains_key(outcome), "nothing came to {outcome}");
    }
}
