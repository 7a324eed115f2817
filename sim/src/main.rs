//! The `sim` command. See [`tertulia_sim::cli`].

fn main() -> std::process::ExitCode {
    tertulia_sim::cli::main()
}
