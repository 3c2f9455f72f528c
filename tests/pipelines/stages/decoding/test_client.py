import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipelines.stages.decoding.client import Decoder, Failure
from videollm.types import Clip

SAMPLING = {"num_frames": 4}
SIZE = {"height": 32, "width": 32}


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return Decoder(timeout_seconds=30.0)


def decode(decoder: Decoder, video: str | Path) -> Failure | tuple[int, ...]:
    made = decoder.decode(Clip(video=str(video)), SAMPLING, SIZE)
    return made if isinstance(made, Failure) else made[0].frames.shape


def wait_gone(pid: int, seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_frames_come_through(decoder: Decoder, clips: Path) -> None:
    from videollm.video.decoding.decode import decode as decode_here
    from videollm.video.preprocessing import FrameSize
    from videollm.video.sampling import Sampling

    clip = Clip(video=str(clips / "clip0.mp4"), start=0.25, end=1.0)
    made = decoder.decode(clip, SAMPLING, SIZE)
    assert not isinstance(made, Failure)
    batch, seconds = made
    here = decode_here(clip, Sampling(**SAMPLING), size=FrameSize(**SIZE))
    assert (batch.frames == here.frames).all()
    assert (batch.indices, batch.seconds, batch.missing) == (here.indices, here.seconds, here.missing)
    assert seconds > 0


def test_failures_have_a_reason_and_the_child_goes_on(decoder: Decoder, clips: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "wrong.mp4").write_text("this is text")
    assert decode(decoder, clips / "clip0.mp4") == (4, 32, 32, 3)
    pid = decoder.pid
    for name, status in (("missing.mp4", "not_found"), ("empty.mp4", "no_video"), ("wrong.mp4", "no_video")):
        failure = decode(decoder, tmp_path / name)
        assert isinstance(failure, Failure)
        assert failure.status in (status, "decode_error")
        assert failure.error
    assert decode(decoder, clips / "clip1.mp4") == (4, 32, 32, 3)
    assert decoder.pid == pid


WRONG = """
from videollm.video.decoding.base import Decoder

class Wrong(Decoder):
    def decode(self, request):
        return {}["frames"]
"""


def test_a_bug_is_an_internal_error_with_its_trace(decoder: Decoder, clips: Path, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    clip = Clip(video=str(clips / "clip0.mp4"))
    failure = decoder.decode(clip, SAMPLING, SIZE, decoder=f"{tmp_path / 'wrong.py'}:Wrong")
    assert isinstance(failure, Failure)
    assert (failure.status, failure.error) == ("internal_error", "KeyError: 'frames'")
    assert failure.trace is not None
    assert 'return {}["frames"]' in failure.trace
    assert decode(decoder, clips / "clip1.mp4") == (4, 32, 32, 3)


def test_a_hang_ends_at_the_deadline(clips: Path, hanging: str) -> None:
    decoder = Decoder(timeout_seconds=3.0)
    try:
        assert decode(decoder, clips / "clip0.mp4") == (4, 32, 32, 3)
        pid = decoder.pid
        assert decode(decoder, hanging) == Failure(status="timeout", error="timeout after 3.0s")
        assert pid is not None
        assert wait_gone(pid)
        assert decode(decoder, clips / "clip0.mp4") == (4, 32, 32, 3)
    finally:
        decoder.close()


def test_death_by_signal_is_a_reason(clips: Path, hanging: str) -> None:
    decoder = Decoder(timeout_seconds=30.0)

    def kill_children() -> None:
        killed = None
        for _ in range(2):
            while decoder.pid in (None, killed):
                time.sleep(0.01)
            killed = decoder.pid
            time.sleep(1.0)  # the child reads the request
            os.kill(killed, signal.SIGSEGV)  # type: ignore[arg-type]

    killer = threading.Thread(target=kill_children, daemon=True)
    killer.start()
    try:
        assert decode(decoder, hanging) == Failure(status="decoder_died", error="decoder died, signal 11")
        killer.join()
        assert decode(decoder, clips / "clip0.mp4") == (4, 32, 32, 3)
    finally:
        decoder.close()


def test_the_child_dies_with_its_parent(clips: Path, hanging: str, environment: dict[str, str]) -> None:
    code = f"""
import threading, time
from pipelines.stages.decoding.client import Decoder
from videollm.types import Clip
decoder = Decoder(timeout_seconds=60.0)
def tell():
    while decoder.pid is None: time.sleep(0.01)
    time.sleep(1.0)
    print(decoder.pid, flush=True)
threading.Thread(target=tell, daemon=True).start()
decoder.decode(Clip(video={hanging!r}), {SAMPLING!r}, None)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_gone(child)


def test_the_child_is_light(environment: dict[str, str]) -> None:
    code = "import sys, pipelines.stages.decoding.worker\n"
    code += "print(sorted({'torch', 'ray', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "[]"
