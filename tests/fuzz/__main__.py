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

LONGEST = 4096
"""Bytes of an input."""


def main() -> int:
    """Fuzz each target in a process of its own."""
    if sys.argv[1:2] == ["--here"]:
        return fuzz(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} (default: all)")
    parser.add_argument("--seconds", type=int, default=60, help="how long for each target (default: 60)")
    given = parser.parse_args()
    unknown = set(given.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    failed = [name for name in given.targets or TARGETS if not survives(name, given.seconds)]
    print(f"fell over: {', '.join(failed)}" if failed else "nothing found")
    return 1 if failed else 0


def survives(name: str, seconds: int) -> bool:
    """Whether a target lasts so long."""
    from tests.fuzz.targets import SEEDS

    folder = Path(tempfile.mkdtemp(prefix=f"podpin-fuzz-{name}-"))
    for number, seed in enumerate(SEEDS[name]):
        (folder / f"seed-{number}").write_bytes(seed)
    print(f"fuzzing {name} for {seconds} s", flush=True)
    command = [sys.executable, "-m", "tests.fuzz", "--here", name, str(seconds), str(folder)]
    ran = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    done = [line for line in ran.stdout.splitlines() if line.startswith("Done ")]
    if ran.returncode == 0 and done:
        print(f"  {done[-1]}")
        return True
    print(ran.stdout[-4000:])
    return False


def fuzz(name: str, seconds: int, folder: Path) -> int:
    """Hand this process over to libFuzzer, which is to see the branches of podpin's own code alone."""
    import atheris  # installed by `make fuzz` alone

    with atheris.instrument_imports(include=["podpin"]):
        from tests.fuzz.targets import TARGETS

    options = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-artifact_prefix={folder}/crash-", str(folder)]
    atheris.Setup([sys.argv[0], *options], TARGETS[name])
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
