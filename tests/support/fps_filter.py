"""FFmpeg's filter `fps` with `round=down`, asked which frames of a video it lets through."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from av.filter import Graph


def filtered(video: str | Path, fps: str = "1") -> list[tuple[int, int]]:
    """Display index and interval of every frame that comes out: pictures that hold their number go through it."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        times = sorted((frame.pts, frame.duration) for frame in container.decode(stream))
        base = stream.time_base
    graph = Graph()
    source = graph.add_buffer(width=2, height=1, format="gray", time_base=base)
    middle, sink = graph.add("fps", f"fps={fps}:round=down"), graph.add("buffersink")
    source.link_to(middle)
    middle.link_to(sink)
    graph.configure()
    made: list[tuple[int, int]] = []
    for i, (pts, duration) in enumerate([*times, (None, None)]):
        if pts is None:
            source.push(None)
        else:
            frame = av.VideoFrame.from_ndarray(np.array([divmod(i, 256)], np.uint8), format="gray")
            frame.pts, frame.duration, frame.time_base = pts - times[0][0], duration, base
            source.push(frame)
        while True:
            try:
                out = sink.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                break
            high, low = out.to_ndarray()[0, :2].tolist()
            made.append((high * 256 + low, out.pts))
    return made
