//! What a room keeps, and for whom.

transcript!(
    a_room_with_all_its_history_shows_it_to_everybody,
    "ada signs-in
    bob signs-in
    ada creates lobby
    ada posts lobby one
    bob sees messages lobby
    bob joins lobby
    bob sees messages lobby
    bob sees rooms
    "
);

transcript!(
    a_room_that_keeps_the_last_messages_shows_no_others,
    "ada signs-in
    bob signs-in
    ada makes-public lobby history=2
    ada posts lobby one
    ada pins lobby 1
    bob joins lobby
    ada posts lobby two @bob
    ada posts lobby three
    ada posts lobby four
    bob sees messages lobby
    # What cannot be seen is not unread, and cannot be touched.
    bob sees rooms
    bob reacts lobby 1 x
    ada edits lobby 1 x
    ada answers lobby 1 x
    ada unpins lobby 1
    bob reads lobby 3
    ada sets-rules lobby history=all
    bob sees messages lobby
    "
);

transcript!(
    where_history_begins_with_joining_nothing_before_it_is_shown,
    "ada signs-in
    bob signs-in
    ada makes-public lobby history=since-join
    ada posts lobby one
    bob sees messages lobby
    bob joins lobby
    ada posts lobby two
    bob sees messages lobby
    ada sees messages lobby
    bob answers lobby 1 what?
    bob reacts lobby 1 x
    bob reacts lobby 2 x
    bob leaves lobby
    bob joins lobby
    bob sees messages lobby
    "
);

transcript!(
    where_nothing_is_kept_a_message_goes_when_everybody_has_read_it,
    "ada signs-in
    bob signs-in
    ada makes-public lobby history=none
    ada posts lobby alone
    ada sees messages lobby
    bob joins lobby
    ada posts lobby two
    ada answers lobby 2 three
    bob sees messages lobby
    house counts-rows
    bob reads lobby 2
    bob reads lobby 3
    # What was read just now goes with the next command.
    ada reads lobby 3
    ada sees messages lobby
    house counts-rows
    ada sets-rules lobby history=all
    ada posts lobby kept
    ada reads lobby 4
    bob reads lobby 4
    ada sees messages lobby
    "
);

transcript!(
    /// A room that nobody can name by what is no name forgets as well as any other.
    an_empty_name_is_no_rooms,
    "house founds history=none
    ada signs-in
    bob signs-in
    ada opens-direct bob
    ada makes-group - bob
    ada posts 1 hello
    ada posts 2 hello
    ada posts \"\" hello
    ada reacts \"\" 1 x
    bob joins \"\"
    bob sees rooms
    "
);
