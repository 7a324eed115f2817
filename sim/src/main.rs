//! The `sim` command. See [`tertulia_sim::cli`].

/// A run of the fast engine is mostly small allocations: the C library's allocator took a sixth of its time (docs/BENCHMARKS.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    tertulia_sim::cli::main()
}
