"""Strategies side by side on `longshapes`: `videollm eval` once for each, and one table of all.

    python benchmarks/longshapes.py -o out       # makes the videos, runs what has not run, prints the table

Twelve videos of 10 minutes and their controls without the needle. Every line of the table is one eval, and the eval of
`removed` beside it where there is one.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pipelines.evals.statistics.bootstrap import estimate
from pipelines.results.journal import read_rows

VIDEOLLM: Final = (sys.executable, "-m", "pipelines.cli.main")
CLIPS: Final = ("--minutes", "10", "--num-clips", "12", "--controls", "removed", "--seed", "11")
RUNS: Final[Mapping[str, tuple[str, ...]]] = {
    **{f"{n} frames": ("--num-frames", str(n)) for n in (8, 16, 32, 64)},
    "`dense`": ("--strategy", "dense"),
    "`select`": ("--strategy", "select"),
    **{f"`mapreduce`, {w} s": ("--strategy", "mapreduce", "--look-seconds", str(w)) for w in (16, 32, 64, 120)},
    "`tree`": ("--strategy", "tree"),
}
"""Name of a line -> options of its eval."""
COLUMNS: Final = ("shape", "shown", "not shown", "when", "order", "count", "between", "chapter", "gist")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the videos and of the runs")
    parser.add_argument("--runs", nargs="*", default=[], help="only those whose name contains one of these")
    options = parser.parse_args()
    data = options.output / "long"
    if not (data / "questions.jsonl").exists():
        subprocess.run([*VIDEOLLM, "make-clips", "-o", str(data), *CLIPS], check=True, stdout=sys.stderr)
    questions = [json.loads(line) for line in (data / "questions.jsonl").read_text().splitlines()]
    heads = ("strategy", "frames", "tokens", "CPU s", "needle met", *COLUMNS, "alarms an hour")
    print("| " + " | ".join(heads) + " |")
    print("|" + "---|" * len(heads))
    for name, how in RUNS.items():
        if options.runs and not any(part in name for part in options.runs):
            continue
        run = options.output / "runs" / name.strip("`").replace("`, ", "-").replace(" ", "")
        removed = run.with_name(f"{run.name}-removed")
        seconds = evaluate(data, run, *how)
        evaluate(data, removed, *how, split="removed")
        cells = line(run, questions, {row["id"]: row for row in read_rows(run)})
        cells = [*cells[:2], f"{seconds:.0f}", *cells[2:], measure(removed, "false alarms an hour")]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def evaluate(data: Path, run: Path, *how: str, split: str = "test") -> float:
    """Run an eval unless it is there; returns its CPU seconds, start-up included."""
    clock = run / "cpu_seconds.json"
    if not clock.exists():
        before = cpu_seconds()
        command = [*VIDEOLLM, "eval", "longshapes", "--data", str(data), "--split", split, "-o", str(run), *how]
        subprocess.run([*command, "--executor", "local"], check=True, stdout=sys.stderr)
        clock.write_text(json.dumps(cpu_seconds() - before))
    return float(json.loads(clock.read_text()))


def cpu_seconds() -> float:
    """CPU seconds of all commands so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def line(run: Path, questions: Sequence[Mapping[str, Any]], rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the cells of an eval: frames and tokens a question, needles met, and accuracy by kind."""
    grades = [json.loads(text) for text in (run / "scored.jsonl").read_text().splitlines()]
    right = {grade["id"]: float(grade["strict"]["accuracy"]) for grade in grades}
    found: dict[str, list[tuple[float, str]]] = {}
    for question in questions:
        if question["id"] not in right:
            continue
        kind = question["kind"]
        if kind == "exists":
            kind = "shown" if question["answer"] == "yes" else "not shown"
        found.setdefault(kind, []).append((right[question["id"]], question["video"]))
        if kind == "shape":
            met = float(is_met(rows[question["id"]], question["evidence"][0]))
            found.setdefault("met", []).append((met, question["video"]))
    accuracy = [percent(found[kind]) for kind in ("met", *COLUMNS)]
    return [measure(run, "frames"), measure(run, "tokens"), *accuracy]


def is_met(row: Mapping[str, Any], event: Sequence[float]) -> bool:
    """Tell whether an event is among the evidence of a search, else in a frame that the model was shown."""
    if row["evidence_start"]:
        spans = zip(row["evidence_start"], row["evidence_end"], strict=True)
        return any(start < event[1] and end > event[0] for start, end in spans)
    return any(event[0] <= second < event[1] for second in row["frame_seconds"] or ())


def percent(values: Sequence[tuple[float, str]]) -> str:
    """Write a mean in percent with its 95% interval, clustered by video."""
    found = estimate(*zip(*values, strict=True))
    if found.low is None or found.high is None or found.low == found.high:
        return f"{100 * found.mean:.0f}"
    return f"{100 * found.mean:.0f} [{100 * found.low:.0f}, {100 * found.high:.0f}]"


def measure(run: Path, name: str) -> str:
    """Return a measure of an eval over all its questions."""
    scores = json.loads((run / "scores.json").read_text())
    found = next(s for s in scores["measures"] if s["metric"] == name and s["grouping"] is None)
    return f"{found['over_all']['mean']:.3g}" if found["over_all"]["mean"] < 1 else f"{found['over_all']['mean']:.0f}"


if __name__ == "__main__":
    main()
