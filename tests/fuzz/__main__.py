"""Fuzz every target for a while: `python -m tests.fuzz --seconds 60 [TARGET…]`. Exits with 1 where one falls over.

libFuzzer takes over the process it runs in, so each target has one of its own. What made a target fall over is kept
and named; it belongs into a table of tests as a row, with the mend.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.targets import SEEDS, TARGETS

LONGEST = 4096
"""Bytes of an input."""


def main() -> int:
    """Fuzz one target here, or each in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} (default: all)")
    parser.add_argument("--seconds", type=int, default=60, help="how long for each target (default: 60)")
    parser.add_argument("--here", metavar="FOLDER", help=argparse.SUPPRESS)
    given = parser.parse_args()
    unknown = set(given.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if given.here:
        return fuzz(given.targets[0], given.seconds, Path(given.here))
    failed = [name for name in given.targets or TARGETS if not survives(name, given.seconds)]
    print(f"fell over: {', '.join(failed)}" if failed else "nothing found")
    return 1 if failed else 0


def survives(name: str, seconds: int) -> bool:
    """Whether a target lasts so long."""
    folder = Path(tempfile.mkdtemp(prefix=f"podpin-fuzz-{name}-"))
    for number, seed in enumerate(SEEDS[name]):
        (folder / f"seed-{number}").write_bytes(seed)
    print(f"fuzzing {name} for {seconds} s", flush=True)
    command = [sys.executable, "-m", "tests.fuzz", name, "--seconds", str(seconds), "--here", str(folder)]
    ran = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    done = [line for line in ran.stdout.splitlines() if line.startswith("Done ")]
    if ran.returncode == 0 and done:
        print(f"  {done[-1]}")
        return True
    print(ran.stdout[-4000:])
    return False


def fuzz(name: str, seconds: int, folder: Path) -> int:
    """Hand this process over to libFuzzer."""
    import atheris  # installed by `make fuzz` alone

    atheris.instrument_all()
    options = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-artifact_prefix={folder}/crash-", str(folder)]
    atheris.Setup([sys.argv[0], *options], TARGETS[name])
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
