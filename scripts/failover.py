#!/usr/bin/env python3
"""How long one writer waits when something happens to the leader.

    cargo build --release && scripts/failover.py KILL 10        (or TERM, STOP)

Starts a cluster of three on this machine (ports from 19081 on, data in a temporary folder), lets `node bench` write with one writer, sends the signal to
the leader in the midst of it, and prints the longest time between two acknowledgements. Median and maximum of all runs come last.
"""

import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

NODE = pathlib.Path(__file__).resolve().parent.parent / "target" / "release" / "node"
BASE = 19081


def cluster():
    """The cluster as some node sees it, once there is a leader."""
    for _ in range(200):
        for port in range(BASE, BASE + 3):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/cluster", timeout=1) as answer:
                    seen = json.load(answer)
                if seen["leader"]:
                    return seen
            except OSError:
                pass
        time.sleep(0.05)
    sys.exit("no leader after 10 s")


def run(what):
    """One cluster, one signal; the longest gap in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [NODE, "demo", "--http-base", str(BASE), "--data", f"{folder}/data", "--for", "60s"]
        demo = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        pids = {}
        try:
            while len(pids) < 3:
                line = demo.stdout.readline()
                if not line:
                    sys.exit("the demo ended: are the ports from 19081 on free?")
                words = line.split()
                if words and words[0] == "node" and "pid" in words:
                    pids[int(words[1])] = int(words[words.index("pid") + 1])
            cluster()
            servers = ",".join(f"127.0.0.1:{port}" for port in range(BASE, BASE + 3))
            arguments = [NODE, "bench", "--connect", servers, "--writers", "1", "--seconds", "4", "--warmup", "500ms", "--json"]
            bench = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
            time.sleep(2)
            leader = cluster()["leader"]
            os.kill(pids[leader], what)
            out, _ = bench.communicate(timeout=60)
            if what == signal.SIGSTOP:
                os.kill(pids[leader], signal.SIGCONT)
            return json.loads(out)["longest_gap_ms"]
        finally:
            demo.send_signal(signal.SIGINT)
            demo.wait()


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("KILL", "TERM", "STOP") or not sys.argv[2].isdigit():
        sys.exit(__doc__)
    gaps = []
    for _ in range(max(1, int(sys.argv[2]))):
        gaps.append(run(getattr(signal, "SIG" + sys.argv[1])))
        print(f"{gaps[-1]:.1f} ms", flush=True)
    print(f"SIG{sys.argv[1]}: median {statistics.median(gaps):.1f} ms, longest {max(gaps):.1f} ms")


main()
