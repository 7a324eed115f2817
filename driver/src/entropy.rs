//! Random bytes for nonces and for pauses between dials: the operating system's in production, seeded in a simulation, never the replay seed's
//! own draws (see `tertulia_protocol::dice`), so that the protocol's draws do not depend on how often the network broke.

use std::sync::Arc;

/// Fills a slice with random bytes. Called from several tasks of one node.
pub type Entropy = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// The generator that the operating system seeds.
pub fn system_entropy() -> Entropy {
    Arc::new(|bytes: &mut [u8]| rand::fill(bytes))
}

pub(crate) fn nonce(entropy: &Entropy) -> [u8; 16] {
    let mut nonce = [0; 16];
    entropy(&mut nonce);
    nonce
}

/// A draw from `0..bound` (0 for a bound of 0).
pub(crate) fn below(entropy: &Entropy, bound: u64) -> u64 {
    let mut bytes = [0; 8];
    entropy(&mut bytes);
    tertulia_protocol::dice::below(u64::from_le_bytes(bytes), bound)
}
