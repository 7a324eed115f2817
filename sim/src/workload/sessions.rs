//! A client's sessions: how its user signs in, and what happens when one is over.
//!
//! The client machine signs in by a name alone; what else the scenario's cluster wants is put into its request here, on the way out, and what it does not know how to answer is
//! answered on the way in.

use super::chatter::{DRAWS, Deed, YARDS, Yard};
use super::script::{Actor, Submitted, begin, config};
use super::{now, user_name};
use crate::scenario::Span;
use tertulia_judge::ClientFact;
use tertulia_protocol::chat::password::Password;
use tertulia_protocol::chat::{Command, Refusal, SignIn};
use tertulia_protocol::dice::{Purpose, draw};
use tertulia_protocol::gateway::{Ask, How, Reply, Request, invite_hash};
use tertulia_protocol::ids::UserId;

/// When somebody whose session is over comes back.
const RETURN: Span = Span { from: 500_000, to: 2_000_000 };

impl Actor {
    /// A sign-in as the scenario has it: with a device's name, and a password where the cluster wants one.
    pub(super) fn as_scenario_signs_in(&mut self, mut request: Request) -> Request {
        let Ask::SignIn { name, token } = &request.ask else { return request };
        if !self.chat.on {
            return request;
        }
        self.chat.sign_in = Some(request.id);
        let password = || Password(format!("the password of {}", user_name(self.chat.user)));
        let how = match (self.chat.settings.sign_in, self.chat.registered) {
            (SignIn::Open | SignIn::Guests, _) => How::Name,
            (SignIn::Accounts | SignIn::Invite, true) => How::LogIn { password: password() },
            (SignIn::Accounts, false) => How::Register { password: password(), invite: None },
            (SignIn::Invite, false) => How::Register { password: password(), invite: Some(code_of(self.chat.user)) },
        };
        let device = format!("device {}", self.told_as());
        request.ask = Ask::SignInAs { name: name.clone(), token: *token, device, how };
        request
    }

    /// What the client machine is told: whoever finds that its account is there already, or that nobody has invited it yet, tries again.
    pub(super) fn as_client_is_told(&mut self, mut reply: Reply) -> Reply {
        if self.chat.sign_in != Some(reply.id) {
            return reply;
        }
        match &reply.result {
            Ok(_) => self.chat.registered = true,
            Err(Refusal::NameTaken { .. }) if !self.chat.registered => {
                self.chat.registered = true;
                reply.result = Err(Refusal::Busy { retry_after_ms: 10 });
            }
            Err(Refusal::WrongInvite) => reply.result = Err(Refusal::Busy { retry_after_ms: 300 }),
            Err(_) => {}
        }
        reply
    }

    pub(super) fn signed_in(&mut self, at: u64, user: UserId) {
        if !self.chat.on || self.chat.signed_in {
            return;
        }
        self.chat.signed_in = true;
        self.facts.push(ClientFact::SignedIn {
            client: self.told_as(),
            user,
            limit: self.chat.settings.devices,
            idle_ms: self.chat.settings.idle_ms,
        });
        if self.chat.settings.sign_in == SignIn::Invite {
            let (users, own) = (self.chat.users, self.chat.user);
            for other in (0..users).filter(|other| *other != own) {
                let command = Command::MakeInvite { code: invite_hash(&code_of(other)), for_ms: 3_600_000 };
                self.submit(now(at, 0), command, Submitted::Chat(Deed::Any));
            }
        }
    }

    /// The cluster will not have this session (any more).
    pub(super) fn rejected(&mut self, at: u64, refusal: Refusal) {
        let client = self.told_as();
        match refusal {
            Refusal::TooManyDevices { limit, devices } if self.chat.on => {
                self.facts.push(ClientFact::TooManyDevices { client, limit, devices: devices.len() as u32 });
            }
            Refusal::LoggedOut | Refusal::UnknownSession if self.chat.on => {
                self.facts.push(ClientFact::SignedOut { client, asked: self.chat.leaving });
            }
            refusal => return self.trouble(format!("was refused its session: {refusal}")),
        }
        self.give_up();
        self.screen_is_dark();
        let drawn = draw(self.seed, Purpose::Workload, u64::from(self.number), DRAWS - 1, self.chat.session.into());
        self.chat.returns = Some(at + RETURN.pick(drawn));
    }

    pub(super) fn return_as_new_device(&mut self, at: u64) {
        let chat = &mut self.chat;
        chat.session += 1;
        (chat.returns, chat.leaving, chat.signed_in, chat.sign_in) = (None, false, false, None);
        chat.mine.clear();
        chat.followed.clear();
        chat.lookups.clear();
        chat.yards = [Yard::default(); YARDS];
        self.questions.clear();
        for room in &mut self.rooms {
            (room.id, room.joined, room.last) = (None, None, 0);
        }
        self.config = config(self.seed, self.number, self.chat.servers, self.chat.user, self.chat.session);
        self.kept.clear();
        self.client = begin(self.config.clone(), self.restarts.is_some().then_some(&[]), now(at, 0));
        #[cfg(feature = "zoo")]
        self.client.set_bug(self.chat.bug);
        if self.chat.settings.sign_in == SignIn::Guests {
            self.chat.came = at;
        }
        self.make_rooms(at);
    }
}

fn code_of(user: u32) -> String {
    format!("the code of {}", user_name(user))
}
