#!/usr/bin/env bash
# What is too long for the gate: a sweep of so many seeds of everything, a million clean seeds, a wider small scope, the zoo and what each bug of it needs.
# scripts/nightly.sh [hours for the sweep] [folder for the results]
set -euo pipefail
cd "$(dirname "$0")/.."
hours=${1:-4} out=${2:-nightly}
mkdir -p "$out"

cargo sim hunt --for "${hours}h" --keep-going --allow-vacuous 10% --require-points --out "$out/fast" | tee "$out/fast.txt"
cargo sim hunt --for "${hours}h" --keep-going --allow-vacuous 34% --engine turmoil --out "$out/turmoil" | tee "$out/turmoil.txt"
cargo sim hunt scenarios/clean.toml --seeds 1000000 --keep-going --allow-vacuous 2% --out "$out/clean" | tee "$out/clean.txt"
cargo sim explore --depth 12 --for 2h | tee "$out/explore.txt"
cargo sim explore --depth 12 --commands 1 --crashes 2 --silences 3 --for 2h | tee -a "$out/explore.txt"
cargo sim zoo --ablate --json "$out/zoo.json" | tee "$out/zoo.txt"
cargo sim live --nodes 5 --for 30m | tee "$out/live.txt"
