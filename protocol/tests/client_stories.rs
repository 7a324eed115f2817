//! The client's rules, each as a story: lost answers, restarts, old copies, gaps, other servers.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod client_scene;

use client_scene::{stories, tentative};

macro_rules! story {
    ($of:ident: $($test:ident: $story:ident,)*) => {
        $(#[test]
        fn $test() {
            $of::$story();
        })*
    };
}

story! {
    stories:
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
    a_room_that_is_joined_once_more_is_asked_for_at_once: joined_again,
    a_server_that_is_better_for_some_time_is_moved_to: better_server,
    a_server_that_is_better_for_a_moment_is_not_moved_to: hysteresis,
    a_failed_server_is_avoided_and_the_best_other_one_taken: avoided,
    a_full_server_counts_as_a_distant_one: full_server,
    a_list_of_servers_may_change: new_list,
}

story! {
    tentative:
    what_is_accepted_without_a_leader_is_asked_about_until_it_is_settled: accepted_then_done,
    what_is_accepted_goes_in_order_to_the_next_server: accepted_moves,
    a_restart_forgets_that_something_was_accepted_and_asks: accepted_restart,
    a_client_that_begins_without_a_leader_goes_on_with_its_numbers: restart_without_a_leader,
    an_old_copy_does_not_go_on_without_a_leader_where_its_later_life_is_known: old_copy_without_a_leader,
    an_old_copy_that_has_gone_on_without_a_leader_says_what_is_unclear: old_copy_ahead,
    all_servers_are_tried_once_for_a_leader_while_posts_are_accepted: one_round,
    a_server_that_cannot_be_reached_is_not_waited_for_while_another_one_accepts: unreachable,
    a_round_for_a_leader_goes_to_the_best_servers_first: round_by_figure,
    a_join_that_waits_for_a_leader_does_not_take_the_client_from_server_to_server: join_waits,
    where_nothing_is_accepted_a_server_without_a_leader_is_given_up: never_accepted,
    a_request_that_is_kept_on_too_few_nodes_is_tried_again: too_few_copies,
    a_tentative_message_is_shown_until_it_is_committed_or_refused: tail_events,
    a_tentative_message_settles_without_leaving_the_screen: settles_in_place,
    what_was_delivered_is_not_tentative_again_on_a_node_that_is_behind: behind_with_a_tail,
    what_an_earlier_run_was_delivered_is_not_tentative_for_long: behind_after_a_restart,
    what_is_on_the_screen_is_asked_about_on_a_new_connection: asks_for_the_tail,
    an_own_message_stays_until_its_command_is_settled: own_stays,
    a_room_that_is_followed_no_more_has_no_tail: tail_dropped,
}
