//! Faults of clients: whose connections break, who is cut off from which nodes, who reads slowly.

use super::conditions::ReaderKind;
use super::effects::{Begun, Effect, Occurrence};
use super::targets::{Pick, names};
use super::{Action, Draw, FaultPlan, Step};
use crate::scenario::{Clients, Span, Target, Verb};
use crate::trace::digest;
use std::collections::BTreeSet;

/// From one storm of retries to the next, in microseconds: clients come back within 50 to 100 ms.
const BEAT: Span = Span::millis(80, 300);

/// Clients, counted from 0.
pub(super) type ClientSet = BTreeSet<u32>;

impl FaultPlan {
    /// What a fault of clients does at once; `None` when nobody is hit.
    pub(super) fn begin_clients(&mut self, what: &Occurrence<'_>, verb: &Verb, pick: Pick<'_>) -> Option<Begun> {
        let break_all = |hit: &ClientSet| hit.iter().map(|client| Action::Disconnect { client: *client }).collect();
        Some(match verb {
            Verb::Disconnect { clients } => {
                let hit = self.hit(clients, pick)?;
                (None, break_all(&hit), format!("connections of {} break", told(&hit)))
            }
            Verb::RetryStorm { clients } => {
                let hit = self.hit(clients, pick)?;
                let actions = break_all(&hit);
                let told = format!("{} retry all at once", told(&hit));
                self.push(what.now + self.beat(what.fault, what.effect, what.now), Step::Beat { effect: what.effect });
                (Some(Effect::Storm(hit)), actions, told)
            }
            Verb::CutClients { clients, on } => {
                let (hit, on) = (self.hit(clients, pick)?, pick.all(on)?);
                let told = format!("{} cut off from {}", told(&hit), names(on));
                self.conditions.add_readers(what.effect, ReaderKind::Cut(on), hit);
                (Some(Effect::Clients), vec![Action::Clients], told)
            }
            Verb::SlowReader { clients, rate } => {
                let hit = self.hit(clients, pick)?;
                let told = match rate {
                    Some(rate) => format!("{} read {rate} bytes a second", told(&hit)),
                    None => format!("{} read nothing", told(&hit)),
                };
                self.conditions.add_readers(what.effect, ReaderKind::Slow(*rate), hit);
                (Some(Effect::Clients), vec![Action::Clients], told)
            }
            _ => return None,
        })
    }

    /// The next time that all clients of a storm lose their connections.
    pub(super) fn storm_again(&mut self, now: u64, effect: u64) -> Vec<Action> {
        let Some((fault, Effect::Storm(hit))) = self.effects.get(&effect) else { return Vec::new() };
        let (fault, actions) = (*fault, hit.iter().map(|client| Action::Disconnect { client: *client }).collect());
        self.push(now + self.beat(fault, effect, now), Step::Beat { effect });
        actions
    }

    fn beat(&self, fault: usize, effect: u64, now: u64) -> u64 {
        BEAT.pick(self.draw(fault, Draw::Beat, digest(&(effect, now)) as u32))
    }

    fn hit(&self, clients: &Clients, pick: Pick<'_>) -> Option<ClientSet> {
        let all = self.clients;
        let drawn = |count: u32| {
            let mut order: Vec<u32> = (0..all).collect();
            order.sort_by_key(|client| digest(&(pick.draw, "client", *client)));
            order.into_iter().take(count as usize).collect()
        };
        let hit: ClientSet = match clients {
            Clients::All => (0..all).collect(),
            Clients::Numbers(numbers) => numbers.iter().copied().collect(),
            Clients::Part(ppm) => drawn((u64::from(all) * u64::from(*ppm)).div_ceil(1_000_000) as u32),
            Clients::Drawn(count) => drawn(*count),
            Clients::At(targets) => self.connected_at(targets, pick)?,
        };
        (!hit.is_empty()).then_some(hit)
    }

    fn connected_at(&self, targets: &[Target], pick: Pick<'_>) -> Option<ClientSet> {
        let nodes = pick.all(targets)?;
        let there = |seat: &Option<usize>| seat.is_some_and(|node| nodes >> node & 1 == 1);
        Some((0..self.clients).zip(pick.view.seats).filter(|(_, seat)| there(seat)).map(|(client, _)| client).collect())
    }
}

fn told(hit: &ClientSet) -> String {
    let numbers: Vec<String> = hit.iter().take(6).map(|client| (client + 1).to_string()).collect();
    match hit.len() {
        1 => format!("client {}", numbers[0]),
        ..=6 => format!("clients {}", numbers.join(" ")),
        many => format!("{many} clients"),
    }
}
