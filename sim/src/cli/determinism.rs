//! Does a seed replay? Each is played by two processes of this program; what they say must be equal, real time aside.

use super::Check;
use std::process::Command;

/// Whether all seeds replay.
pub(super) fn check(check: &Check) -> Result<bool, String> {
    let mut different = 0u64;
    for seed in check.seeds.clone() {
        let (first, second) = (play(check, seed)?, play(check, seed)?);
        if first != second {
            different += 1;
            println!("seed {seed} differs:\n  {first}\n  {second}");
        }
    }
    let count = check.seeds.end - check.seeds.start;
    println!("seeds {}..{}: {} replay, {different} differ", check.seeds.start, check.seeds.end, count - different);
    Ok(different == 0)
}

/// Plays one seed in a child process: its last line without wall time and speed.
fn play(check: &Check, seed: u64) -> Result<String, String> {
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let mut command = Command::new(program);
    command.args(["run", &check.which.file, "--seed", &seed.to_string(), "--engine", check.which.engine.name()]);
    if let Some(bug) = &check.which.bug {
        command.args(["--bug", bug]);
    }
    let output = command.output().map_err(|error| format!("cannot start a process: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    match last.split_once(" wall=") {
        Some((before, _)) => Ok(before.to_owned()),
        None => Err(format!("seed {seed} was not played: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}
