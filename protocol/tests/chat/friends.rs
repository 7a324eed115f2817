//! Friends, requests, and those one does not want to hear from.

use tertulia_protocol::contract::Limits;

transcript!(
    a_friendship_is_asked_for_and_accepted,
    "ada signs-in
    bob signs-in
    ada befriends bob
    the answer is lost
    ada befriends bob
    ada befriends ada
    ada befriends nobody
    bob sees itself
    bob befriends ada
    the answer is lost
    bob befriends ada
    ada sees itself
    bob unfriends ada
    the answer is lost
    bob unfriends ada
    bob unfriends nobody
    bob unfriends bob
    # One takes a request back, the other declines one.
    ada befriends bob
    ada unfriends bob
    ada befriends bob
    bob unfriends ada
    ada sees itself
    house counts-rows
    "
);

transcript!(
    who_is_blocked_is_no_friend_and_cannot_become_one,
    "ada signs-in
    bob signs-in
    ada befriends bob
    bob befriends ada
    ada blocks bob
    the answer is lost
    ada blocks bob
    ada blocks ada
    ada blocks nobody
    bob befriends ada
    ada befriends bob
    ada sees itself
    bob sees itself
    bob blocks ada
    ada unblocks bob
    the answer is lost
    ada unblocks bob
    ada befriends bob
    bob unblocks ada
    ada befriends bob
    "
);

transcript!(
    direct_rooms_are_for_friends_where_it_says_so,
    "ada signs-in
    bob signs-in
    ada opens-direct bob
    house configures direct=friends
    ada posts 1 hello
    ada befriends bob
    ada posts 1 hello
    bob befriends ada
    ada posts 1 hello
    bob unfriends ada
    ada edits 1 1 bye
    ada reacts 1 1 x
    ada deletes 1 1
    cyd signs-in
    cyd opens-direct ada
    "
);

transcript!(
    friends_and_blocks_are_bounded_and_one_can_always_block_a_friend,
    Limits { friends: 1, ..Default::default() },
    "ada signs-in
    bob signs-in
    cyd signs-in
    dan signs-in
    eve signs-in
    ada befriends bob
    ada befriends cyd
    cyd befriends ada
    bob befriends ada
    ada blocks cyd
    # Those whom one has blocked are no friends.
    ada unfriends bob
    ada befriends bob
    ada blocks dan
    ada blocks bob
    ada blocks bob
    "
);
