//! A cluster of real processes whose links are cut by whoever types: for people who want to see a split, and for tests that need one.
//!
//! Nothing is recorded of clients and nothing is judged. Who keeps it reads one line for each line that was given, once that holds: so nobody has to sleep and hope.

use super::process::{Process, Recipe, free_ports};
use super::proxy;
use super::stage::{Stage, lock};
use crate::live::playable::Plain;
use crate::plan::FaultPlan;
use std::fs;
use std::io::BufRead;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tertulia_protocol::dice::Seed;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// What can be said.
pub const HELP: &str = "\
cut 1 2 | 3 4 5    nothing passes between the sides; who is not named is alone
heal               everything passes
kill 3             kill -9
start 3            starts a node that was killed, on its folder
stop 3             SIGSTOP: it stands still
go 3               SIGCONT
end                as does the end of the input";

/// How to begin.
pub struct Setup {
    pub nodes: usize,
    /// The binary `node`.
    pub node: PathBuf,
    /// A folder that is there and empty.
    pub dir: PathBuf,
    /// How people sign in, as `node serve --sign-in` takes it.
    pub sign_in: String,
}

/// Runs the cluster until the input ends. `tell` is given each line that is to be printed.
///
/// # Errors
/// It could not begin: no ports, no binary.
pub async fn hold(setup: Setup, input: impl BufRead + Send + 'static, tell: impl Fn(&str)) -> Result<(), String> {
    let mut ports = free_ports(2 * setup.nodes)?;
    let peer_ports = ports.split_off(setup.nodes);
    let no_ports = |error: std::io::Error| format!("no ports on loopback: {error}");
    let (listeners, proxies): (Vec<_>, Vec<_>) = proxy::bind(setup.nodes).await.map_err(no_ports)?.into_iter().unzip();
    let plain = Plain { nodes: setup.nodes as u64, lasts: Duration::from_secs(5), clients: 1, rate: 1, troubles: Vec::new() };
    let scenario = plain.template()?.scenario(0).map_err(|error| error.to_string())?;
    let conditions = FaultPlan::new(&scenario, Seed(0)).conditions().clone();
    let stage = Arc::new(Stage::new(&scenario, Seed(0), conditions, ports.clone(), peer_ports.clone()));
    let succession = scenario.cluster.policy().to_string();
    let Setup { node: binary, dir, sign_in, .. } = setup;
    let recipe = Recipe { binary, dir, client_ports: ports, peer_ports, proxies, succession, sign_in, bug: None };
    // Known to everybody: it guards nothing.
    fs::write(recipe.secret(), "7e".repeat(32)).map_err(|error| format!("{}: {error}", recipe.secret().display()))?;
    let mut links = JoinSet::new();
    links.spawn(proxy::run(Arc::clone(&stage), listeners));
    let mut held = Held { stage, processes: Vec::new(), recipe };
    for node in 0..setup.nodes {
        held.processes.push(Some(held.recipe.start(node)?));
        tell(&format!("node {}  http://127.0.0.1:{}", node + 1, held.recipe.client_ports[node]));
    }
    let mut lines = lines_of(input);
    while let Some(line) = lines.recv().await {
        match held.does(line.trim()) {
            Ok(true) => tell(&format!("ok {}", line.trim())),
            Ok(false) => break,
            Err(why) => tell(&format!("no: {why}")),
        }
    }
    Ok(())
}

/// Reading blocks, so it has a thread of its own, which ends with the input or the process.
fn lines_of(input: impl BufRead + Send + 'static) -> mpsc::UnboundedReceiver<String> {
    let (tell, lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || input.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
    lines
}

struct Held {
    stage: Arc<Stage>,
    recipe: Recipe,
    /// By node.
    processes: Vec<Option<Process>>,
}

impl Held {
    /// Whether to go on.
    fn does(&mut self, line: &str) -> Result<bool, String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "cut" => {
                let sides = sides(rest, self.processes.len())?;
                lock(&self.stage.conditions).part(&sides);
            }
            "heal" => lock(&self.stage.conditions).part(&vec![0; self.processes.len()]),
            "kill" => {
                // Dropped, it is killed and waited for.
                let node = self.node(rest)?;
                self.processes[node].take().ok_or("it does not run")?;
            }
            "start" => {
                let node = self.node(rest)?;
                if self.processes[node].is_none() {
                    self.processes[node] = Some(self.recipe.start(node)?);
                }
            }
            "stop" | "go" => {
                let node = self.node(rest)?;
                self.processes[node].as_ref().ok_or("it does not run")?.pause(word == "stop");
            }
            "end" => return Ok(false),
            _ => return Err(format!("there is no \"{word}\"; one can say\n{HELP}")),
        }
        Ok(true)
    }

    fn node(&self, text: &str) -> Result<usize, String> {
        number(text, self.processes.len())
    }
}

fn number(text: &str, nodes: usize) -> Result<usize, String> {
    let node: Option<usize> = text.trim().parse().ok().filter(|node| (1..=nodes).contains(node));
    node.map(|node| node - 1).ok_or_else(|| format!("\"{}\" is no node: they are 1 to {nodes}", text.trim()))
}

/// On which side of a cut each node is: `1 2 | 3 4 5`.
fn sides(text: &str, nodes: usize) -> Result<Vec<usize>, String> {
    // Behind all that are named.
    let mut sides: Vec<usize> = (nodes..2 * nodes).collect();
    for (side, group) in text.split('|').enumerate() {
        for word in group.split_whitespace() {
            let node = number(word, nodes)?;
            if sides[node] < nodes {
                return Err(format!("node {word} cannot be on two sides"));
            }
            sides[node] = side;
        }
    }
    Ok(sides)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_has_sides_and_who_is_not_named_is_alone() {
        assert_eq!(sides("1 2 | 3 4 5", 5), Ok(vec![0, 0, 1, 1, 1]));
        assert_eq!(sides("2", 3), Ok(vec![3, 0, 5]));
        assert!(sides("1 | 1", 3).unwrap_err().contains("two sides"));
        assert!(sides("4", 3).unwrap_err().contains("1 to 3"));
    }
}
