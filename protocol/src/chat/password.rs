//! Passwords: argon2id (RFC 9106), derived by the node that is asked. The replicated state keeps parameters, salt and result, and sees nothing else.

use crate::gateway::Credential;
use alloc::string::String;
use core::fmt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What deriving costs. The defaults are the ones that OWASP names first: 19 MiB, two passes, one lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct PasswordParams {
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
}

impl Default for PasswordParams {
    fn default() -> Self {
        PasswordParams { memory_kib: 19 * 1_024, passes: 2, lanes: 1 }
    }
}

impl PasswordParams {
    /// As little as the algorithm allows: for simulations and tests, where nothing is secret.
    pub const LEAST: PasswordParams = PasswordParams { memory_kib: 8, passes: 1, lanes: 1 };

    /// Whether a node can be asked to derive by them whenever somebody who knows the name alone tries a password: at most 256 MiB and 16 passes.
    pub fn are_sensible(&self) -> bool {
        self.memory_kib <= 256 << 10 && self.passes <= 16 && self.lanes <= 16
    }
}

/// What is derived from a password. Kept out of what is printed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Key(pub [u8; 32]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// A password on its way to where it is derived. Kept out of what is printed, and out of traces.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl core::hash::Hash for Password {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        Sha256::digest(self.0.as_bytes()).hash(state);
    }
}

/// How a password is derived.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct Recipe {
    pub params: PasswordParams,
    pub salt: [u8; 16],
}

/// What an account keeps of its password.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct PasswordHash {
    pub recipe: Recipe,
    pub key: Key,
}

impl Recipe {
    /// A recipe for a new password. A salt has to be its own, not secret: it is drawn from what identifies the request, and so is the same when the request is repeated.
    pub fn new(params: PasswordParams, credential: &Credential, request: u128) -> Recipe {
        let mut hash = Sha256::new();
        hash.update(b"tertulia salt");
        hash.update(credential.0);
        hash.update(request.to_le_bytes());
        let mut salt = [0; 16];
        salt.copy_from_slice(&hash.finalize()[..16]);
        Recipe { params, salt }
    }

    /// Derives. Takes milliseconds and [`PasswordParams::memory_kib`] of memory: whoever runs a node does it beside everything else.
    ///
    /// # Panics
    /// Never for parameters of this crate; others are brought to the nearest that the algorithm allows.
    pub fn derive(&self, password: &Password) -> Key {
        let lanes = self.params.lanes.clamp(1, 16);
        let memory = self.params.memory_kib.clamp(8 * lanes, 1 << 20);
        let params = argon2::Params::new(memory, self.params.passes.clamp(1, 64), lanes, Some(32))
            .expect("parameters within the algorithm's bounds");
        let mut key = [0; 32];
        argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
            .hash_password_into(password.0.as_bytes(), &self.salt, &mut key)
            .expect("a password of bounded length and a salt of 16 bytes");
        Key(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_derives_to_one_key_under_one_salt() {
        let recipe = Recipe::new(PasswordParams::LEAST, &Credential([1; 32]), 7);
        let key = recipe.derive(&Password("correct horse".into()));
        assert_eq!(key, recipe.derive(&Password("correct horse".into())));
        assert_ne!(key, recipe.derive(&Password("correct horsf".into())));
        assert_ne!(key, Recipe::new(PasswordParams::LEAST, &Credential([1; 32]), 8).derive(&Password("correct horse".into())));
        assert_eq!(alloc::format!("{key:?} {:?}", Password("x".into())), "Key(…) Password(…)");
    }
}
