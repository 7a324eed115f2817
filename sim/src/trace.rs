//! The trace: 64 bits that two runs share if and only if they were the same run.
//!
//! Per node and boot a chain over (simulated microseconds, digest of the input, digests of its outputs), combined in node order, then the clients'
//! chains. What goes in is values, never bytes on a wire, addresses or real time; so debug and release, another process and any number of jobs agree.

use core::hash::{Hash, Hasher};
use xxhash_rust::xxh3::xxh3_64;

/// Multiplies two words and folds the 128-bit product: one multiplication mixes every bit of a word (the core of wyhash).
fn mum(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

/// A [`Hasher`] with the same result on every machine: integers count as 64-bit words, `usize` as `u64`, bytes by their XXH3.
///
/// Slices of bare integers would be hashed by std as native-endian bytes; the protocol's types have none but byte strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Digest(0x9e37_79b9_7f4a_7c15)
    }
}

impl Digest {
    fn word(&mut self, word: u64) {
        // The constant addend keeps the state from sticking at zero.
        self.0 = mum(self.0 ^ word, 0xa076_1d64_78bd_642f).rotate_left(23).wrapping_add(0xe703_7ed1_a0b4_28db);
    }
}

impl Hasher for Digest {
    fn finish(&self) -> u64 {
        mum(self.0 ^ 0x8ebc_6af0_9c88_c6e3, 0x5899_65cc_7537_4cc3)
    }
    fn write(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        self.word(xxh3_64(bytes));
    }
    fn write_u8(&mut self, i: u8) {
        self.word(u64::from(i));
    }
    fn write_u16(&mut self, i: u16) {
        self.word(u64::from(i));
    }
    fn write_u32(&mut self, i: u32) {
        self.word(u64::from(i));
    }
    fn write_u64(&mut self, i: u64) {
        self.word(i);
    }
    fn write_u128(&mut self, i: u128) {
        self.word(i as u64);
        self.word((i >> 64) as u64);
    }
    fn write_usize(&mut self, i: usize) {
        self.word(i as u64);
    }
    fn write_i8(&mut self, i: i8) {
        self.word(i64::from(i) as u64);
    }
    fn write_i16(&mut self, i: i16) {
        self.word(i64::from(i) as u64);
    }
    fn write_i32(&mut self, i: i32) {
        self.word(i64::from(i) as u64);
    }
    fn write_i64(&mut self, i: i64) {
        self.word(i as u64);
    }
    fn write_i128(&mut self, i: i128) {
        self.write_u128(i as u128);
    }
    fn write_isize(&mut self, i: isize) {
        self.word(i as i64 as u64);
    }
}

/// The digest of one value.
pub fn digest<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut digest = Digest::default();
    value.hash(&mut digest);
    digest.finish()
}

/// A chain of digests: order counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain(Digest);

impl Chain {
    /// Something came in, at this simulated microsecond.
    pub fn input(&mut self, at: u64, digest: u64) {
        self.0.word(at);
        self.0.word(digest);
    }

    /// Something went out, because of the last input.
    pub fn output(&mut self, digest: u64) {
        self.0.word(digest);
    }

    pub fn value(&self) -> u64 {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_every_word_counts() {
        let plain = digest(&(7u64, 9u32, "text"));
        for bit in 0..64 {
            assert_ne!(digest(&(7u64 ^ (1 << bit), 9u32, "text")), plain);
        }
        assert_ne!(digest(&(7u64, 9u32, "tex")), plain);
        assert_ne!(digest(&(7u64, 9u32, "tfxt")), plain);
    }

    #[test]
    fn order_and_time_count() {
        let chain = |steps: &[(u64, u64)]| {
            let mut chain = Chain::default();
            for (at, digest) in steps {
                chain.input(*at, *digest);
            }
            chain.value()
        };
        assert_ne!(chain(&[(1, 2), (3, 4)]), chain(&[(3, 4), (1, 2)]));
        assert_ne!(chain(&[(1, 2)]), chain(&[(2, 2)]));
    }

    #[test]
    fn digests_are_the_same_on_every_machine() {
        assert_eq!(digest(&1usize), digest(&1u64));
        // Golden: a change of the hash makes every recorded trace worthless.
        assert_eq!(digest("tertulia"), GOLDEN);
    }

    const GOLDEN: u64 = 10_584_997_922_553_196_481;
}
