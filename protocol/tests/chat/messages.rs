//! Messages: posted, answered, edited, deleted, reacted to, pinned, read, and who is named in them.

transcript!(
    only_members_post_and_only_text,
    "ada signs-in
    bob signs-in
    ada creates lobby
    ada posts lobby hello
    the answer is lost
    bob posts lobby hello
    bob posts attic hello
    bob answers lobby 1 hello
    bob edits lobby 1 hello
    bob deletes lobby 1
    bob reacts lobby 1 x
    bob pins lobby 1
    bob reads lobby 1
    ada posts lobby
    ada posts lobby \u{200b}
    ada answers lobby 1
    ada edits lobby 1
    ada posts lobby turned \u{202e}round
    bob sees messages lobby
    "
);

transcript!(
    answers_form_a_thread_and_are_counted,
    "ada signs-in
    bob signs-in
    ada creates lobby
    bob joins lobby
    ada posts lobby question
    bob answers lobby 1 answer
    the answer is lost
    ada answers lobby 2 thanks
    ada answers lobby 9 what?
    ada answers lobby 0 what?
    ada deletes lobby 1
    # A thread outlives what it began with.
    bob answers lobby 1 still here
    ada sees messages lobby
    "
);

transcript!(
    a_message_is_changed_by_its_author_and_deleted_by_moderators_too,
    "ada signs-in
    bob signs-in
    cyd signs-in
    ada creates lobby
    bob joins lobby
    cyd joins lobby
    bob posts lobby helo
    bob edits lobby 1 hello
    the answer is lost
    ada edits lobby 1 mine
    cyd deletes lobby 1
    bob edits lobby 2 hello
    bob deletes lobby 2
    ada pins lobby 1
    cyd reacts lobby 1 x
    ada deletes lobby 1
    the answer is lost
    ada deletes lobby 1
    bob edits lobby 1 again
    bob reacts lobby 1 x
    ada pins lobby 1
    ada sees rooms
    bob posts lobby mine
    bob deletes lobby 2
    bob leaves lobby
    bob edits lobby 2 late
    "
);

transcript!(
    a_reaction_is_one_emoji_or_a_word,
    "ada signs-in
    bob signs-in
    ada creates lobby
    bob joins lobby
    ada posts lobby hello
    ada reacts lobby 1 👩‍👩‍👧
    the answer is lost
    ada reacts lobby 1 👩‍👩‍👧
    bob reacts lobby 1 👩‍👩‍👧
    bob reacts lobby 1 +1
    ada unreacts lobby 1 +1
    ada unreacts lobby 1 👩‍👩‍👧
    bob unreacts lobby 1 👩‍👩‍👧
    bob reacts lobby 1
    bob reacts lobby 1 two words
    bob reacts lobby 1 abcdefghijklmnopqrstuvwxyz-1234567
    bob reacts lobby 1 \u{202e}x
    bob reacts lobby 1 \u{200d}
    bob reacts lobby 2 x
    "
);

transcript!(
    pins_are_the_moderators_and_in_a_direct_room_both_ones,
    "ada signs-in
    bob signs-in
    ada creates lobby
    bob joins lobby
    bob posts lobby one
    bob posts lobby two
    bob pins lobby 1
    ada pins lobby 2
    the answer is lost
    ada pins lobby 1
    ada pins lobby 1
    bob sees rooms
    ada unpins lobby 2
    ada unpins lobby 2
    ada pins lobby 3
    bob sees rooms
    "
);

transcript!(
    what_is_read_is_read_on_all_devices_and_never_unread,
    "ada signs-in
    bob signs-in
    bob/phone signs-in
    ada creates lobby
    bob joins lobby
    ada posts lobby one
    ada posts lobby two
    ada posts lobby three
    bob/phone reads lobby 2
    the answer is lost
    bob reads lobby 1
    bob reads lobby 99
    bob reads lobby 0
    ada reads lobby 0
    bob reads attic 1
    ada posts lobby four
    bob sees rooms
    # Whoever writes has read what stands before it.
    bob posts lobby five
    bob sees rooms
    "
);

transcript!(
    who_is_named_is_told_once,
    "ada signs-in
    bob signs-in
    cyd signs-in
    dan signs-in
    ada creates lobby
    bob joins lobby
    cyd joins lobby
    ada posts lobby @BOB, @bob and @dan: hello @ada (see mail@cyd)
    bob sees rooms
    ada edits lobby 1 @cyd and @bob
    ada edits lobby 1 nobody
    bob sees rooms
    cyd sees rooms
    ada edits lobby 1 @bob
    bob reads lobby 1
    ada edits lobby 1 @bob @cyd
    bob sees rooms
    ada deletes lobby 1
    cyd sees rooms
    # Whom one has blocked one is not called by, though others see the name.
    bob blocks ada
    ada posts lobby @bob
    bob sees rooms
    # The other way round it is told: the one who blocks is the one who is not bothered.
    bob posts lobby @ada
    "
);

transcript!(
    reactions_to_one_message_are_bounded,
    "ada signs-in
    ada creates lobby
    ada posts lobby hello
    ada reacts lobby 1 1
    ada reacts lobby 1 2
    ada reacts lobby 1 3
    ada reacts lobby 1 4
    ada reacts lobby 1 5
    ada reacts lobby 1 6
    ada reacts lobby 1 7
    ada reacts lobby 1 8
    ada reacts lobby 1 9
    ada reacts lobby 1 10
    ada reacts lobby 1 11
    ada reacts lobby 1 12
    ada reacts lobby 1 13
    ada reacts lobby 1 14
    ada reacts lobby 1 15
    ada reacts lobby 1 16
    ada reacts lobby 1 17
    ada reacts lobby 1 18
    ada reacts lobby 1 19
    ada reacts lobby 1 20
    ada reacts lobby 1 21
    "
);
