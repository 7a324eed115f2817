//! Which server to be connected to.
//!
//! Without [`Choice`] a client that gives up a server takes the next one of the list. With it:
//! - One connection at a time. Of the present server the machine measures round trips of what is answered without waiting for others ([`Ask::Ping`], [`Ask::Load`], the latter
//!   every [`Choice::measure`]); of the others it asks the host for a short probe, one at a time, one every [`Choice::probe`] at most.
//! - A server's *figure*, in microseconds, is its smoothed round trip (an eighth of each new one, as in RFC 6298) and 100 for each thousandth of its load: a server that is
//!   full counts like one that is 100 ms farther away. Smaller is better.
//! - Without a choice no server has a figure and none is avoided: the next one of the list is taken.
//! - A server that fails (no connection, silence, no leader) is avoided for a pause that doubles with each failure in a row, drawn from its upper half. Giving up a server takes
//!   the best figure of those that are not avoided, then those that were never measured, in the order of the list; where all are avoided, the one whose pause ends first.
//! - A client moves for a better figure only if that was better by both [`Choice::gain_percent`] and [`Choice::gain`] at [`Choice::in_a_row`] probes in a row, after
//!   [`Choice::stay`] on the present server, and then after a drawn part of [`Choice::spread`], if it still is: the clients of one server do not leave together.

use super::*;

/// What a thousandth of load counts for, in microseconds.
const LOAD_WEIGHT: u64 = 100;

/// What is known of one server.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Server {
    /// Smoothed, in microseconds.
    round_trip: Option<u64>,
    load: u32,
    measured: Instant,
    /// In a row.
    failures: u32,
    avoided_until: Instant,
    /// Probes in a row at which it was clearly better than the present server.
    better: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Choosing {
    pub servers: Vec<Server>,
    /// Since when the present server has the session.
    since: Instant,
    measure_at: Instant,
    probe_at: Instant,
    /// The server that is being probed, and since when.
    probing: Option<(u32, Instant)>,
    /// The one that was probed last: they take turns.
    probed: u32,
    /// A move that is decided, unless it is no good any more by then.
    moving: Option<(u32, Instant)>,
    draws: u64,
}

impl Server {
    fn figure(&self) -> Option<u64> {
        self.round_trip.map(|round_trip| round_trip + u64::from(self.load) * LOAD_WEIGHT)
    }

    fn measured(&mut self, now: Instant, round_trip: Duration, load: Option<u32>) {
        let sample = round_trip.as_micros() as u64;
        self.round_trip = Some(self.round_trip.map_or(sample, |before| (before * 7 + sample) / 8));
        self.load = load.unwrap_or(self.load);
        self.measured = now;
    }
}

impl Choosing {
    pub fn new(servers: u32, now: Now) -> Choosing {
        let at = now.instant;
        Choosing {
            servers: (0..servers).map(|_| Server::default()).collect(),
            since: at,
            measure_at: at,
            probe_at: at,
            probing: None,
            probed: 0,
            moving: None,
            draws: 0,
        }
    }
}

impl Client {
    /// The list of servers has changed. `was`: for each of the new list its place in the old one. A present server that is gone is left; with an empty list nothing is done.
    pub fn set_servers(&mut self, now: Now, was: &[Option<u32>]) {
        self.now = now.instant;
        if was.is_empty() {
            return;
        }
        let place = |old: u32| was.iter().position(|was| *was == Some(old)).map(|new| new as u32);
        let kept = |was: &Option<u32>| was.and_then(|old| self.choosing.servers.get(old as usize)).copied().unwrap_or_default();
        self.choosing.servers = was.iter().map(kept).collect();
        self.config.servers = was.len() as u32;
        self.choosing.moving = self.choosing.moving.and_then(|(to, at)| Some((place(to)?, at)));
        self.choosing.probing = self.choosing.probing.and_then(|(of, since)| Some((place(of)?, since)));
        self.choosing.probed = place(self.choosing.probed).unwrap_or(0);
        self.search.iter_mut().for_each(|search| search.renumber(place));
        match place(self.server) {
            Some(new) => self.server = new,
            None => {
                self.server = was.len() as u32 - 1;
                if matches!(self.line, Line::Connecting { .. } | Line::Connected { .. }) {
                    self.outputs.push_back(Output::Disconnect);
                    self.leave(self.best(None));
                } else {
                    self.server = self.best(None);
                }
            }
        }
    }

    /// What a probe has found: the round trip of [`Ask::Load`] and its answer, or nothing.
    pub fn handle_probed(&mut self, now: Now, server: u32, found: Option<Probed>) {
        self.now = now.instant;
        let Some(choice) = self.config.timing.choice else { return };
        if self.choosing.probing.is_none_or(|(probing, _)| probing != server) {
            return;
        }
        self.choosing.probing = None;
        let Some(Probed { round_trip, permille }) = found else { return self.avoid(server) };
        let Some(known) = self.choosing.servers.get_mut(server as usize) else { return };
        known.measured(now.instant, round_trip, Some(permille));
        known.failures = 0;
        known.avoided_until = now.instant;
        let better = self.is_clearly_better(server);
        let known = &mut self.choosing.servers[server as usize];
        known.better = if better { known.better.saturating_add(1) } else { 0 };
        let has_stayed = now.instant >= self.choosing.since + choice.stay;
        if known.better >= choice.in_a_row && has_stayed && self.choosing.moving.is_none() {
            let most = choice.spread.as_micros() as u64;
            let after = Duration::from_micros(self.choice_draw(0, most));
            self.choosing.moving = Some((server, now.instant + after));
        }
    }

    /// The present server has answered something without waiting for others.
    pub(super) fn measured(&mut self, round_trip: Duration, load: Option<u32>) {
        let now = self.now;
        if let Some(known) = self.choosing.servers.get_mut(self.server as usize).filter(|_| self.config.timing.choice.is_some()) {
            known.measured(now, round_trip, load);
        }
    }

    /// The session is on the present server.
    pub(super) fn settled_down(&mut self) {
        let Some(choice) = self.config.timing.choice else { return };
        self.choosing.since = self.now;
        self.choosing.measure_at = self.now;
        self.choosing.moving = None;
        for server in &mut self.choosing.servers {
            server.better = 0;
        }
        let most = choice.probe.as_micros() as u64;
        self.choosing.probe_at = self.now + Duration::from_micros(self.choice_draw(most / 2, most));
    }

    /// The present server has done something for this client.
    pub(super) fn is_of_use(&mut self) {
        if let Some(known) = self.choosing.servers.get_mut(self.server as usize) {
            known.failures = 0;
        }
    }

    /// Where to go when the present server is given up.
    pub(super) fn after_failure(&mut self) -> u32 {
        let given_up = self.server;
        self.avoid(given_up);
        self.best(Some(given_up))
    }

    fn avoid(&mut self, server: u32) {
        let Some(choice) = self.config.timing.choice else { return };
        let Some(known) = self.choosing.servers.get_mut(server as usize) else { return };
        known.better = 0;
        let pause = choice.avoid_min * 2u32.saturating_pow(known.failures.min(16));
        known.failures = known.failures.saturating_add(1);
        let most = pause.min(choice.avoid_max).as_micros() as u64;
        let pause = Duration::from_micros(self.choice_draw(most / 2, most));
        self.choosing.servers[server as usize].avoided_until = self.now + pause;
    }

    /// The best of those that are not avoided, in a search of those that it has not tried; the order of the list, from the one after the present, decides between equals.
    fn best(&self, given_up: Option<u32>) -> u32 {
        let count = self.config.servers.max(1);
        let place = |server: u32| {
            (
                self.choosing.servers.get(server as usize).copied().unwrap_or_default(),
                (server + count - given_up.map_or(0, |given_up| (given_up + 1) % count)) % count,
            )
        };
        let order = |server: &u32| {
            let (known, turn) = place(*server);
            let avoided = known.avoided_until > self.now;
            (
                self.rank_in_search(*server),
                avoided,
                if avoided { known.avoided_until.0 } else { known.figure().unwrap_or(u64::MAX) },
                turn,
            )
        };
        (0..count).min_by_key(order).unwrap_or(0)
    }

    fn is_clearly_better(&self, server: u32) -> bool {
        let Some(choice) = self.config.timing.choice else { return false };
        let figure = |server: u32| self.choosing.servers.get(server as usize).and_then(Server::figure);
        let Some((other, present)) = figure(server).zip(figure(self.server)) else { return false };
        let is_avoided = self.choosing.servers[server as usize].avoided_until > self.now;
        let gain = present.saturating_sub(other);
        !is_avoided && gain > choice.gain.as_micros() as u64 && gain * 100 > present * u64::from(choice.gain_percent)
    }

    /// What is due on a connection that has the session.
    pub(super) fn choose(&mut self) {
        let Some(choice) = self.config.timing.choice else { return };
        let now = self.now;
        if let Some((server, since)) = self.choosing.probing
            && now >= since + self.config.timing.patience
        {
            self.choosing.probing = None;
            self.avoid(server);
        }
        if self.line != (Line::Connected { signed_in: true }) {
            return;
        }
        if let Some((to, at)) = self.choosing.moving
            && now >= at
        {
            self.choosing.moving = None;
            if self.is_clearly_better(to) {
                self.outputs.push_back(Output::Disconnect);
                return self.leave(to);
            }
        }
        if now >= self.choosing.measure_at {
            self.choosing.measure_at = now + choice.measure;
            self.send(About::Load, Ask::Load);
        }
        if now >= self.choosing.probe_at && self.choosing.probing.is_none() {
            let most = choice.probe.as_micros() as u64;
            self.choosing.probe_at = now + Duration::from_micros(self.choice_draw(most / 2, most));
            self.probe_next();
        }
    }

    fn probe_next(&mut self) {
        let count = self.config.servers;
        let may = |server: &u32| {
            *server != self.server
                && self.choosing.servers.get(*server as usize).is_some_and(|known| known.avoided_until <= self.now)
        };
        let Some(server) = (1..=count).map(|turn| (self.choosing.probed + turn) % count.max(1)).find(may) else { return };
        self.choosing.probed = server;
        self.choosing.probing = Some((server, self.now));
        self.outputs.push_back(Output::Probe { server });
    }

    /// When [`Client::choose`] has something to do.
    pub(super) fn choose_at(&self) -> Option<Instant> {
        self.config.timing.choice?;
        let choosing = &self.choosing;
        let probing = choosing.probing.map(|(_, since)| since + self.config.timing.patience);
        let next = probing.is_none().then_some(choosing.probe_at);
        let moving = choosing.moving.map(|(_, at)| at);
        [probing, next, moving, Some(choosing.measure_at)].into_iter().flatten().min()
    }

    fn choice_draw(&mut self, from: u64, to: u64) -> u64 {
        self.choosing.draws += 1;
        let who = self.config.token.0.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
        within(draw(self.config.seed, Purpose::ClientServer, who, 0, self.choosing.draws), from, to)
    }
}
