//! One node of a demo as a child process. It cannot outlive the demo: it watches a pipe from it, and on Linux the kernel ends it too.

use super::plan::Plan;
use crate::driven::Wanted;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child as Process, ChildStdin, Command};
use tokio::time::timeout;

/// How long a node may take to end when it is asked to.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

pub struct Child {
    pub pid: u32,
    process: Process,
    /// Open for as long as the child may live. Held apart from `process`, which closes its own when it waits.
    pipe: Option<ChildStdin>,
}

impl Child {
    /// `wanted`: what is done to it from its beginning.
    pub fn spawn(plan: &Plan, node: u16, wanted: &Wanted) -> Result<Child, String> {
        let fail = |what: &str, error: std::io::Error| format!("cannot {what} of node {node}: {error}");
        let log =
            OpenOptions::new().create(true).append(true).open(plan.log(node)).map_err(|error| fail("open the log", error))?;
        let errors = log.try_clone().map_err(|error| fail("open the log", error))?;
        let binary = std::env::current_exe().map_err(|error| fail("find the program", error))?;
        // A program that was replaced while it runs is still there, without a name: its nodes are to be of one version.
        let binary = if binary.exists() { binary } else { "/proc/self/exe".into() };
        let mut process = Command::new(binary)
            .args(plan.arguments(node, wanted))
            .arg("--exit-with-stdin")
            .stdin(Stdio::piped())
            .stdout(Stdio::from(log))
            .stderr(Stdio::from(errors))
            // A terminal's Ctrl-C is for the demo, which then ends its children itself.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| fail("start the process", error))?;
        let pid = process.id().ok_or_else(|| format!("node {node} ended at once: see {}", plan.log(node).display()))?;
        let pipe = process.stdin.take();
        Ok(Child { pid, process, pipe })
    }

    /// Waits until the process ends by itself.
    pub async fn ended(&mut self) -> String {
        match self.process.wait().await {
            Ok(status) => describe(status),
            Err(error) => format!("ended, and the system does not say how: {error}"),
        }
    }

    /// Lets the process stand still, or go on.
    ///
    /// # Errors
    /// It has ended, or the system does not let us.
    pub fn pause(&mut self, pauses: bool) -> Result<(), String> {
        // While nobody has waited for its end, the number is not another process's.
        let pid = self.process.id().and_then(|id| Pid::from_raw(id as i32)).ok_or("the process has ended")?;
        let signal = if pauses { Signal::STOP } else { Signal::CONT };
        kill_process(pid, signal).map_err(|error| format!("the process takes no signal: {error}"))
    }

    /// kill -9. Returns how it ended.
    pub async fn kill(&mut self) -> String {
        // It may have ended just now.
        let _ = self.process.start_kill();
        self.ended().await
    }

    /// Ends the process, by force if it must be. It is asked by the end of its pipe and not by a signal: all nodes of a demo stop at once, and a leader
    /// that was asked by a signal would hand over first, to a node that is about to stop.
    pub async fn stop(mut self) {
        // One that stands still would not see the end of its pipe.
        let _ = self.pause(false);
        drop(self.pipe.take());
        if timeout(STOP_PATIENCE, self.process.wait()).await.is_err() {
            let _ = self.process.kill().await;
        }
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(9)) => "was killed (SIGKILL)".into(),
        (None, Some(15)) => "was ended (SIGTERM)".into(),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".into(),
    }
}

/// The last line of a log that says anything.
pub fn last_line(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(4_096))).ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.chars().take(400).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_a_log_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        assert_eq!(last_line(&path), None);
        std::fs::write(&path, format!("{}\nerror: the disk is full\n\n", "x".repeat(9_000))).unwrap();
        assert_eq!(last_line(&path).unwrap(), "error: the disk is full");
    }

    #[test]
    fn an_end_is_told_in_words() {
        assert_eq!(describe(ExitStatus::from_raw(9)), "was killed (SIGKILL)");
        assert_eq!(describe(ExitStatus::from_raw(3 << 8)), "ended with status 3");
    }
}
