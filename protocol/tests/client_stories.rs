//! The client's rules, each as a story: lost answers, restarts, old copies, gaps, other servers.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod client_scene;

use client_scene::stories;

macro_rules! story {
    ($($test:ident: $story:ident,)*) => {
        $(#[test]
        fn $test() {
            stories::$story();
        })*
    };
}

story! {
    a_lost_answer_is_asked_for_again_under_the_same_number: lost_answer,
    a_server_that_falls_silent_gives_its_clients_commands_to_the_next: failover,
    what_was_submitted_without_a_connection_waits_and_is_sent_once: offline,
    what_was_never_sent_can_be_withdrawn_and_takes_no_number: withdrawn,
    nothing_is_sent_before_its_record_is_durable: record_first,
    a_client_goes_on_from_what_it_kept: restart,
    an_answer_that_was_lost_with_the_process_still_settles_once: lost_with_the_process,
    an_old_copy_of_the_outbox_gives_no_number_twice: old_copy,
    a_cluster_that_has_forgotten_gets_what_is_unsettled_under_new_numbers: forgetful_cluster,
    a_gap_is_fetched_and_not_delivered: gap,
    a_server_that_is_behind_does_not_take_a_follower_back: behind,
    all_rooms_are_followed_on_one_connection: all_rooms,
    a_server_that_is_better_for_some_time_is_moved_to: better_server,
    a_server_that_is_better_for_a_moment_is_not_moved_to: hysteresis,
    a_failed_server_is_avoided_and_the_best_other_one_taken: avoided,
    a_full_server_counts_as_a_distant_one: full_server,
    a_list_of_servers_may_change: new_list,
}
