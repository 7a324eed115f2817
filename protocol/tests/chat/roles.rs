//! Who may do what to whom in a room.

use tertulia_protocol::contract::Limits;

transcript!(
    owners_give_roles_and_a_room_keeps_one_owner,
    "ada signs-in
    bob signs-in
    cyd signs-in
    ada creates lobby
    bob joins lobby
    bob gives-role lobby bob owner
    ada gives-role lobby ada member
    ada gives-role lobby cyd moderator
    ada gives-role lobby nobody moderator
    cyd gives-role lobby bob owner
    ada gives-role cellar bob owner
    ada gives-role lobby bob moderator
    the answer is lost
    ada gives-role lobby bob moderator
    bob gives-role lobby ada member
    ada gives-role lobby bob owner
    ada gives-role lobby ada member
    bob sees members lobby
    "
);

transcript!(
    moderators_stand_above_members_and_below_owners,
    "ada signs-in
    bob signs-in
    cyd signs-in
    dan signs-in
    ada creates lobby
    bob joins lobby
    cyd joins lobby
    dan joins lobby
    ada gives-role lobby bob moderator
    ada gives-role lobby cyd moderator
    dan kicks lobby bob
    bob kicks lobby ada
    bob kicks lobby cyd
    bob bans lobby cyd
    bob mutes lobby ada 1000
    bob kicks lobby dan
    the answer is lost
    bob kicks lobby dan
    bob kicks lobby nobody
    dan kicks lobby bob
    dan joins lobby
    bob kicks lobby bob
    "
);

transcript!(
    a_banned_user_is_kept_out_until_a_moderator_takes_it_back,
    "ada signs-in
    bob signs-in
    cyd signs-in
    ada creates lobby
    bob joins lobby
    cyd joins lobby
    ada gives-role lobby cyd moderator
    ada posts lobby hello
    bob bans lobby ada
    cyd bans lobby cyd
    cyd bans lobby bob
    the answer is lost
    cyd bans lobby bob
    bob posts lobby why
    bob joins lobby
    bob creates lobby
    bob sees messages lobby
    bob sees rooms
    ada invites lobby bob
    cyd unbans lobby bob
    cyd unbans lobby bob
    bob joins lobby
    cyd bans lobby nobody
    cyd bans attic bob
    ada archives lobby
    cyd bans lobby bob
    "
);

transcript!(
    a_ban_takes_an_invitation_back,
    "ada signs-in
    bob signs-in
    ada makes-private attic bob
    ada bans attic bob
    bob joins attic
    bob joins 1
    bob sees rooms
    bob sees itself
    bob declines attic
    ada unbans attic bob
    bob joins 1
    bob sees rooms
    "
);

transcript!(
    who_is_muted_reads_and_does_not_write,
    "ada signs-in
    bob signs-in
    ada creates lobby
    bob joins lobby
    bob posts lobby hello
    bob mutes lobby ada 10
    ada mutes lobby bob 5000
    the answer is lost
    bob posts lobby late
    bob answers lobby 1 late
    bob edits lobby 1 late
    bob reacts lobby 1 x
    bob reads lobby 1
    bob sees members lobby
    bob deletes lobby 1
    # Leaving and coming again does not help.
    bob leaves lobby
    bob joins lobby
    bob posts lobby again
    wait 5000
    bob posts lobby now
    ada mutes lobby bob ever
    wait 100000000
    bob posts lobby now
    ada mutes lobby bob 0
    bob posts lobby now
    ada mutes lobby nobody 10
    bob leaves lobby
    ada mutes lobby bob 5000
    bob mutes lobby ada 10
    "
);

transcript!(
    invitations_leave_room_for_bans,
    Limits { standings: 2, ..Default::default() },
    "ada signs-in
    bob signs-in
    cyd signs-in
    dan signs-in
    ada makes-private attic bob
    bob joins attic
    # One invitation of two is half of what a room holds.
    bob invites attic cyd
    bob invites attic cyd
    bob invites attic dan
    ada mutes attic bob 10
    ada mutes attic bob 20
    ada bans attic bob
    ada bans attic dan
    ada bans attic cyd
    ada unbans attic bob
    wait 30
    # A mute that is over takes no place.
    ada bans attic dan
    "
);

transcript!(
    an_administrator_may_do_in_a_public_room_what_its_owner_may,
    "house founds sign-in=accounts
    ada registers secret-1
    bob registers secret-2
    cyd registers secret-3
    bob creates lobby
    bob makes-private attic
    cyd joins lobby
    cyd posts lobby rude
    bob bans lobby ada
    ada sets-topic lobby be kind
    ada mutes lobby cyd 1000
    ada kicks lobby cyd
    ada deletes lobby 1
    ada posts lobby hello
    ada joins lobby
    ada deletes lobby 1
    ada kicks lobby bob
    ada gives-role lobby ada owner
    ada gives-role lobby bob member
    ada kicks lobby bob
    ada sets-topic attic x
    ada removes-room 2
    "
);

transcript!(
    rules_say_who_posts_who_invites_and_how_much,
    "ada signs-in
    bob signs-in
    cyd signs-in
    ada creates lobby
    bob joins lobby
    bob posts lobby hello
    bob sets-rules lobby edits=no
    ada sets-rules lobby post=moderators invite=moderators edits=no bytes=10
    the answer is lost
    bob posts lobby hello
    bob answers lobby 1 hello
    bob edits lobby 1 hello
    bob deletes lobby 1
    bob reacts lobby 1 x
    bob invites lobby cyd
    ada invites lobby cyd
    ada posts lobby eleven byte
    ada posts lobby ten bytes.
    ada edits lobby 2 other
    ada deletes lobby 2
    ada sets-rules lobby post=nobody invite=nobody
    ada posts lobby hello
    ada invites lobby cyd
    ada sets-rules lobby bytes=0
    ada sets-rules lobby bytes=5000
    ada sets-rules lobby history=0
    ada sets-rules lobby history=1001
    ada sets-rules lobby history=1000
    ada makes-public hall history=0
    ada makes-public hall history=2 bob
    "
);
