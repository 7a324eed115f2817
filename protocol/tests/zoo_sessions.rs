//! Bugs of sessions and of answers, each as a small story that goes otherwise with the bug than without.
#![cfg(feature = "zoo")]
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod common;
#[path = "zoo_scene/mod.rs"]
mod scene;

use scene::*;
use tertulia_protocol::chat::{Done, Refusal};
use tertulia_protocol::gateway::Answer;
use tertulia_protocol::time::Timestamp;
use tertulia_protocol::zoo::Bug;

#[test]
fn a_restart_forgets_what_was_executed() {
    let posts = |bug| {
        let mut scene = Scene::new(bug);
        scene.number(2, "hello").unwrap();
        scene.restart();
        let _ = scene.number(2, "hello");
        scene.texts().len()
    };
    assert_eq!((posts(Some(Bug::ForgetSessions)), posts(None)), (2, 1));
}

#[test]
fn a_snapshot_forgets_what_was_executed() {
    let outcome = |bug| {
        let mut scene = Scene::with_short_logs(bug);
        scene.number(2, "hello").unwrap();
        let away = scene.give_a_snapshot();
        scene.at(away);
        scene.number(2, "hello")
    };
    assert!(matches!(outcome(None), Ok(Answer::Done(Done::Posted { seq: 1, .. }))));
    assert_eq!(
        outcome(Some(Bug::ForgetSessionsInSnapshot)),
        Err(Refusal::Unknown),
        "the node waits for what it does not know any more"
    );
}

#[test]
fn an_outcome_is_dropped_before_its_client_has_got_it() {
    let again = |bug| {
        let mut scene = Scene::new(bug);
        scene.number(2, "two").unwrap();
        scene.number(3, "three").unwrap();
        scene.number(2, "two")
    };
    assert_eq!(again(Some(Bug::KeepOneOutcome)), Err(Refusal::Forgotten));
    assert!(matches!(again(None), Ok(Answer::Done(Done::Posted { seq: 1, .. }))));
}

#[test]
fn a_number_is_answered_with_the_outcome_of_another_one() {
    let again = |bug| {
        let mut scene = Scene::new(bug);
        scene.number(2, "two").unwrap();
        scene.number(3, "three").unwrap();
        scene.number(2, "two")
    };
    assert!(matches!(again(Some(Bug::AnswerWithLast)), Ok(Answer::Done(Done::Posted { seq: 2, .. }))));
    assert!(matches!(again(None), Ok(Answer::Done(Done::Posted { seq: 1, .. }))));
}

#[test]
fn a_later_number_stands_before_its_predecessor() {
    let texts = |bug| {
        let mut scene = Scene::new(bug);
        scene.ask_only(3, scene::number(3, "three"));
        scene.ask_only(2, scene::number(2, "two"));
        scene.answer(2).unwrap();
        scene.answer(3).unwrap();
        scene.texts()
    };
    assert_eq!(texts(Some(Bug::ExecuteOutOfOrder)), ["three", "two"]);
    assert_eq!(texts(None), ["two", "three"]);
}

#[test]
fn a_leader_answers_what_only_its_own_log_holds() {
    let answered = |bug| {
        let mut scene = Scene::new(bug);
        scene.world.cut = Some(scene.leader);
        scene.number(2, "hello")
    };
    assert!(matches!(answered(Some(Bug::AnswerAtAppend)), Ok(Answer::Done(Done::Posted { seq: 1, .. }))));
    assert!(answered(None).is_err_and(|refusal| refusal.is_temporary()));
}

#[test]
fn a_leader_that_steps_down_says_that_nothing_was_done() {
    let refused = |bug| {
        let mut scene = Scene::new(bug);
        scene.world.cut = Some(scene.leader);
        scene.number(2, "hello").unwrap_err()
    };
    assert!(matches!(refused(Some(Bug::RefuseAtStepDown)), Refusal::BadRequest { .. }));
    assert!(refused(None).is_temporary());
}

#[test]
fn what_was_cut_off_a_log_is_taken_for_proposed_for_ever() {
    let outcome = |bug| {
        let mut scene = Scene::new(bug);
        scene.number(2, "settled").unwrap();
        let first = scene.leader;
        scene.world.cut = Some(first);
        let _ = scene.number(3, "undecided");
        // Its time is up, so nobody waits for it any more; then the cut ends.
        scene.pause(6_000);
        scene.world.cut = None;
        scene.pause(1_000);
        scene.lead_again(first);
        scene.number(3, "undecided")
    };
    assert_eq!(outcome(Some(Bug::ProposedForEver)), Err(Refusal::Unknown));
    assert!(matches!(outcome(None), Ok(Answer::Done(Done::Posted { seq: 2, .. }))));
}

#[test]
fn what_a_lost_leader_took_with_it_is_not_offered_to_the_next_one() {
    let outcome = |bug| {
        let mut scene = Scene::new(bug);
        let follower = scene.follower();
        scene.at(follower);
        scene.world.cut = Some(scene.leader);
        scene.number(2, "hello")
    };
    assert_eq!(outcome(Some(Bug::OfferOnce)), Err(Refusal::Unknown));
    assert!(matches!(outcome(None), Ok(Answer::Done(Done::Posted { seq: 1, .. }))));
}

#[test]
fn a_state_depends_on_who_leads() {
    let states = |bug| {
        let mut scene = Scene::new(bug);
        scene.number(2, "two").unwrap();
        scene.acknowledging(3, "three").unwrap();
        scene.states()
    };
    assert_eq!(states(None).len(), 1);
    assert_eq!(states(Some(Bug::EvictOnLeader)).len(), 2);
}

#[test]
fn a_state_depends_on_when_it_is_applied() {
    let stamped = |bug| match Scene::new(bug).number(2, "hello") {
        Ok(Answer::Done(Done::Posted { at, .. })) => at,
        other => panic!("{other:?}"),
    };
    let began = Timestamp(1_700_000_000_000_000);
    assert!(stamped(Some(Bug::ApplyByOwnClock)) < began, "that is no stamp of the log");
    assert!(stamped(None) >= began);
}

#[test]
fn two_messages_of_one_millisecond_are_one() {
    let ids = |bug| {
        let mut scene = Scene::new(bug);
        scene.ask_only(2, number(2, "two"));
        scene.ask_only(3, number(3, "three"));
        [2, 3].map(|id| match scene.answer(id) {
            Ok(Answer::Done(Done::Posted { id, .. })) => id,
            other => panic!("{other:?}"),
        })
    };
    let [one, other] = ids(Some(Bug::IdByTime));
    assert_eq!(one, other);
    let [one, other] = ids(None);
    assert_ne!(one, other);
}

#[test]
fn a_room_counts_from_one_again_after_a_restart() {
    let place = |bug| {
        let mut scene = Scene::new(bug);
        scene.number(2, "two").unwrap();
        scene.restart();
        match scene.number(3, "three") {
            Ok(Answer::Done(Done::Posted { seq, .. })) => seq,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((place(Some(Bug::RoomRestarts)), place(None)), (1, 2));
}

#[test]
fn what_rows_hold_is_applied_upon_them_again() {
    let states = |bug| {
        let mut scene = Scene::new(bug);
        for number in 2..7 {
            scene.number(number, "text").unwrap();
        }
        let follower = scene.follower();
        scene.world.kill(follower);
        scene.world.start(follower);
        scene.pause(500);
        scene.states()
    };
    assert_eq!(states(None).len(), 1);
    assert_eq!(states(Some(Bug::AppliedApart)).len(), 2);
}

#[test]
fn of_what_is_applied_together_one_row_is_written() {
    let texts = |bug| {
        let mut scene = Scene::new(bug);
        let follower = scene.follower();
        scene.ask_only(2, number(2, "two"));
        scene.ask_only(3, number(3, "three"));
        scene.answer(3).unwrap();
        scene.at(follower);
        scene.texts()
    };
    assert!(texts(Some(Bug::RowsInPart)).len() < 2);
    assert_eq!(texts(None), ["two", "three"]);
}
