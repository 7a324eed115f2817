//! Friends, and those one does not want to hear from.

use super::rows::{Relation, relation_key};
use super::*;

impl Chat {
    fn relation(&self, user: UserId, other: UserId) -> Relation {
        self.relations.get(&user).and_then(|of_user| of_user.get(&other)).copied().unwrap_or_default()
    }

    pub(super) fn friendship(&self, user: UserId, other: UserId) -> Friendship {
        self.relation(user, other).friendship
    }

    pub(super) fn has_blocked(&self, user: UserId, other: UserId) -> bool {
        self.relation(user, other).blocked
    }

    /// Whether one of the two has blocked the other.
    pub fn are_apart(&self, user: UserId, other: UserId) -> bool {
        self.has_blocked(user, other) || self.has_blocked(other, user)
    }

    fn other(&self, user: UserId, other: &UserRef) -> Result<UserId, Refusal> {
        let found = self.find_user(other)?;
        if found == user {
            return Err(Refusal::BadRequest { why: "this is yourself".into() });
        }
        Ok(found)
    }

    pub(super) fn befriend(&mut self, user: UserId, other: &UserRef, effects: Fx) -> Result<Done, Refusal> {
        let other = self.other(user, other)?;
        if self.are_apart(user, other) {
            return Err(Refusal::Blocked);
        }
        let (mine, theirs) = match self.friendship(user, other) {
            Friendship::Asked | Friendship::Friends => (Friendship::Friends, Friendship::Friends),
            Friendship::None | Friendship::Requested => (Friendship::Requested, Friendship::Asked),
        };
        for one in [user, other] {
            let of_one = self.relations.get(&one).into_iter().flatten();
            let known = of_one.filter(|(_, relation)| relation.friendship != Friendship::None).count();
            if known >= self.limits.friends as usize && self.friendship(user, other) == Friendship::None {
                return Err(Refusal::Full { what: "friends and requests for one user".into(), limit: self.limits.friends });
            }
        }
        self.make_friends(user, other, mine, theirs, effects);
        Ok(Done::Friend { user: other, friendship: mine })
    }

    pub(super) fn unfriend(&mut self, user: UserId, other: &UserRef, effects: Fx) -> Result<Done, Refusal> {
        let other = self.other(user, other)?;
        self.make_friends(user, other, Friendship::None, Friendship::None, effects);
        Ok(Done::Friend { user: other, friendship: Friendship::None })
    }

    pub(super) fn block(&mut self, user: UserId, other: &UserRef, on: bool, effects: Fx) -> Result<Done, Refusal> {
        let other = self.other(user, other)?;
        let known = self.relations.get(&user).map_or(0, BTreeMap::len);
        let limit = 2 * self.limits.friends;
        // Whoever is known takes no other place for being blocked.
        if on && known >= limit as usize && self.relation(user, other) == Relation::default() {
            return Err(Refusal::Full { what: "friends and blocked users of one user".into(), limit });
        }
        if on {
            self.make_friends(user, other, Friendship::None, Friendship::None, effects);
        }
        self.relate(user, other, effects, |relation| relation.blocked = on);
        Ok(Done::Friend { user: other, friendship: self.friendship(user, other) })
    }

    fn make_friends(&mut self, user: UserId, other: UserId, mine: Friendship, theirs: Friendship, effects: Fx) {
        if (self.friendship(user, other), self.friendship(other, user)) == (mine, theirs) {
            return;
        }
        for (one, two, friendship) in [(user, other, mine), (other, user, theirs)] {
            self.relate(one, two, effects, |relation| relation.friendship = friendship);
            let notice = Notice::Friendship { other: two, name: self.user_name(two).to_string(), friendship };
            effects.publish(ChatEvent::Notice { user: one, notice });
        }
    }

    fn relate(&mut self, user: UserId, other: UserId, effects: Fx, change: impl FnOnce(&mut Relation)) {
        let old = self.relations.get(&user).and_then(|of_user| of_user.get(&other)).copied();
        let mut new = old.unwrap_or_default();
        change(&mut new);
        let kept = (new != Relation::default()).then_some(&new);
        self.old_forms.write(effects, relation_key(user, other), old.as_ref(), kept);
        let of_user = self.relations.entry(user).or_default();
        match kept {
            Some(kept) => of_user.insert(other, *kept),
            None => of_user.remove(&other),
        };
        if of_user.is_empty() {
            self.relations.remove(&user);
        }
    }

    /// A deleted user is nobody's friend, and nobody needs to block it any more.
    pub(super) fn forget_relations(&mut self, user: UserId, effects: Fx) {
        let with: Vec<UserId> = self.relations.iter().filter(|(_, of)| of.contains_key(&user)).map(|(one, _)| *one).collect();
        for other in self.relations.get(&user).map(|of| of.keys().copied().collect::<Vec<_>>()).unwrap_or_default() {
            self.relate(user, other, effects, |relation| *relation = Relation::default());
        }
        for other in with {
            self.relate(other, user, effects, |relation| *relation = Relation::default());
        }
    }
}
