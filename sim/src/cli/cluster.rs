//! Keeps a cluster of real processes for whoever types: its links are cut and healed, its nodes killed and stopped, a line at a time.

use super::live::{binary, folder};
use crate::live::cluster::{HELP, Setup, hold};
use clap::Args;
use std::io::{BufReader, Write};
use std::path::PathBuf;

#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Cluster {
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=9))]
    nodes: u64,
    /// An empty or new folder for everything; it is kept. By default a temporary one
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The binary `node` [default: beside this program, or else target/release/node]
    #[arg(long, value_name = "PATH")]
    node: Option<PathBuf>,
    /// How people sign in: open, guests, accounts or invite (docs/API.md)
    #[arg(long, value_name = "HOW", default_value = "open", value_parser = ["open", "guests", "accounts", "invite"])]
    sign_in: String,
}

impl Cluster {
    pub(super) fn run(&self) -> Result<bool, String> {
        let node = binary(self.node.as_deref())?;
        let dir = folder(self.dir.clone(), &format!("cluster-{}", std::process::id()))?;
        // On this thread: the nodes end with the thread that started them.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
        let tell = |line: &str| {
            let mut out = std::io::stdout().lock();
            // Whoever does not read it does not want it.
            let _ = writeln!(out, "{line}").and_then(|()| out.flush());
        };
        let setup = Setup { nodes: self.nodes as usize, node, dir: dir.clone(), sign_in: self.sign_in.clone() };
        let held = runtime.block_on(hold(setup, BufReader::new(std::io::stdin()), tell));
        if self.dir.is_none() && held.is_ok() {
            let _ = std::fs::remove_dir_all(&dir);
        }
        held.map(|()| true)
    }
}
