"""Runs on disk, in the formats of the jobs, and a real browser to look at their pages."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from pipelines import report
from pipelines.benchmarks.base import Sample
from pipelines.output import Output, write_json
from pipelines.questions import save, variants
from pipelines.rows import COLUMNS
from videollm.shapes import clips as make_clips
from videollm.types import Clip
from videollm.video.decode import decode
from videollm.video.sample import Sampling

BROWSER_SECONDS = 60
HOSTILE_NAME = "<img src=x onerror=hacked=1>"
HOSTILE = f"</script><script>hacked=1</script>{HOSTILE_NAME}&lt;b&gt; \u2028 \"'"
LETTERS = "ABCD"
OBJECTS = ("a red ball", "the small dog", "a blue car", "two children", "an open door", "the green lamp", "a boat")
STYLES = ("{letter}", "({letter})", "{letter}. {text}", "Answer: ({letter}) because it is seen first.", "The answer is {letter}.")
BENCHMARK = '''
from pipelines.benchmarks import Benchmark

class Mini(Benchmark):
    groups = ("duration", "task")

    def samples(self, folder, split):
        return []

    def files(self, folder, split):
        return []

    def official(self, sample, text):
        return text.strip()[:1] == "ABCD"[sample.answer]
'''


def make_samples(videos: Sequence[Path], num_questions: int, *, seed: int = 0) -> list[Sample]:
    """Questions on videos, in turn."""
    rng = random.Random(seed)
    made = []
    for i in range(num_questions):
        options = tuple(rng.sample(OBJECTS, 4))
        groups = {
            "duration": ("short", "medium", "long")[i % len(videos) % 3],
            "task": ("Action Recognition", "Object Reasoning", "Counting", "Temporal Perception", "OCR")[i % 5],
        }
        question = f"What can be seen {rng.choice(['first', 'last', 'in the middle'])} in scene {i}?"
        made.append(Sample(id=f"{i:05d}-q", clip=Clip(video=str(videos[i % len(videos)])), question=question, options=options,
                           answer=rng.randrange(4), groups=groups))  # fmt: skip
    return made


def write_eval(
    folder: Path, samples: Sequence[Sample], *, data: Path, skill: float = 0.6, seed: int = 1, num_frames: int = 8,
    connector: str = "stc", circular: bool = False, subtitles: Sequence[str] = ("plain",), changed: dict[str, Any] | None = None,
) -> Path:  # fmt: skip
    """The output of an eval that was finished.

    Args:
        skill: share of right answers, about.
        changed: id of a row -> columns that are as given.
    """
    rng = random.Random(seed)
    folder.mkdir(parents=True)
    (folder.parent / "mini.py").write_text(BENCHMARK)
    sampling = Sampling(num_frames=num_frames)
    frames: dict[Clip, Any] = {}
    save(samples, folder)
    rows = []
    for sample in samples:
        if sample.clip not in frames:
            frames[sample.clip] = decode(sample.clip, sampling)
        for variant in variants(sample, subtitles=[s == "subtitles" for s in subtitles], circular=circular):
            asked = sample.rotated(variant.rotation)
            assert isinstance(asked.answer, int)
            chosen = asked.answer if rng.random() < skill else rng.randrange(4)
            text = rng.choice(STYLES).format(letter=LETTERS[chosen], text=asked.options[chosen])
            id = variant.id(sample)
            rows.append(eval_row(id, asked, frames[sample.clip], text, connector) | (changed or {}).get(id, {}))
    with Output(folder, "parquet", 10_000) as output:
        output.append(rows)
        output.flush()
    session = {"started": "2026-01-31T12:00:00+00:00", "options": {"limit": None}, "versions": {"torch": "2.9.0"}, "python": "3.11.2",
               "host": "node-1", "git": "v1-3-gabcdef", "sampling": asdict(sampling), "frame_size": None, "device": "cuda:0",
               "dtype": "bfloat16", "wall_seconds": 61.5}  # fmt: skip
    config = {"command": "eval", "benchmark": f"{folder.parent / 'mini.py'}:Mini", "data": str(data), "split": "test", "subtitles":
              list(subtitles), "circular": circular, "model": {"name": "tiny-stc", "files": {"config.json": "12ab"}}, "connector": connector,
              "num_frames": num_frames, "decoder": "auto", "allow_partial": False}  # fmt: skip
    record = {"config": config, "config_hash": "0123", "sessions": [session], "finished": "2026-01-31T12:30:00+00:00"}
    write_json(folder / "run.json", record)
    return folder


def eval_row(id: str, asked: Sample, frames: Any, text: str, connector: str) -> dict[str, Any]:
    listed = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, asked.options, strict=True))
    question = f"{asked.question}\n{listed}\nAnswer with the option's letter."
    return dict.fromkeys(COLUMNS) | {
        "id": id, "video": asked.clip.video, "start": asked.clip.start, "end": asked.clip.end, "question": question,
        "prompt": f"<s>[INST] <video>\n{question} [/INST]", "answer": text, "finish_reason": "stop", "status": "ok",
        "frame_indices": list(frames.indices), "frame_seconds": list(frames.seconds), "missing_frames": [], "frame_height": 336,
        "frame_width": 336, "num_visual_tokens": 676, "model": "tiny-stc", "connector": connector, "decode_seconds": 0.11,
        "encode_seconds": 0.22, "generate_seconds": 0.33, "fingerprint": id,
    }  # fmt: skip


def failed(status: str, error: str) -> dict[str, Any]:
    """Columns of a row that holds no answer."""
    return {"status": status, "error": error, "answer": None, "prompt": None, "finish_reason": None, "frame_indices": [],
            "frame_seconds": [], "frame_height": None, "frame_width": None, "num_visual_tokens": None}  # fmt: skip


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six clips of 2 s, one with a name that could be taken for HTML."""
    folder = tmp_path_factory.mktemp("clips")
    make_clips.main(make_clips.Job(output=str(folder), num_clips=6, seconds=2.0, size=96))
    (folder / "000-00005.mp4").rename(folder / f"{HOSTILE_NAME}.mp4")
    return folder


@pytest.fixture(scope="session")
def samples(clips: Path) -> list[Sample]:
    """60 questions; number 7 is hostile."""
    made = make_samples(sorted(clips.glob("*.mp4")), 60)
    groups = {**made[7].groups, "task": HOSTILE}
    made[7] = replace(made[7], question=HOSTILE, options=(HOSTILE, *made[7].options[1:]), groups=groups)
    return made


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory, clips: Path, samples: list[Sample]) -> tuple[Path, Path]:
    """Two evals on the same questions."""
    folder, ids = tmp_path_factory.mktemp("runs"), [s.id for s in samples]
    changed = {
        ids[7]: {"answer": HOSTILE},
        ids[8]: failed("timeout", "timeout after 120.0s"),
        ids[9]: failed("decode_error", f"a frame is damaged {HOSTILE}"),
        ids[10]: {"answer": "I cannot tell."},
    }
    a = write_eval(folder / "a-stc", samples, data=clips, changed=changed, circular=True)
    b = write_eval(folder / "b-resampler", samples, data=clips, seed=2, connector="resampler3d", circular=True)
    return a, b


@pytest.fixture(scope="session")
def page(runs: tuple[Path, Path]) -> Path:
    """The page of both."""
    report.main(report.Job(runs=runs))
    return runs[0] / "report.html"


@pytest.fixture(scope="session")
def hostile() -> str:
    """What question 7 of `samples` says."""
    return HOSTILE


@pytest.fixture(scope="session")
def write_many(clips: Path) -> Callable[[Path, int], tuple[Path, ...]]:
    """Writes two runs of so many questions."""

    def write(folder: Path, num: int) -> tuple[Path, ...]:
        samples = make_samples(sorted(clips.glob("*.mp4")), num)
        return tuple(write_eval(folder / name, samples, data=clips, seed=seed) for seed, name in enumerate("ab"))

    return write


class Browser:
    """Chromium without a window, told what to do over the pipes of its DevTools protocol."""

    def __init__(self, program: str, folder: Path) -> None:
        to_browser, self._from_browser = os.pipe(), os.pipe()
        ends = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (to_browser[0], self._from_browser[1])]
        self._write = to_browser[1]
        flags = ["--headless=new", "--remote-debugging-pipe", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                 "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
                 f"--user-data-dir={folder}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]  # fmt: skip
        start = f"import os; os.dup2({ends[0]}, 3); os.dup2({ends[1]}, 4); os.execvp({program!r}, {[program, *flags, 'about:blank']!r})"
        environment = {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_CACHE_HOME": str(folder)}
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen([sys.executable, "-c", start], pass_fds=ends, stdout=log, stderr=log, env=environment,
                                            start_new_session=True)  # fmt: skip
        for fd in (*ends, to_browser[0], self._from_browser[1]):
            os.close(fd)
        self._read, self._buffer, self._num, self._session = self._from_browser[0], b"", 0, None
        self.events: list[dict[str, Any]] = []
        found = self.call("Target.getTargets")["targetInfos"]
        target = next(t["targetId"] for t in found if t["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command and its result; events that come in between are kept."""
        self._num += 1
        message = {"id": self._num, "method": method, "params": parameters}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            reply = self._next(time.monotonic() + BROWSER_SECONDS)
            if reply.get("id") == self._num:
                assert "error" not in reply, f"{method}: {reply['error']}"
                result: dict[str, Any] = reply["result"]
                return result
            self.events.append(reply)

    def open(self, page: Path, fragment: str = "", *, width: int = 1400, height: int = 900, dark: bool = False) -> None:
        """Load a file and wait until it is all there."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url="about:blank")  # another fragment alone would not load the page again
        self.wait("location.href === 'about:blank'")
        self.events.clear()
        self.call("Page.navigate", url=page.absolute().as_uri() + fragment)
        self.wait("document.readyState === 'complete' && location.protocol === 'file:'")

    def js(self, expression: str) -> Any:
        """Value of an expression on the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Until an expression holds."""
        end = time.monotonic() + BROWSER_SECONDS
        while not self.js(condition):
            assert time.monotonic() < end, f"never: {condition}"
            time.sleep(0.02)

    def press(self, key: str) -> None:
        """A key, to whatever has the focus."""
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def screenshot(self, path: Path) -> None:
        """What is in the window."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def complaints(self) -> list[str]:
        """Everything the console said, and every uncaught error."""
        names = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [json.dumps(e["params"]) for e in self.events if e.get("method") in names]

    def requests(self) -> list[str]:
        """Addresses of everything that was asked for."""
        return [e["params"]["request"]["url"] for e in self.events if e.get("method") == "Network.requestWillBeSent"]

    def close(self) -> None:
        """End the browser and what it started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._write)
        os.close(self._read)

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))[0]
            data = os.read(self._read, 1 << 20) if ready else b""
            assert data, f"Chromium said nothing for {BROWSER_SECONDS} s, or ended"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A real browser."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no chromium on this machine (Debian: apt-get install chromium)")
    made = Browser(program, tmp_path_factory.mktemp("browser"))
    yield made
    made.close()
