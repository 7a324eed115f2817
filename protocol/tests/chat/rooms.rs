//! Rooms: made, found, joined, left, named, archived, deleted.

transcript!(
    /// The name of a public room is the room: whoever creates it again joins it.
    a_public_room_is_made_once_and_joined_by_whoever_makes_it_again,
    "ada signs-in
    bob signs-in
    ada creates lobby
    the answer is lost
    bob creates LOBBY
    bob joins lobby
    ada creates l0bby
    ada creates 12
    ada creates １２
    ada creates   
    bob leaves lobby
    bob leaves lobby
    the answer is lost
    bob leaves attic
    bob sees rooms
    bob joins 7
    "
);

transcript!(
    a_room_is_handed_on_when_its_owner_leaves_and_lies_open_when_all_have,
    "ada signs-in
    bob signs-in
    cyd signs-in
    ada creates lobby
    bob joins lobby
    cyd joins lobby
    ada gives-role lobby cyd moderator
    # The moderator has it now, although bob came first.
    ada leaves lobby
    cyd leaves lobby
    bob leaves lobby
    ada sees rooms
    # Whoever comes into an empty room has it.
    ada joins lobby
    "
);

transcript!(
    a_private_room_is_known_to_its_members_and_to_who_is_invited,
    "ada signs-in
    bob signs-in
    cyd signs-in
    ada makes-private attic bob
    the answer is lost
    cyd sees rooms
    cyd joins attic
    cyd joins 1
    bob sees rooms
    bob sees itself
    bob posts attic hello
    bob joins attic
    the answer is lost
    bob sees itself
    # Only an invitation lets one in again.
    bob leaves attic
    bob joins 1
    ada invites attic bob
    ada invites attic bob
    ada invites attic nobody
    cyd invites 1 bob
    bob declines attic
    bob declines 1
    bob sees rooms
    # It goes with its last member.
    ada leaves attic
    ada sees rooms
    house does-what-is-due
    house counts-rows
    "
);

transcript!(
    a_group_is_made_with_its_members_and_needs_no_name,
    "ada signs-in
    bob signs-in
    cyd signs-in
    ada makes-group - bob cyd
    ada makes-group - bob nobody
    ada makes-group trio bob cyd ada
    bob sees rooms
    cyd leaves 1
    bob invites 1 cyd
    bob invites 1 cyd
    ada makes-direct x
    cyd blocks ada
    ada makes-group - cyd
    ada invites 1 cyd
    # A room without a name is meant by its id alone.
    ada posts 1 hello
    "
);

transcript!(
    a_direct_room_is_the_same_one_each_time_and_for_ever,
    "ada signs-in
    bob signs-in
    ada opens-direct bob
    the answer is lost
    bob opens-direct ada
    ada opens-direct ada
    ada opens-direct nobody
    ada posts 1 hello
    bob sees rooms
    bob leaves 1
    bob invites 1 ada
    bob renames 1 other
    bob sets-topic 1 us
    bob sets-rules 1 history=none
    bob kicks 1 ada
    bob gives-role 1 ada owner
    bob removes-room 1
    bob archives 1
    bob pins 1 1
    bob deletes 1 1
    bob blocks ada
    ada posts 1 still there?
    ada edits 1 1 bye
    ada reacts 1 1 x
    ada opens-direct bob
    ada deletes 1 1
    bob unblocks ada
    ada posts 1 hello again
    "
);

transcript!(
    /// Rules that make sense for halls would silence a room of two, which has no moderator.
    a_direct_room_can_be_written_in_whatever_rooms_are_made_with,
    "ada signs-in
    bob signs-in
    house configures post=moderators
    ada opens-direct bob
    ada posts 1 hello
    "
);

transcript!(
    a_direct_room_outlives_one_of_its_two_and_can_be_left_then,
    "ada signs-in
    bob signs-in
    ada opens-direct bob
    ada posts 1 hello
    bob deletes-account
    ada sees rooms
    ada posts 1 are you there?
    ada answers 1 1 are you there?
    ada edits 1 1 hello?
    ada reacts 1 1 x
    ada deletes 1 1
    ada sees messages 1
    ada opens-direct 2
    bob signs-in
    # The new bob is somebody else.
    ada opens-direct bob
    ada leaves 1
    ada leaves 2
    ada sees rooms
    house does-what-is-due
    house counts-rows
    "
);

transcript!(
    a_room_is_renamed_by_its_owner_to_a_name_that_is_free,
    "ada signs-in
    bob signs-in
    ada creates lobby
    bob creates attic
    bob joins lobby
    bob renames lobby mine
    ada renames lobby attic
    ada renames lobby аttic
    ada renames lobby Lobby
    ada renames lobby hall
    the answer is lost
    bob creates lobby
    ada posts hall hello
    ada renames hall 12
    ada renames cellar x
    bob leaves hall
    bob renames hall x
    ada archives hall
    ada renames hall x
    "
);

transcript!(
    a_topic_is_set_by_moderators,
    "ada signs-in
    bob signs-in
    ada creates lobby
    bob joins lobby
    bob sets-topic lobby mine
    ada sets-topic lobby all that is new
    the answer is lost
    bob sees rooms
    ada sets-topic lobby
    bob leaves lobby
    bob sets-topic lobby mine
    ada archives lobby
    ada sets-topic lobby late
    "
);

transcript!(
    nothing_changes_in_an_archived_room_but_that_people_may_leave,
    "ada signs-in
    bob signs-in
    cyd signs-in
    ada creates lobby
    bob joins lobby
    ada posts lobby hello
    bob archives lobby
    ada archives lobby
    the answer is lost
    ada archives lobby
    ada posts lobby late
    ada answers lobby 1 late
    ada edits lobby 1 late
    ada deletes lobby 1
    ada reacts lobby 1 x
    ada pins lobby 1
    ada sets-rules lobby history=none
    ada gives-role lobby bob owner
    ada kicks lobby bob
    ada bans lobby bob
    ada mutes lobby bob 10
    ada invites lobby cyd
    cyd joins lobby
    bob reads lobby 1
    bob leaves lobby
    ada unarchives lobby
    ada posts lobby on with it
    ada archives lobby
    ada removes-room lobby
    "
);

transcript!(
    a_room_that_is_deleted_is_gone_at_once_and_its_messages_part_by_part,
    "ada signs-in
    bob signs-in
    cyd signs-in
    ada creates lobby
    bob joins lobby
    cyd creates attic
    ada invites lobby cyd
    ada posts lobby one
    bob answers lobby 1 two
    bob removes-room lobby
    ada removes-room cellar
    ada removes-room lobby
    the answer is lost
    bob edits lobby 2 late
    bob edits 1 2 late
    house counts-rows
    # Its name is free, its id is not given again.
    bob creates lobby
    house sweeps-room 1 2
    house does-what-is-due
    house counts-rows
    bob sees messages lobby
    "
);

transcript!(
    rooms_are_made_up_to_the_limits,
    tertulia_protocol::contract::Limits { rooms: 3, rooms_of_user: 2, group: 2, ..Default::default() },
    "ada signs-in
    bob signs-in
    cyd signs-in
    ada creates one
    ada creates two
    ada creates three
    ada opens-direct bob
    bob opens-direct ada
    bob makes-group - ada
    bob invites 1 ada
    bob creates three
    ada joins three
    cyd creates four
    cyd makes-group - bob ada cyd
    "
);

transcript!(
    administrators_alone_make_public_rooms_where_it_says_so,
    "house founds sign-in=accounts admins-make-rooms=yes
    ada registers secret-1
    bob registers secret-2
    bob creates lobby
    bob makes-public lobby
    bob makes-private attic
    ada creates lobby
    bob creates lobby
    bob configures devices=1
    ada configures sign-in=accounts
    bob creates hall
    "
);
