//! What a leader asks by itself: settings, signs of life, sessions that are over, what was deleted.

transcript!(
    a_cluster_is_founded_with_settings_once,
    "house founds sign-in=guests
    house founds sign-in=accounts
    ada signs-in
    house configures devices=1
    ada signs-in
    # What does not make sense is not done.
    house configures devices=3 idle=1
    ada/phone signs-in
    "
);

transcript!(
    a_session_without_a_sign_of_life_is_over,
    "house founds idle=1000
    ada signs-in
    bob signs-in
    wait 900
    house hears bob
    house hears bob
    wait 200
    house does-what-is-due
    ada posts lobby hello
    bob creates lobby
    # It was seen in the meantime.
    house expires-late bob
    bob posts lobby hello
    house expires bob
    bob posts lobby hello
    ada signs-in
    house configures idle=0
    wait 100000
    house does-what-is-due
    ada sees itself
    "
);

transcript!(
    a_late_or_foreign_sweep_does_nothing,
    "ada signs-in
    ada creates lobby
    ada posts lobby one
    house sweeps-room 1 1
    house sweeps-user 1 1 1
    house sweeps-room 9 18446744073709551615
    ada sees messages lobby
    ada removes-room lobby
    house sweeps-room 1 0
    house counts-rows
    house sweeps-room 1 1
    house sweeps-room 1 1
    house counts-rows
    "
);
