//! Users and their devices: who signs in, from how many devices, and who is let go.

use super::password::{Key, PasswordHash};
use super::rows::{Device, InviteRow, Standing, Sweep, User, device_key, invite_key, standing_key, user_key, user_sweep_key};
use super::*;

/// The longest time that an invitation holds, in milliseconds: a year.
const LONGEST_INVITE: u64 = 366 * 24 * 3_600 * 1_000;

impl Chat {
    pub(super) fn sign_in(&mut self, at: &At, opening: Opening, effects: Fx) -> Result<(UserId, String), Refusal> {
        let settings = self.settings();
        let wrong = || Refusal::WrongSignIn { wanted: settings.sign_in };
        let with_password = matches!(settings.sign_in, SignIn::Accounts | SignIn::Invite);
        let (user, device, made) = match opening {
            Opening::Name { name, device } if !with_password => {
                names::check_name(&name, &self.limits)?;
                match self.user_by_name.first(&names::fold(&name)) {
                    // A name that was registered is not free for whoever comes when passwords are no longer asked for.
                    Some(user) if settings.sign_in == SignIn::Open => {
                        if self.users[&user].user.password.is_some() {
                            return Err(Refusal::NameTaken { name });
                        }
                        (user, device, None)
                    }
                    _ => {
                        let unique = settings.sign_in == SignIn::Open;
                        (self.next_user()?, device, Some((self.free_name(&name, unique)?, None, None)))
                    }
                }
            }
            Opening::Register { name, password, invite, device } if with_password => {
                names::check_name(&name, &self.limits)?;
                let name = self.free_name(&name, true)?;
                let code = self.good_invite(at, &settings, invite)?;
                (self.next_user()?, device, Some((name, Some(password), code)))
            }
            Opening::LogIn { name, proof, device } if with_password => {
                let user = self.user_by_name.first(&names::fold(&name)).ok_or(Refusal::WrongPassword)?;
                if self.users[&user].user.password.is_none_or(|password| password.key != proof) {
                    return Err(Refusal::WrongPassword);
                }
                (user, device, None)
            }
            _ => return Err(wrong()),
        };
        if !device.is_empty() {
            names::check_name(&device, &self.limits)?;
        }
        let limit = settings.devices;
        #[cfg(feature = "zoo")]
        let limit = if self.bug == Some(crate::zoo::Bug::DeviceLimitAtGateway) { 0 } else { limit };
        self.device_is_free(user, limit)?;
        if let Some((name, password, code)) = made {
            let admin = with_password && !self.users.values().any(|known| known.user.admin);
            let new = User { name, password, admin, created: at.at, ..User::default() };
            self.old_forms.write(effects, user_key(user), None, Some(&new));
            self.hold_user(user, new);
            if let Some((code, invite)) = code {
                self.old_forms.write(effects, invite_key(&code), Some(&invite), None);
                self.invites.remove(&code);
            }
        }
        let new = Device { user, name: device, opened: at.at, seen: at.at };
        self.old_forms.write(effects, device_key(at.session), None, Some(&new));
        self.hold_device(at.session, new);
        Ok((user, self.users[&user].user.name.clone()))
    }

    /// The name as it is kept, if nobody has it or one that looks like it.
    fn free_name(&self, name: &str, unique: bool) -> Result<String, Refusal> {
        let name = Name::of(name);
        if unique && self.user_by_name.first(&name.folded).is_some() {
            return Err(Refusal::NameTaken { name: name.shown });
        }
        match self.user_by_looks.first(&name.looks) {
            Some(other) if unique => Err(Refusal::LooksLike { name: self.users[&other].user.name.clone() }),
            _ => Ok(name.shown),
        }
    }

    fn next_user(&self) -> Result<UserId, Refusal> {
        if self.users.len() >= self.limits.users as usize {
            return Err(Refusal::Full { what: "users".into(), limit: self.limits.users });
        }
        Ok(UserId(self.users.last_key_value().map_or(1, |(last, _)| last.0 + 1)))
    }

    /// What a gateway with a bug asks before it proposes.
    #[cfg(feature = "zoo")]
    pub(crate) fn has_room_for_a_device(&self, name: &str) -> Result<(), Refusal> {
        let user = self.user_by_name.first(&names::fold(name));
        user.map_or(Ok(()), |user| self.device_is_free(user, self.settings().devices))
    }

    fn device_is_free(&self, user: UserId, limit: u32) -> Result<(), Refusal> {
        let on = self.devices_of.get(&user).map_or(0, BTreeSet::len);
        if limit == 0 || on < limit as usize {
            return Ok(());
        }
        Err(Refusal::TooManyDevices { limit, devices: self.devices(user) })
    }

    /// The invitation that a registration uses up, if it needs one.
    fn good_invite(
        &self,
        at: &At,
        settings: &Settings,
        code: Option<[u8; 32]>,
    ) -> Result<Option<([u8; 32], InviteRow)>, Refusal> {
        if settings.sign_in != SignIn::Invite || self.users.is_empty() {
            return Ok(None);
        }
        let code = code.ok_or(Refusal::WrongInvite)?;
        match self.invites.get(&code) {
            Some(invite) if invite.until >= at.at => Ok(Some((code, *invite))),
            _ => Err(Refusal::WrongInvite),
        }
    }

    pub(super) fn make_invite(
        &mut self,
        at: &At,
        user: UserId,
        code: [u8; 32],
        for_ms: u64,
        effects: Fx,
    ) -> Result<Done, Refusal> {
        // What has expired makes room first.
        let old: Vec<[u8; 32]> = self.invites.iter().filter(|(_, invite)| invite.until < at.at).map(|(code, _)| *code).collect();
        let again = self.invites.get(&code).is_some_and(|invite| invite.until >= at.at);
        if !again && self.invites.len() - old.len() >= self.limits.invites as usize {
            return Err(Refusal::Full { what: "invitations".into(), limit: self.limits.invites });
        }
        for code in old {
            self.drop_invite(&code, effects);
        }
        let invite = InviteRow { by: user, until: at.at.after_ms(for_ms.min(LONGEST_INVITE)) };
        self.old_forms.write(effects, invite_key(&code), self.invites.get(&code), Some(&invite));
        self.invites.insert(code, invite);
        Ok(Done::Ok)
    }

    pub(super) fn revoke_invite(&mut self, user: UserId, code: &[u8; 32], effects: Fx) -> Result<Done, Refusal> {
        match self.invites.get(code) {
            Some(invite) if invite.by != user => self.needs_admin(user)?,
            _ => {}
        }
        self.drop_invite(code, effects);
        Ok(Done::Ok)
    }

    fn drop_invite(&mut self, code: &[u8; 32], effects: Fx) {
        if let Some(invite) = self.invites.remove(code) {
            self.old_forms.write(effects, invite_key(code), Some(&invite), None);
        }
    }

    pub(super) fn set_display_name(&mut self, user: UserId, name: &str, effects: Fx) -> Result<Done, Refusal> {
        let display = Name::of(name).shown;
        self.change_user(user, effects, |user| user.display = display);
        Ok(Done::Ok)
    }

    pub(super) fn name_device(&mut self, session: SessionId, name: &str, effects: Fx) -> Result<Done, Refusal> {
        self.change_device(session, effects, |device| device.name = name.into());
        Ok(Done::Ok)
    }

    pub(super) fn change_device(&mut self, session: SessionId, effects: Fx, change: impl FnOnce(&mut Device)) {
        let Some(device) = self.devices.get(&session) else { return };
        let mut new = device.clone();
        change(&mut new);
        self.old_forms.write(effects, device_key(session), Some(device), Some(&new));
        self.hold_device(session, new);
    }

    fn change_user(&mut self, id: UserId, effects: Fx, change: impl FnOnce(&mut User)) {
        let Some(known) = self.users.get(&id) else { return };
        let mut new = known.user.clone();
        change(&mut new);
        self.old_forms.write(effects, user_key(id), Some(&known.user), Some(&new));
        self.hold_user(id, new);
    }

    pub(super) fn log_out(&mut self, this: SessionId, user: UserId, devices: Devices, effects: Fx) -> Result<Done, Refusal> {
        let mine = self.devices_of.get(&user).cloned().unwrap_or_default();
        let closed: Vec<SessionId> = match devices {
            Devices::This => Vec::from([this]),
            Devices::One(session) if mine.contains(&session) => Vec::from([session]),
            Devices::One(_) => return Err(Refusal::UnknownDevice),
            Devices::Others => mine.into_iter().filter(|session| *session != this).collect(),
            Devices::All => mine.into_iter().collect(),
        };
        for session in closed {
            self.close(session, Ending::LoggedOut, effects);
        }
        Ok(Done::Ok)
    }

    /// A device is signed in no more.
    pub(super) fn close(&mut self, session: SessionId, ending: Ending, effects: Fx) {
        let Some(device) = self.devices.remove(&session) else { return };
        self.by_seen.remove(&(device.seen, session));
        if let Some(devices) = self.devices_of.get_mut(&device.user) {
            devices.remove(&session);
            if devices.is_empty() {
                self.devices_of.remove(&device.user);
            }
        }
        self.old_forms.write(effects, device_key(session), Some(&device), None);
        effects.close(session, ending);
        effects.publish(ChatEvent::Closed { session, user: device.user });
    }

    pub(super) fn change_password(
        &mut self,
        this: SessionId,
        user: UserId,
        old: Key,
        new: PasswordHash,
        effects: Fx,
    ) -> Result<Done, Refusal> {
        self.is_password_of(user, old)?;
        self.change_user(user, effects, |user| user.password = Some(new));
        self.log_out(this, user, Devices::Others, effects)
    }

    fn is_password_of(&self, user: UserId, proof: Key) -> Result<(), Refusal> {
        match self.users.get(&user).and_then(|known| known.user.password) {
            Some(password) if password.key == proof => Ok(()),
            Some(_) => Err(Refusal::WrongPassword),
            None => Err(Refusal::WrongSignIn { wanted: self.settings().sign_in }),
        }
    }

    /// The name becomes free, devices are logged out, rooms are left; what was written goes or stays as the cluster says.
    pub(super) fn delete_account(&mut self, at: &At, user: UserId, proof: Option<Key>, effects: Fx) -> Result<Done, Refusal> {
        match proof {
            Some(proof) => self.is_password_of(user, proof)?,
            None if self.users[&user].user.password.is_some() => return Err(Refusal::WrongPassword),
            None => {}
        }
        // A cluster without an administrator takes whoever registers next for one. Whoever is alone in it may go all the same.
        let others = || self.users.iter().any(|(other, known)| *other != user && known.user.password.is_some());
        if self.is_last_admin(user) && others() {
            return Err(last_admin());
        }
        for room in self.rooms_of.get(&user).cloned().unwrap_or_default() {
            self.depart(at, room, user, user, Change::Left { user }, effects);
        }
        for room in self.invited_to.get(&user).cloned().unwrap_or_default() {
            self.change_standing(room, user, effects, |standing| standing.invited_by = None);
        }
        self.forget_relations(user, effects);
        let codes: Vec<[u8; 32]> = self.invites.iter().filter(|(_, invite)| invite.by == user).map(|(code, _)| *code).collect();
        for code in codes {
            self.drop_invite(&code, effects);
        }
        let erased = self.settings().erase;
        self.change_user(user, effects, |user| {
            *user = User { created: user.created, deleted: true, erased, ..User::default() };
        });
        if erased && let Some(first) = self.rooms.keys().next() {
            let sweep = Sweep::User { room: *first, from: 1 };
            self.old_forms.write(effects, user_sweep_key(user), None, Some(&sweep));
            self.user_sweeps.insert(user, sweep);
        }
        for session in self.devices_of.get(&user).cloned().unwrap_or_default() {
            self.close(session, Ending::LoggedOut, effects);
        }
        Ok(Done::Ok)
    }

    pub(super) fn change_standing(&mut self, room: RoomId, user: UserId, effects: Fx, change: impl FnOnce(&mut Standing)) {
        let Some(found) = self.rooms.get(&room) else { return };
        let old = found.standings.get(&user);
        let mut new = old.cloned().unwrap_or_default();
        change(&mut new);
        let kept = (new != Standing::default()).then_some(&new);
        self.old_forms.write(effects, standing_key(room, user), old, kept);
        self.hold_standing(room, user, new);
    }

    pub(super) fn needs_admin(&self, user: UserId) -> Result<(), Refusal> {
        if self.is_admin(user) { Ok(()) } else { Err(Refusal::NotAllowed { needs: Needs::Admin }) }
    }

    pub(super) fn is_admin(&self, user: UserId) -> bool {
        self.users.get(&user).is_some_and(|known| known.user.admin)
    }

    pub(super) fn set_admin(&mut self, user: UserId, other: &UserRef, on: bool, effects: Fx) -> Result<Done, Refusal> {
        self.needs_admin(user)?;
        let other = self.find_user(other)?;
        if !on && self.is_last_admin(other) {
            return Err(last_admin());
        }
        self.change_user(other, effects, |user| user.admin = on);
        Ok(Done::Ok)
    }

    fn is_last_admin(&self, user: UserId) -> bool {
        self.is_admin(user) && !self.users.iter().any(|(other, known)| *other != user && known.user.admin)
    }
}

fn last_admin() -> Refusal {
    Refusal::BadRequest { why: "the cluster needs an administrator: make somebody else one first".into() }
}
