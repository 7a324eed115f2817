//! Bugs that these transcripts show: each plays out otherwise with the bug than without.

mod commit;
mod elections;
mod leases;
mod membership;

use crate::stage::play;

/// What is said with the bug and without.
fn both(bug: &str, cluster: &str, script: &str) -> (String, String) {
    (play(&format!("{cluster} bug {bug}\n{script}")), play(&format!("{cluster}\n{script}")))
}

/// What is said only with the bug.
fn only_with(bug: &str, cluster: &str, script: &str, said: &str) {
    let (with, without) = both(bug, cluster, script);
    assert!(with.contains(said), "not said with the bug: {said}\n{with}");
    assert!(!without.contains(said), "said without the bug as well: {said}\n{without}");
}
