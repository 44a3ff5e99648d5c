"""All measurements one after the other; about four minutes on two quiet cores. Exit status 1 when one of them fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

MEASUREMENTS = ("training_speed", "generation_speed", "dashboard_speed")


def main() -> int:
    """Each in a process of its own, so that none inherits the threads and the memory of the one before."""
    checkout = Path(__file__).resolve().parents[1]
    commands = [[sys.executable, "-m", f"benchmarks.{name}"] for name in MEASUREMENTS]
    statuses = [subprocess.run(command, cwd=checkout, check=False).returncode for command in commands]
    return int(any(statuses))


if __name__ == "__main__":
    sys.exit(main())
