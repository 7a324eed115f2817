//! Keyed randomness: every draw is a pure function of a seed and of what the draw is *for*.
//!
//! A draw is named by an identity (a message's class, term and index; a client's request), never by "the 57th draw so far", so that adding a draw
//! somewhere does not change the others, and a shrunk scenario keeps the draws of what is left of it. Purposes are frozen: their numbers are part of
//! every recorded seed (see the golden test).

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Where all draws of one run come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Seed(pub u64);

/// What a draw is for. The numbers never change and are never used again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum Purpose {
    ElectionJitter = 1,
    ClientBackoff = 2,
    ClientServer = 3,
    LinkDelay = 16,
    LinkLoss = 17,
    LinkDuplicate = 18,
    LinkExtraDelay = 19,
    DiskSync = 20,
    DiskTorn = 21,
    FaultTime = 22,
    FaultTarget = 23,
    Workload = 24,
    InputBatch = 25,
    StartOffset = 26,
    CodecSample = 27,
    Identity = 28,
    FaultGate = 29,
    /// What a branch of a run draws from.
    Branch = 48,
    /// What a scenario file leaves to the seed.
    Swarm = 49,
}

/// A uniform 64-bit draw.
pub fn draw(seed: Seed, purpose: Purpose, who: u64, what: u64, nth: u64) -> u64 {
    let mut key = [0u8; 26];
    key[..2].copy_from_slice(&(purpose as u16).to_le_bytes());
    key[2..10].copy_from_slice(&who.to_le_bytes());
    key[10..18].copy_from_slice(&what.to_le_bytes());
    key[18..].copy_from_slice(&nth.to_le_bytes());
    xxh3_64_with_seed(&key, seed.0)
}

/// Maps a draw onto `0..bound` without noticeable bias (Lemire 2019, without the rejection step). 0 for a bound of 0.
pub fn below(draw: u64, bound: u64) -> u64 {
    ((u128::from(draw) * u128::from(bound)) >> 64) as u64
}

/// Maps a draw onto `from..=to`.
pub fn within(draw: u64, from: u64, to: u64) -> u64 {
    debug_assert!(from <= to);
    from + below(draw, (to - from).saturating_add(1))
}

/// True for `ppm` draws in a million.
pub fn chance(draw: u64, ppm: u32) -> bool {
    below(draw, 1_000_000) < u64::from(ppm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_are_frozen() {
        let golden: &[(Purpose, u64)] = &[
            (Purpose::ElectionJitter, 0x3b4e7937d529d264),
            (Purpose::ClientBackoff, 0x9e4a2e77f1933596),
            (Purpose::LinkDelay, 0x1462f918e872f3aa),
            (Purpose::LinkLoss, 0xdc91fef2f49da26e),
            (Purpose::DiskSync, 0x92f455e9db446637),
            (Purpose::FaultTime, 0x25c3988c09eae8ac),
            (Purpose::Workload, 0x9b83aa1fe83048c3),
            (Purpose::InputBatch, 0xd0fbe3cbc9d1e7ba),
            (Purpose::Swarm, 0x30b90f63e1483433),
        ];
        for (purpose, value) in golden {
            assert_eq!(draw(Seed(7), *purpose, 1, 2, 3), *value, "{purpose:?}");
        }
    }

    #[test]
    fn within_keeps_its_bounds_and_reaches_both_ends() {
        let drawn: alloc::vec::Vec<u64> =
            (0..1000).map(|nth| within(draw(Seed(1), Purpose::Workload, 0, 0, nth), 3, 6)).collect();
        assert_eq!(drawn.iter().min(), Some(&3));
        assert_eq!(drawn.iter().max(), Some(&6));
    }
}
