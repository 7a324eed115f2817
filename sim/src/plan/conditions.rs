//! What is wrong with the network just now: which ways are blocked, and what the weather does to messages. Both engines look here.

use super::{Nodes, Span};

/// What is wrong with the links just now.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    nodes: usize,
    /// By `from * nodes + to`: how many partitions block this way.
    blocked: Vec<u16>,
    pub(super) weather: Vec<Weather>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    pub effect: u64,
    pub kind: WeatherKind,
    pub on: Nodes,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum WeatherKind {
    Loss(u32),
    Delay(Span),
    Duplicate(u32),
}

impl std::fmt::Display for WeatherKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let percent = |ppm: &u32| f64::from(*ppm) / 10_000.0;
        match self {
            WeatherKind::Loss(ppm) => write!(f, "loss of {} %", percent(ppm)),
            WeatherKind::Duplicate(ppm) => write!(f, "doubling of {} %", percent(ppm)),
            WeatherKind::Delay(by) => write!(f, "delay by {} to {} ms", by.from / 1_000, by.to / 1_000),
        }
    }
}

impl Conditions {
    pub(super) fn new(nodes: usize) -> Conditions {
        Conditions { nodes, blocked: vec![0; nodes * nodes], weather: Vec::new() }
    }

    #[cfg(test)]
    pub(crate) fn for_tests(nodes: usize) -> Conditions {
        Conditions::new(nodes)
    }

    pub fn blocked(&self, from: usize, to: usize) -> bool {
        self.blocked[from * self.nodes + to] > 0
    }

    /// No loss, no extra delay, no duplicates anywhere.
    pub fn is_fair(&self) -> bool {
        self.weather.is_empty()
    }

    /// Loss and duplication in millionths, and the extra delays that apply to a message between these two.
    pub fn weather(&self, from: usize, to: usize) -> (u32, u32, impl Iterator<Item = Span> + '_) {
        let ends = (1 << from) | (1 << to);
        let here = self.weather.iter().filter(move |weather| weather.on & ends != 0);
        let (mut loss, mut duplicate) = (0u32, 0u32);
        for weather in here.clone() {
            match weather.kind {
                WeatherKind::Loss(ppm) => loss = loss.saturating_add(ppm),
                WeatherKind::Duplicate(ppm) => duplicate = duplicate.saturating_add(ppm),
                WeatherKind::Delay(_) => {}
            }
        }
        let delays = here.filter_map(|weather| match weather.kind {
            WeatherKind::Delay(by) => Some(by),
            _ => None,
        });
        (loss, duplicate, delays)
    }

    /// Adds (or takes away) the blocks between all groups.
    pub(super) fn block(&mut self, groups: &[Nodes], add: bool) {
        for from in 0..self.nodes {
            for to in 0..self.nodes {
                let apart = groups.iter().any(|a| a >> from & 1 == 1) && groups.iter().any(|b| b >> to & 1 == 1);
                if apart && !groups.iter().any(|group| group >> from & 1 == 1 && group >> to & 1 == 1) {
                    let count = &mut self.blocked[from * self.nodes + to];
                    *count = if add { *count + 1 } else { *count - 1 };
                }
            }
        }
    }
}
