//! Users and devices: four ways to sign in, devices that come and go, accounts that end.

use tertulia_protocol::contract::Limits;

transcript!(
    where_a_name_is_enough_the_same_name_is_the_same_user,
    "ada signs-in
    ada/phone signs-in ADA
    x signs-in аda
    x signs-in p@x
    x signs-in @ada
    x signs-in ＠ada
    x signs-in a\u{202e}da
    x signs-in a\u{2800}b
    x signs-in e\u{301}ve
    x signs-in \u{301}eve
    x signs-in a name that is longer than any name of this cluster may be, which is 64 bytes
    x registers secret
    x logs-in secret
    ada sees itself
    ada/phone sees itself
    nobody posts lobby hello
    "
);

transcript!(
    a_guest_is_somebody_else_each_time,
    "house founds sign-in=guests
    ada signs-in
    ada/phone signs-in
    ada/pad signs-in
    ada sees user 1
    ada creates lobby
    ada/phone joins lobby
    # A name means the oldest who has it, on every node alike.
    ada/pad opens-direct ada
    ada deletes-account
    ada/pad sees user ada
    ada/pad opens-direct ada
    house configures sign-in=open
    ada/new signs-in
    "
);

transcript!(
    a_name_that_was_free_stays_its_oldest_ones_when_others_are_shown_so,
    "house founds sign-in=guests
    ada signs-in
    bob signs-in
    bob is-shown-as Ada
    ada sees user ada
    bob sees user bob
    bob is-shown-as аda
    bob sees user bob
    bob is-shown-as
    the answer is lost
    ada sees user ada
    bob is-shown-as x\u{200d}y
    bob names-device the old laptop
    the answer is lost
    bob names-device \u{7}
    bob sees itself
    "
);

transcript!(
    accounts_have_passwords_and_the_first_one_administers,
    "house founds sign-in=accounts devices=2
    ada signs-in
    ada registers secret-1
    bob registers secret-2
    x/a registers secret-3
    ada/phone logs-in wrong
    nobody logs-in secret-1
    ada/phone logs-in secret-1
    ada/pad logs-in secret-1
    ADA registers secret-9
    ada logs-out ada/phone
    the answer is lost
    ada/phone posts lobby hello
    ada/pad logs-in secret-1
    ada/pad changes-password wrong secret-4
    ada/pad changes-password secret-1 secret-4
    the answer is lost
    ada sees itself
    ada logs-in secret-1
    ada logs-in secret-4
    ada logs-out nothing
    ada logs-out others
    the answer is lost
    ada/pad sees itself
    ada logs-out this
    the answer is lost
    ada logs-in secret-4
    ada/pad logs-in secret-4
    ada logs-out all
    the answer is lost
    "
);

transcript!(
    passwords_are_asked_for_where_there_are_some,
    "ada signs-in
    ada changes-password a b
    house configures sign-in=accounts
    # The name is taken, and has no password to log in with.
    ada/phone logs-in a
    ada/phone registers a
    bob registers secret-1
    house configures sign-in=open
    # A name that was registered is not free for whoever comes.
    bob/phone signs-in
    bob/phone registers secret-1
    bob/phone logs-in secret-1
    ada/phone signs-in
    "
);

transcript!(
    an_invitation_is_used_once_and_for_a_while,
    "house founds sign-in=invite
    ada registers secret-1
    bob registers secret-2
    bob registers secret-2 sesame
    ada makes-code sesame 1000
    the answer is lost
    bob registers secret-2 wrong
    bob registers secret-2 sesame
    cyd registers secret-3 sesame
    bob makes-code two 1000
    wait 1001
    cyd registers secret-3 two
    bob makes-code three 1000
    cyd revokes-code three
    ada revokes-code three
    the answer is lost
    ada revokes-code three
    cyd registers secret-3 three
    ada makes-code four 1000
    bob revokes-code four
    house counts-rows
    "
);

transcript!(
    invitations_are_bounded_and_old_ones_make_room,
    Limits { invites: 2, ..Default::default() },
    "ada signs-in
    ada makes-code one 1000
    ada makes-code two 5000
    ada makes-code three 1000
    # The same one again takes no more room.
    ada makes-code two 4000
    wait 1500
    ada makes-code three 1000
    house counts-rows
    ada deletes-account
    house counts-rows
    "
);

transcript!(
    users_are_bounded,
    Limits { users: 1, ..Default::default() },
    "ada signs-in
    bob signs-in
    ada/phone signs-in
    "
);

transcript!(
    an_administrator_makes_others_and_is_never_the_last_to_go,
    "house founds sign-in=accounts
    ada registers secret-1
    bob registers secret-2
    bob makes-admin bob
    ada unmakes-admin ada
    ada deletes-account secret-1
    ada makes-admin nobody
    ada makes-admin bob
    the answer is lost
    ada unmakes-admin ada
    ada configures devices=3
    ada makes-admin ada
    # Whoever registers next must not come by it.
    bob deletes-account secret-2
    cyd registers secret-3
    bob configures sign-in=accounts idle=10
    bob configures sign-in=accounts history=0
    bob configures sign-in=accounts bytes=0
    bob configures sign-in=accounts idle=1000
    the answer is lost
    "
);

transcript!(
    the_only_account_of_a_cluster_may_go,
    "house founds sign-in=accounts
    ada registers secret-1
    ada deletes-account secret-1
    bob registers secret-2
    "
);

transcript!(
    a_deleted_account_leaves_its_rooms_and_its_words,
    "ada signs-in
    bob signs-in
    cyd signs-in
    ada creates lobby
    bob joins lobby
    ada posts lobby hello @bob
    bob makes-private attic ada
    ada makes-private cellar
    ada befriends bob
    cyd befriends ada
    cyd blocks ada
    ada/phone signs-in
    ada deletes-account wrong
    ada deletes-account
    the answer is lost
    bob sees messages lobby
    bob sees members lobby
    bob sees itself
    cyd sees itself
    house does-what-is-due
    ada signs-in
    # The name is somebody else's now.
    ada edits lobby 1 mine
    ada joins lobby
    ada edits lobby 1 mine
    ada sees rooms
    house counts-rows
    "
);

transcript!(
    an_account_with_a_password_is_deleted_with_it,
    "house founds sign-in=accounts
    ada registers secret-1
    bob registers secret-2
    bob deletes-account
    bob deletes-account wrong
    bob deletes-account secret-2
    bob logs-in secret-2
    bob registers secret-2
    "
);

transcript!(
    where_the_cluster_erases_a_deleted_users_words_are_gone_at_once,
    "house founds erase=yes
    ada signs-in
    bob signs-in
    ada creates lobby
    bob joins lobby
    bob posts lobby my secret
    bob posts lobby hello @ada
    bob posts lobby another
    ada posts lobby mine
    ada pins lobby 1
    ada reacts lobby 3 x
    bob posts lobby look @ada
    bob makes-private attic
    bob posts attic alone
    bob deletes-account
    ada sees messages lobby
    ada sees rooms
    # Nothing is done to what is about to go.
    ada reacts lobby 1 x
    ada pins lobby 3
    ada answers lobby 3 why
    house sweeps-user 2 1 99
    house does-what-is-due
    ada sees messages lobby
    ada sees rooms
    house counts-rows
    "
);
