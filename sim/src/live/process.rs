//! The nodes' processes. Each is started, stopped, killed and ended by its own id, and none outlives whoever started it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// How the nodes of one run are started.
pub struct Recipe {
    /// The binary `node`.
    pub binary: PathBuf,
    /// Where everything lies.
    pub dir: PathBuf,
    pub client_ports: Vec<u16>,
    pub peer_ports: Vec<u16>,
    /// What the members tell each other to dial.
    pub proxies: Vec<SocketAddr>,
    /// As `node serve --succession` takes it.
    pub succession: String,
    /// As `node serve --sign-in` takes it.
    pub sign_in: String,
    /// A known bug to run with, if the binary has the zoo.
    pub bug: Option<String>,
}

impl Recipe {
    pub fn secret(&self) -> PathBuf {
        self.dir.join("secret")
    }

    pub fn facts(&self, node: usize) -> PathBuf {
        self.dir.join(format!("n{}.jsonl", node + 1))
    }

    fn log(&self, node: usize) -> PathBuf {
        self.dir.join(format!("n{}.log", node + 1))
    }

    fn peers(&self) -> String {
        let peer = |node: usize| format!("{}={}=http://127.0.0.1:{}", node + 1, self.proxies[node], self.client_ports[node]);
        (0..self.proxies.len()).map(peer).collect::<Vec<_>>().join(",")
    }

    /// Starts a node, for the first time or again.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn start(&self, node: usize) -> Result<Process, String> {
        let fail = |error: std::io::Error| format!("cannot start n{} ({}): {error}", node + 1, self.binary.display());
        let log = OpenOptions::new().create(true).append(true).open(self.log(node)).map_err(fail)?;
        let mut command = Command::new(&self.binary);
        command
            .arg("serve")
            .args(["--id", &(node + 1).to_string(), "--peers", &self.peers()])
            .args(["--listen", &format!("127.0.0.1:{}", self.client_ports[node])])
            .args(["--peer-listen", &format!("127.0.0.1:{}", self.peer_ports[node])])
            .args(["--succession", &self.succession])
            .args(["--sign-in", &self.sign_in])
            .arg("--data")
            .arg(self.dir.join(format!("n{}", node + 1)))
            .arg("--secret-file")
            .arg(self.secret())
            .arg("--facts")
            .arg(self.facts(node))
            .arg("--exit-with-stdin");
        if let Some(bug) = &self.bug {
            command.args(["--bug", bug]);
        }
        // A terminal's Ctrl-C is for this process, which then ends the nodes itself.
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).process_group(0).spawn().map_err(fail)?;
        Ok(Process { child, log: self.log(node) })
    }
}

/// One process. Dropped, it is killed.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// kill -9. When this returns the process is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGSTOP, or SIGCONT.
    pub fn pause(&self, paused: bool) {
        let signal = if paused { rustix::process::Signal::STOP } else { rustix::process::Signal::CONT };
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            // It has not been waited for, so the id is its own.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// How it ended, if it did: with the last words of its log.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok()??;
        Some(format!("{status}; the last line of its log: {}", last_line(&self.log)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn last_line(path: &Path) -> String {
    let tail = || {
        let mut file = File::open(path).ok()?;
        let length = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(4_096))).ok()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
        Some(line.chars().take(400).collect::<String>())
    };
    tail().unwrap_or_else(|| "(it is empty)".to_owned())
}

/// Ports that are free just now, below those that the system gives away by itself: a node that is restarted finds its own one free again.
///
/// # Errors
/// There are none.
pub fn free_ports(count: usize) -> Result<Vec<u16>, String> {
    let begin = std::process::id() as u16 % 1_000 * 20;
    let candidates = (0..20_000).map(|step: u16| 11_000 + begin.wrapping_add(step) % 20_000);
    let free: Vec<u16> = candidates.filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).take(count).collect();
    if free.len() == count { Ok(free) } else { Err("there are no free ports on loopback".to_owned()) }
}
