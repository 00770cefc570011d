"""What a commit costs that is on the disk when it returns: SQLite with synchronous=FULL against NORMAL.

    python benchmarks/sqlite_sync.py [--commits 400] [--folder .]

Commits of five rows, as a judgment is, in turn, three times each. Prints one JSON line with median milliseconds of
waiting and mean milliseconds of CPU. The folder decides: each disk takes its own time for an fsync.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

MODES = ("NORMAL", "FULL")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=400)
    parser.add_argument("--folder", default=".")
    options = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {mode: [] for mode in MODES}
    for _ in range(3):
        for mode in MODES:
            found[mode].append(measure(mode, options.commits, options.folder))
    figures = {
        mode: {"ms": statistics.median(ms for ms, _ in each), "cpu_ms": statistics.median(cpu for _, cpu in each)}
        for mode, each in found.items()
    }
    print(json.dumps({"benchmark": "sqlite_sync", "commits": options.commits, **figures}))


def measure(mode: str, commits: int, parent: str) -> tuple[float, float]:
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        database = sqlite3.connect(Path(folder) / "db.sqlite3", isolation_level=None)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute(f"PRAGMA synchronous={mode}")
        database.execute("CREATE TABLE judgment (id INTEGER PRIMARY KEY, text TEXT)")
        waited, cpu = [], time.process_time()
        for _ in range(commits):
            began = time.perf_counter()
            database.execute("BEGIN IMMEDIATE")
            for _ in range(5):
                database.execute("INSERT INTO judgment (text) VALUES (?)", ("x" * 300,))
            database.execute("COMMIT")
            waited.append(1000 * (time.perf_counter() - began))
        cpu = 1000 * (time.process_time() - cpu) / commits
        database.close()
        return round(statistics.median(waited), 2), round(cpu, 2)


if __name__ == "__main__":
    main()
