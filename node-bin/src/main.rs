//! The binary `node`: a chat node, a whole cluster on one machine, and the terminal's clients.
#![forbid(unsafe_code)]

mod accept;
mod aside;
mod backup;
mod bench;
mod cli;
mod clock;
mod demo;
mod driven;
mod facts;
mod folder;
mod gate;
mod hex;
mod http;
mod join;
mod metrics;
mod operator;
mod peers;
mod rfc3339;
mod search;
mod secret;
mod serve;
mod settings;
mod terminal;
mod vitals;

use clap::Parser;
use cli::{Cli, Command};
use std::io::Write;
use std::process::ExitCode;
use terminal::Failed;
use tokio::runtime::Builder;

/// A node allocates much and frees it in another thread: batches, rows. The C library's allocator took a fifth of its time (docs/BENCHMARKS.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// From so many cores on a server's connections have threads of their own. With fewer, handing each message from thread to thread and back costs more
/// than the second core brings (docs/BENCHMARKS.md).
const CORES: usize = 4;

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn main() -> ExitCode {
    // Messages, tokens and what passwords are checked by: every file that is made is its owner's alone.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let command = Cli::parse().command.unwrap_or_else(|| Command::Demo(cli::Demo::default()));
    // Only a server can have work for several threads. A demo must not: its children end with the thread that started them.
    let runtime = match &command {
        Command::Serve(_) if cores() >= CORES => Builder::new_multi_thread().worker_threads(2).enable_all().build(),
        _ => Builder::new_current_thread().enable_all().build(),
    };
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(run(&command));
            // Reading standard input blocks a thread that nobody can wake.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(format!("cannot start: {error}").into()),
    };
    let Err(Failed { status, message }) = result else { return ExitCode::SUCCESS };
    let _ = writeln!(std::io::stderr(), "error: {message}");
    ExitCode::from(status)
}

async fn run(command: &Command) -> Result<(), Failed> {
    match command {
        Command::Send(args) => return terminal::send(args).await,
        Command::Tail(args) => return terminal::tail(args).await,
        Command::Chat(args) => return terminal::chat(args).await,
        _ => {}
    }
    let done = match command {
        Command::Serve(args) => serve::run(args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Status(args) => terminal::status(args).await,
        Command::Bench(args) => bench::run(args).await,
        Command::Add(args) => terminal::add(args).await,
        Command::Remove(args) => terminal::remove(args).await,
        Command::Transfer(args) => terminal::transfer(args).await,
        Command::Succession(args) => terminal::succession(args).await,
        Command::Settings(args) => terminal::settings(args).await,
        Command::Backup(args) => backup::backup(args).await,
        Command::Restore(args) => backup::restore(args),
        Command::Send(_) | Command::Tail(_) | Command::Chat(_) => Ok(()),
    };
    Ok(done?)
}

/// Prints a line. Whoever started a demo may not be reading any more: that is no reason to end it.
fn say(line: &str) -> bool {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
}

/// Prints a line for somebody who may have gone (`node tail … | head`): then there is nobody left to work for.
fn show(line: &str) {
    if !say(line) {
        std::process::exit(1);
    }
}

/// Waits until the process is to stop.
async fn stopped(stopping: &mut tokio::sync::watch::Receiver<bool>) {
    // An error says that whoever could tell is gone: that is a stop, too.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}
