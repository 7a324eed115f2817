//! Which scenarios can be played on real processes, and the one that is played when nobody names a file.

use crate::scenario::{Clock, DiskFate, Fault, Scenario, Template, Verb};
use std::fmt::Write as _;
use std::time::Duration;
use tertulia_protocol::contract::{Limits, Timing};
use tertulia_protocol::succession::SuccessionTiming;

/// The point that only a simulated run can tell: there the bounds of liveness are known exactly.
pub const OWED: &str = "progress.owed";

/// What can be done to processes and the links between them, and the keyword that asks for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// kill -9, and a restart.
    Kill,
    /// SIGSTOP, and SIGCONT.
    Stop,
    /// Links are cut: halves, one node, one way.
    Cut,
}

impl std::str::FromStr for Trouble {
    type Err = String;

    fn from_str(text: &str) -> Result<Trouble, String> {
        match text {
            "kill" => Ok(Trouble::Kill),
            "stop" => Ok(Trouble::Stop),
            "cut" => Ok(Trouble::Cut),
            other => Err(format!("\"{other}\" is none of kill, stop and cut")),
        }
    }
}

/// The scenario that follows from a few numbers; the seed draws when each fault fires and whom it hits.
#[derive(Clone, Debug)]
pub struct Plain {
    pub nodes: u64,
    pub lasts: Duration,
    pub clients: u64,
    /// Posts a second, of all clients together.
    pub rate: u64,
    pub troubles: Vec<Trouble>,
}

impl Plain {
    /// As a scenario file: it can be kept, changed and played again.
    pub fn text(&self) -> String {
        let lasts = self.lasts.as_millis();
        let mut text = format!(
            "schema = 1\nname = \"live\"\nabout = \"A live cluster under faults.\"\n\n[cluster]\nvoters = {}\nlinks = {{ default = \"0ms\" }}\n\n\
             [workload]\nclients = {}\nrooms = 2\nrate = \"{}/s\"\nstop = \"{lasts}ms\"\npages = \"1s..4s\"\npages_back = \"2s..6s\"\n",
            self.nodes, self.clients, self.rate
        );
        // Each comes for the first time before half the time is over.
        let mut fault = |id: &str, part: (u128, u128), what: &str| {
            let (from, to) = (lasts * part.0 / 100, lasts * part.1 / 100);
            let (short, long) = ((lasts / 60).clamp(200, 1_000), (lasts / 8).clamp(400, 4_000));
            let _ =
                write!(text, "\n[[fault]]\nid = \"{id}\"\nevery = \"{from}ms..{to}ms\"\n{what}\nfor = \"{short}ms..{long}ms\"\n");
        };
        for trouble in &self.troubles {
            match trouble {
                Trouble::Kill => {
                    fault("kill the leader", (12, 28), "crash = \"leader\"\ndisk = \"keep\"");
                    fault("kill one", (10, 30), "crash = \"random\"\ndisk = \"keep\"");
                }
                Trouble::Stop => {
                    fault("stop the leader", (15, 40), "pause = \"leader\"");
                    fault("stop one", (12, 35), "pause = \"random\"");
                }
                Trouble::Cut => {
                    fault("halves", (15, 40), "partition = \"halves\"");
                    fault("the leader alone", (18, 45), "isolate = \"leader\"");
                    fault("one way", (18, 45), "one-way = [[\"random\"], [\"rest\"]]");
                }
            }
        }
        text.push_str("\n[expect]\nheal_within = \"60s\"\nmin_acked = 1\n");
        text
    }

    /// # Errors
    /// The numbers make no scenario.
    pub fn template(&self) -> Result<Template, String> {
        Template::parse("these arguments", &self.text()).map_err(|error| error.to_string())
    }
}

/// Whether real processes can play it.
///
/// # Errors
/// What they cannot do, by name.
pub fn check(scenario: &Scenario) -> Result<(), String> {
    let cluster = &scenario.cluster;
    let not = |what: &str, why: &str| Err(format!("{what}: {why}, so real processes cannot play this: use `sim run`"));
    if cluster.spares > 0 {
        return not("[cluster] spares", "a live run has no operators");
    }
    if cluster.timing != Timing::default() || cluster.succession_timing != SuccessionTiming::default() {
        return not("[cluster]", "`node serve` has its own timings");
    }
    if cluster.limits != Limits::default() {
        return not("[cluster]", "`node serve` has its own limits");
    }
    if scenario.chat != tertulia_protocol::chat::Settings::default() {
        return not("[chat]", "`node serve` founds its cluster by its own settings");
    }
    if cluster.clock != Clock::default() || !cluster.clocks.is_empty() {
        return not("[cluster] clocks", "all processes have this machine's clock");
    }
    if scenario.expect.members.is_some() || scenario.expect.voters.is_some() {
        return not("[expect]", "in a live run members do not change");
    }
    for fault in &scenario.faults {
        if let Some(why) = unplayable(fault) {
            return not(&format!("fault \"{}\" (line {})", fault.id, fault.line), why);
        }
    }
    Ok(())
}

/// What a live run leaves out of what a scenario says, as sentences.
pub fn left_out(scenario: &Scenario) -> Vec<String> {
    let mut out = Vec::new();
    if scenario.expect.reached.iter().any(|point| point == OWED) {
        out.push(format!("left out: the point \"{OWED}\", which only a simulated run can tell"));
    }
    let disk = (scenario.cluster.sync, scenario.cluster.sector);
    let plain = Scenario::parse(
        "",
        "schema = 1\nname = \"\"\n[cluster]\nvoters = 1\n[workload]\nclients = 1\nrate = \"1/s\"\nstop = \"1s\"\n",
    );
    if plain.is_ok_and(|plain| disk != (plain.cluster.sync, plain.cluster.sector)) {
        out.push("left out: [cluster] disk: the disks are this machine's".to_owned());
    }
    out
}

/// Why a fault cannot be done to real processes.
fn unplayable(fault: &Fault) -> Option<&'static str> {
    match &fault.verb {
        Verb::Crash { disk: DiskFate::Keep, rot: None, .. } => None,
        Verb::Crash { rot: Some(_), .. } => Some("`rot` would spoil a real disk's file"),
        Verb::Crash { .. } => Some("a process that is killed loses nothing that it wrote (only disk = \"keep\" can be had)"),
        Verb::Pause { .. } | Verb::Partition(_) | Verb::Reset { .. } | Verb::Links(_) | Verb::Delay { .. } => None,
        Verb::Disconnect { .. } | Verb::CutClients { .. } | Verb::SlowReader { .. } | Verb::RetryStorm { .. } => None,
        Verb::Loss { .. } => Some("`loss` of single messages is not to be had of TCP"),
        Verb::Duplicate { .. } => Some("`duplicate` is not to be had of TCP"),
        Verb::Reorder { .. } => Some("`reorder` is not to be had of TCP"),
        Verb::Clog { .. } => Some("`clog` is not done to real links"),
        Verb::Stall { .. } => Some("`stall` needs a simulated disk"),
        Verb::SlowDisk { .. } => Some("`slow-disk` needs a simulated disk"),
        Verb::BreakDisk { .. } => Some("a disk that fails (full, failing, misread) has to be a simulated one"),
        Verb::Operator(_) => Some("transfer, remove, replace, add and voters need an operator, and a live run has none"),
        Verb::Skew { .. } | Verb::Drift { .. } | Verb::Jump { .. } => Some("skew, drift and jump need clocks of one's own"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_arguments_the_scenario_can_be_played() {
        for (nodes, seconds, troubles) in
            [(3, 5, vec![Trouble::Kill, Trouble::Stop, Trouble::Cut]), (5, 3_600, vec![Trouble::Cut]), (1, 30, vec![])]
        {
            let plain = Plain { nodes, lasts: Duration::from_secs(seconds), clients: 2, rate: 10, troubles };
            let scenario = plain.template().unwrap().scenario(7).unwrap();
            check(&scenario).unwrap();
            assert_eq!(scenario.workload.stop, seconds * 1_000_000);
        }
    }

    #[test]
    fn the_files_that_the_document_names_can_be_played() {
        for name in ["bridge", "cut-clients", "one-way", "partition-halves", "ring-of-majorities"] {
            let file = format!("{}/../scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
            check(&Template::load(&file).unwrap().scenario(0).unwrap()).unwrap();
        }
    }

    #[test]
    fn what_is_left_out_is_said() {
        let head = "schema = 1\nname = \"x\"\n[workload]\nclients = 1\nrate = \"1/s\"\nstop = \"9s\"\n[cluster]\nvoters = 3\n";
        let said = |more: &str| left_out(&Scenario::parse("x", &format!("{head}{more}")).unwrap()).join("\n");
        assert_eq!(said(""), "");
        assert!(said("disk = { sync = \"99ms\" }\n").contains("[cluster] disk"));
        assert!(said("[expect]\nreached = [\"progress.owed\"]\n").contains("\"progress.owed\""));
    }

    #[test]
    fn what_real_processes_cannot_do_is_refused_by_name() {
        let head = "schema = 1\nname = \"x\"\n[workload]\nclients = 1\nrate = \"1/s\"\nstop = \"9s\"\n";
        let refusal = |cluster: &str, fault: &str| {
            let text =
                format!("{head}[cluster]\nvoters = 3\n{cluster}\n[[fault]]\nid = \"it\"\nat = \"1s\"\nfor = \"1s\"\n{fault}\n");
            check(&Scenario::parse("x", &text).unwrap()).err()
        };
        assert_eq!(refusal("", "crash = \"leader\"\ndisk = \"keep\""), None);
        for (cluster, fault, named) in [
            ("", "loss = \"5%\"", "): `loss` of single messages"),
            ("", "crash = \"leader\"\ndisk = \"torn\"", "disk = \"keep\""),
            ("heartbeat = \"20ms\"", "pause = \"leader\"", "timings"),
            ("clocks = { n1 = { skew = \"1s\" } }", "pause = \"leader\"", "[cluster] clocks"),
        ] {
            let told = refusal(cluster, fault).unwrap_or_default();
            assert!(told.contains(named), "{told}");
        }
    }
}
