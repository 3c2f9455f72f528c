"""Progress of a job: counts on a bar, in status.json while it runs, and in a summary at its end."""

from __future__ import annotations

import logging
import os
import platform
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from textwrap import shorten
from typing import Any, Final

from tqdm import tqdm

from pipelines.executors.base import Executor
from pipelines.results.journal import Output, write_json
from pipelines.results.schema import OK, ResultRow
from pipelines.stages.base import Finished, StageSpec
from videollm.errors import UserError

LOGGER: Final = logging.getLogger("pipelines.jobs")
NUM_EXAMPLES: Final = 3
SECONDS: Final = ("decode_seconds", "encode_seconds", "generate_seconds")
TOKENS: Final = ("num_prompt_tokens", "num_visual_tokens", "num_generated_tokens")
STATUS_SECONDS: Final = 10.0
"""Time between two versions of status.json."""
BUSY_SHARE: Final = 0.5
"""Share of the time that a stage's workers must be busy to be what limits a job."""


class Progress:
    """Counts of finished clips and rows.

    Args:
        num_left: requests left to answer in this run.
        has_cache: whether clips may come from a feature cache.
    """

    def __init__(self, output: Output, *, num_left: int, has_cache: bool) -> None:
        self.output, self.num_left, self.has_cache = output, num_left, has_cache
        self.began = time.monotonic()
        self.num_clips = self.num_cached = self.total_clips = 0
        self.rows: Counter[str] = Counter()
        self.warnings: dict[str, None] = {}
        """What could not be done though all rows are there, each once."""
        self.examples: list[ResultRow] = []
        """The first answers, to show."""
        self.sums = dict.fromkeys((*SECONDS, *TOKENS), 0.0)
        self._bar: Any = None
        self._executor: Executor | None = None
        self._stages: Sequence[StageSpec] = ()
        self._running_since = self.began
        self._busy: dict[str, float] = {}
        """Stage -> share of the time that its workers were busy, once the run has ended."""

    @contextmanager
    def watch(self, executor: Executor, stages: Sequence[StageSpec], *, num_clips: int) -> Iterator[None]:
        """Show a bar and keep status.json up to date while an executor runs."""
        self._executor, self._stages, self.total_clips = executor, stages, num_clips
        self._running_since = time.monotonic()
        ended = threading.Event()

        def write() -> None:
            while True:
                self._write_status("running")
                if ended.wait(STATUS_SECONDS):
                    return

        writer = threading.Thread(target=write, name="status", daemon=True)
        self._bar = tqdm(total=num_clips, unit="clip", dynamic_ncols=True, disable=None, smoothing=0.05)
        state = "stopped"
        try:
            with self._bar:
                writer.start()
                yield
            state = "finished"
        finally:
            ended.set()
            writer.join()
            self._busy = self.busy_shares()
            self._write_status(state)

    def keep_clip(self, finished: Finished | None, *, num_clips: int) -> None:
        """Keep the rows of a clip; after None, only redraw.

        Args:
            num_clips: clips in all, as far as they are known.
        """
        self.total_clips = self._bar.total = num_clips
        if finished is None:
            self._bar.refresh()
            return
        self.keep(finished.rows)
        self.num_clips += 1
        self.num_cached += finished.from_cache
        self.warnings |= dict.fromkeys(finished.warnings)
        if finished.trace is not None:
            failed = [{"id": r.id, "status": str(r.status), "error": r.error} for r in finished.rows if r.status != OK]
            LOGGER.error("a stage failed", extra={"fields": {"rows": failed, "trace": finished.trace}})
        errors = self.rows.total() - self.rows[OK]
        self._bar.set_postfix_str(f"{errors} error{'s' if errors != 1 else ''}", refresh=False)
        self._bar.update()

    def keep(self, rows: Sequence[ResultRow]) -> None:
        """Keep rows."""
        self.output.append(rows)
        self.examples += [r for r in rows if r.status == OK][: NUM_EXAMPLES - len(self.examples)]
        self.rows.update(str(r.status) for r in rows)
        for row in rows:
            for name in self.sums:
                self.sums[name] += getattr(row, name) or 0

    def elapsed(self) -> float:
        """Return the seconds since the job began."""
        return time.monotonic() - self.began

    def busy_shares(self) -> dict[str, float]:
        """Compute the share of time since the executor began in which the workers of each stage were busy."""
        if self._executor is None:
            return {}
        wall = max(time.monotonic() - self._running_since, 1e-9)
        busy = self._executor.busy_seconds
        return {s.name: busy[s.name] / (s.num_workers * wall) for s in self._stages}

    def status(self) -> dict[str, Any]:
        """Describe the run so far, for status.json and for metrics."""
        wall = self.elapsed()
        rate = self.num_clips / max(time.monotonic() - self._running_since, 1e-9)
        left = self.total_clips - self.num_clips
        return {
            "clips": self.num_clips,
            "clips_total": self.total_clips,
            "clips_per_second": rate,
            "seconds_left": left / rate if rate else None,
            "wall_seconds": wall,
            "rows": dict(self.rows),
            "waiting": self._executor.queue_lengths() if self._executor is not None else {},
            "busy": self._busy or self.busy_shares(),
            "tokens": {name: int(self.sums[name]) for name in TOKENS},
            "generated_tokens_per_second": self.sums["num_generated_tokens"] / wall,
        }

    def facts(self) -> dict[str, Any]:
        """Sum up this run, for the record."""
        return {
            "wall_seconds": self.elapsed(),
            "clips": self.num_clips,
            "clips_from_cache": self.num_cached if self.has_cache else None,
            "made": dict(self.rows),
            "busy": self._busy,
            **{name: self.sums[name] for name in SECONDS},
            **{name: int(self.sums[name]) for name in TOKENS},
        }

    def summary(self, already: int) -> None:
        """Print the content of the output, and the time taken."""
        counts = self.output.counts()
        by_status = ", ".join(f"{n:,} {status}" for status, n in counts.most_common()) or "none"
        if self.num_left == 0:
            print(f"Nothing to do: all {already:,} rows are in {self.output.folder} ({by_status}).")
            return
        wall = self.elapsed()
        busy = sum(self.sums[name] for name in SECONDS) or 1.0
        shares = ", ".join(f"{name.removesuffix('_seconds')} {self.sums[name] / busy:.0%}" for name in SECONDS)
        for row in self.examples:
            print(_shown(row))
        print(f"{counts.total():,} rows in {self.output.folder}: {by_status}.")
        cached = f" ({self.num_cached:,} from the feature cache)" if self.has_cache else ""
        print(f"This run: {self.num_clips:,} clips{cached}, {self.rows.total():,} rows in {wall:.1f} s, "
              f"{self.num_clips / wall:.2f} clips/s; time of the workers: {shares}.")  # fmt: skip
        if self._busy:
            generated = self.sums["num_generated_tokens"]
            print(f"Tokens: {self.sums['num_visual_tokens']:,.0f} visual, {generated:,.0f} generated, "
                  f"{generated / wall:,.1f} generated/s. {describe_limit(self._busy)}")  # fmt: skip
        if errors := counts.total() - counts[OK]:
            print(f"{errors:,} rows are errors; column `error` says why. --retry-errors runs them again.")
        sys.stdout.flush()

    def _write_status(self, state: str) -> None:
        """Replace status.json, and publish the same numbers as metrics of the cluster; failures are ignored."""
        status = self.status()
        about = {"state": state, "updated": _now(), "host": platform.node(), "pid": os.getpid()}
        with suppress(UserError, OSError):
            write_json(self.output.folder / "status.json", about | status)
        if self._executor is not None:
            with suppress(Exception):
                self._executor.publish(_metrics(status))


def describe_limit(busy: Mapping[str, float]) -> str:
    """Name the bottleneck of a job.

    Args:
        busy: stage -> share of the time that its workers were busy.
    """
    shares = ", ".join(f"{name} {share:.0%}" for name, share in busy.items())
    name = max(busy, key=lambda n: busy[n])
    limit = f"{name} limits this job" if busy[name] >= BUSY_SHARE else "Starting and waiting limit this job"
    return f"{limit} (workers busy: {shares})."


def _metrics(status: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    """Lay out the numbers of a status by name and kind."""
    made = {("clips", "done"): float(status["clips"]), ("clips", "total"): float(status["clips_total"])}
    made |= {("rows", kind): float(n) for kind, n in status["rows"].items()}
    made |= {("waiting", stage): float(n) for stage, n in status["waiting"].items()}
    made |= {("busy", stage): share for stage, share in status["busy"].items()}
    return made | {("tokens_per_second", "generated"): status["generated_tokens_per_second"]}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _shown(row: ResultRow) -> str:
    """Show a row as one line: question, video, and the beginning of the answer."""
    asked = f"{Path(row.video or '').name}  {row.question}"
    return f"{shorten(asked, 80)}  ->  {shorten(row.answer or '', 120)}"
