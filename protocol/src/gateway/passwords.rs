//! Requests with a password: it is derived beside the node, and the log sees what came of it.
//!
//! A password that this node's state knows to be wrong is refused here and costs no entry; the state is up to date by a read index then.

use super::*;
use crate::chat::password::{Key, Password, PasswordHash, PasswordParams, Recipe};
use crate::chat::{Command, Opening, UserRef};
use crate::replica::{Identity, Slot, Submission};
use alloc::string::{String, ToString};
use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;

/// Derivations that may be under way on one node. Each takes its memory while it runs; more is refused: busy.
const MOST: usize = 64;
/// The shortest password, in characters (NIST SP 800-63B, 5.1.1.1), and the longest, in bytes.
const SHORTEST: usize = 8;
const LONGEST: usize = 1_024;

/// What is done once a password is derived.
#[derive(Clone, Debug)]
pub(super) struct Derivation {
    connection: ConnectionId,
    id: u64,
    then: Then,
}

#[derive(Clone, Debug)]
enum Then {
    Register {
        credential: Credential,
        name: String,
        device: String,
        invite: Option<[u8; 32]>,
        recipe: Recipe,
    },
    /// `is`: what the account keeps; `None`: there is none, and nobody shall see that by the time it takes.
    LogIn {
        credential: Credential,
        name: String,
        device: String,
        is: Option<Key>,
    },
    /// The old one first, then the new one.
    ChangeOld {
        session: SessionId,
        identity: Identity,
        first_unacked: u64,
        is: Key,
        new: Password,
    },
    ChangeNew {
        session: SessionId,
        identity: Identity,
        first_unacked: u64,
        old: Key,
        recipe: Recipe,
    },
    Delete {
        session: SessionId,
        identity: Identity,
        first_unacked: u64,
        is: Key,
    },
}

/// The code of an invitation as the state keeps it.
pub fn invite_hash(code: &str) -> [u8; 32] {
    Sha256::digest(code.as_bytes()).into()
}

fn check(password: &Password) -> Result<Password, Refusal> {
    // RFC 8265, OpaqueString: composed characters are the same characters.
    let password = Password(password.0.nfc().collect());
    let why = match password.0.chars().count() {
        count if count < SHORTEST => alloc::format!("a password has at least {SHORTEST} characters"),
        _ if password.0.len() > LONGEST => alloc::format!("a password has at most {LONGEST} bytes"),
        _ => return Ok(password),
    };
    Err(Refusal::BadRequest { why })
}

impl Gateway {
    /// How passwords are derived from now on.
    pub(crate) fn with_passwords(mut self, params: PasswordParams) -> Gateway {
        self.passwords = params;
        self
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one request")]
    pub(super) fn sign_in_as(
        &mut self,
        now: Now,
        replica: &mut Replica<Chat>,
        connection: ConnectionId,
        request: &Request,
        (name, token, device): (&str, &Token, &str),
        how: &How,
        fresh: reads::Fresh,
    ) {
        let (id, credential) = (request.id, token.credential());
        if let Some(known) = self.connections.get_mut(&connection) {
            known.credential = Some(credential);
        }
        if let Some((session, opened)) = replica.opened(&credential) {
            return self.signed_in(replica, connection, id, session, &opened);
        }
        let (name, device) = (name.to_string(), device.to_string());
        let (password, then, recipe) = match how {
            How::Name => return self.open(now, replica, connection, id, credential, &Opening::Name { name, device }),
            How::Register { password, invite } => {
                let recipe = Recipe::new(self.passwords, &credential, 0);
                let invite = invite.as_deref().map(invite_hash);
                (password, Then::Register { credential, name, device, invite, recipe }, recipe)
            }
            How::LogIn { .. } if fresh == reads::Fresh::Unknown => {
                return self.wait_for_read(now, replica, connection, request.clone());
            }
            // An account may be newer than what this node knows, and so may its password: nobody is turned away for that.
            How::LogIn { .. } if fresh == reads::Fresh::Unconfirmed => {
                let refusal = self.no_leader(now);
                return self.reply(connection, id, Err(refusal));
            }
            How::LogIn { password } => {
                let account = replica.machine().password_of(&UserRef::Name(name.clone()));
                let recipe = account.map_or_else(|| Recipe::new(self.passwords, &credential, 0), |account| account.recipe);
                (password, Then::LogIn { credential, name, device, is: account.map(|account| account.key) }, recipe)
            }
        };
        match check(password) {
            Ok(password) => self.derive(Derivation { connection, id, then }, password, recipe),
            // Too short to be anybody's.
            Err(_) if matches!(how, How::LogIn { .. }) => self.reply(connection, id, Err(Refusal::WrongPassword)),
            Err(refusal) => self.reply(connection, id, Err(refusal)),
        }
    }

    pub(super) fn change_password(
        &mut self,
        now: Now,
        replica: &mut Replica<Chat>,
        connection: ConnectionId,
        request: &Request,
        (session, user): (SessionId, UserId),
        fresh: reads::Fresh,
    ) {
        let (id, asked) = match &request.ask {
            Ask::ChangePassword { identity, first_unacked, old, new } => {
                (request.id, (*identity, *first_unacked, old, Some(new)))
            }
            Ask::DeleteAccount { identity, first_unacked, password } => (request.id, (*identity, *first_unacked, password, None)),
            _ => return,
        };
        let (identity, first_unacked, old, new) = asked;
        if let Some(outcome) = replica.answered(session, identity.slot()) {
            return self.reply(connection, id, crate::chat::decode_reply(&outcome).map(Answer::Done));
        }
        if fresh == reads::Fresh::Unknown {
            return self.wait_for_read(now, replica, connection, request.clone());
        }
        if fresh == reads::Fresh::Unconfirmed {
            let refusal = self.no_leader(now);
            return self.reply(connection, id, Err(refusal));
        }
        let Some(account) = replica.machine().password_of(&UserRef::Id(user)) else {
            let wanted = replica.machine().settings().sign_in;
            return self.reply(connection, id, Err(Refusal::WrongSignIn { wanted }));
        };
        let checked = check(old).map_err(|_| Refusal::WrongPassword).and_then(|old| Ok((old, new.map(check).transpose()?)));
        let is = account.key;
        match checked {
            Err(refusal) => self.reply(connection, id, Err(refusal)),
            Ok((old, Some(new))) => {
                let then = Then::ChangeOld { session, identity, first_unacked, is, new };
                self.derive(Derivation { connection, id, then }, old, account.recipe);
            }
            Ok((old, None)) => {
                let then = Then::Delete { session, identity, first_unacked, is };
                self.derive(Derivation { connection, id, then }, old, account.recipe);
            }
        }
    }

    fn derive(&mut self, derivation: Derivation, password: Password, recipe: Recipe) {
        if self.derivations.len() >= MOST {
            let refusal = Refusal::Busy { retry_after_ms: 500 };
            return self.reply(derivation.connection, derivation.id, Err(refusal));
        }
        self.derivations_made += 1;
        self.derivations.insert(self.derivations_made, derivation);
        self.outputs.push_back(node::Output::Derive { id: self.derivations_made, password, recipe });
    }

    /// A password is derived.
    pub(crate) fn handle_derived(&mut self, now: Now, replica: &mut Replica<Chat>, id: u64, key: Key) {
        let Some(Derivation { connection, id, then }) = self.derivations.remove(&id) else { return };
        if !self.connections.contains_key(&connection) {
            return;
        }
        match then {
            Then::Register { credential, name, device, invite, recipe } => {
                let opening = Opening::Register { name, password: PasswordHash { recipe, key }, invite, device };
                self.open(now, replica, connection, id, credential, &opening);
            }
            Then::LogIn { is, .. } if is != Some(key) => self.reply(connection, id, Err(Refusal::WrongPassword)),
            Then::LogIn { credential, name, device, .. } => {
                self.open(now, replica, connection, id, credential, &Opening::LogIn { name, proof: key, device });
            }
            Then::ChangeOld { is, .. } | Then::Delete { is, .. } if is != key => {
                self.reply(connection, id, Err(Refusal::WrongPassword));
            }
            Then::ChangeOld { session, identity, first_unacked, new, .. } => {
                let request = match identity.slot() {
                    Slot::Number(number) => u128::from(number),
                    Slot::Key(key) => key,
                };
                let salt_of = Credential(session_bytes(session));
                let recipe = Recipe::new(self.passwords, &salt_of, request.wrapping_add(1));
                let then = Then::ChangeNew { session, identity, first_unacked, old: key, recipe };
                self.derive(Derivation { connection, id, then }, new, recipe);
            }
            Then::ChangeNew { session, identity, first_unacked, old, recipe } => {
                let command = Command::ChangePassword { old, new: PasswordHash { recipe, key } };
                self.submit(now, replica, connection, id, session, identity, first_unacked, &command);
            }
            Then::Delete { session, identity, first_unacked, .. } => {
                let command = Command::DeleteAccount { proof: Some(key) };
                self.submit(now, replica, connection, id, session, identity, first_unacked, &command);
            }
        }
    }

    pub(super) fn open(
        &mut self,
        now: Now,
        replica: &mut Replica<Chat>,
        connection: ConnectionId,
        id: u64,
        credential: Credential,
        opening: &Opening,
    ) {
        #[cfg(feature = "zoo")]
        if self.has(crate::zoo::Bug::DeviceLimitAtGateway)
            && let Opening::Name { name, .. } | Opening::LogIn { name, .. } = opening
            && let Err(refusal) = replica.machine().has_room_for_a_device(name)
        {
            return self.reply(connection, id, Err(refusal));
        }
        let submission = Submission::Open { credential, command: opening.encode() };
        self.take(now, replica, connection, id, RequestKey::Open(credential), submission);
    }
}

fn session_bytes(session: SessionId) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&session.0.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_long_enough_and_composed() {
        assert!(check(&Password("seven77".into())).is_err());
        assert!(check(&Password("ü".repeat(600))).is_err(), "too many bytes");
        let composed = check(&Password("pa\u{308}ssword".into())).unwrap();
        assert_eq!(composed.0, "p\u{e4}ssword");
    }
}
