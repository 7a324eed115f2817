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
    a_removed_node_is_sealed_once,
    "ada signs-in
    house seals 4 7:12 9:1 8:0
    wait 100
    # A second leader that has heard of more comes too late: others wait for nothing behind the first word.
    house seals 4 7:13
    house seals 4 7:12 9:1 8:0
    restart
    house seals 4
    # Of one start the farthest place counts.
    house seals 5 1:3 1:9 1:4
    house seals 6
    house counts-rows
    "
);

#[test]
fn the_seals_of_the_last_removed_nodes_are_kept() {
    use std::collections::BTreeMap;
    use tertulia_protocol::chat::Housekeeping;
    use tertulia_protocol::contract::Limits;
    use tertulia_protocol::ids::{Boot, NodeId};
    let mut stage = super::stage::Stage::with(Limits::default(), BTreeMap::new());
    stage.looks = false;
    let seal = |node: u64| Housekeeping::Seal { node: NodeId(node), outboxes: vec![(Boot(node), node)] }.encode();
    // The ids do not tell which of them is the oldest.
    for nth in 0..1_030u64 {
        stage.house(seal(2_000 - nth));
    }
    stage.looks = true;
    stage.look();
    let sealed = |stage: &super::stage::Stage, node: u64| stage.chat().sealed(NodeId(node)).is_some();
    assert!((1_995..=2_000).all(|node| !sealed(&stage, node)), "the oldest have gone");
    assert!((971..1_995).all(|node| sealed(&stage, node)));
    assert_eq!(stage.rows.keys().filter(|key| key[0] == 0x19).count(), 1_024);
    let outboxes = (0..100_000).map(|boot| (Boot(boot), 1)).collect();
    stage.house(Housekeeping::Seal { node: NodeId(1), outboxes }.encode());
    assert_eq!(stage.chat().sealed(NodeId(1)).unwrap().outboxes.len(), 1_024);
    stage.restart();
    assert!(sealed(&stage, 1) && !sealed(&stage, 1_994));
    stage.look();
}

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
