"""Captions: MSR-VTT and VATEX."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from pipelines.evals.annotations import Fields, checked, find_video, json_rows, one_of, read_json
from pipelines.evals.benchmark import Benchmark, Sample
from videollm.types import Clip

_CUT_OUT: Final = re.compile(r"(.+)_(\d{6})_(\d{6})")
"""VATEX: YouTube id, first and last second."""


class Captions(Benchmark):
    """Clips with several captions each; neither benchmark has a prompt for chat models."""

    kind = "captions"
    max_new_tokens = 64
    question = "Describe this video in one sentence."

    def samples(self, folder: Path, split: str) -> list[Sample]:
        """Read the clips in the order of the annotation file."""
        files = self.files(folder, split)
        return checked(self._samples(folder, split, files[0]), files)

    @abstractmethod
    def _samples(self, folder: Path, split: str, file: Path) -> Iterator[Sample]: ...


class MSRVTT(Captions):
    """2,990 test clips of 10 to 30 s with 20 captions each.

    Folder: test_videodatainfo.json, as the benchmark gives it, or MSRVTT_data.json, which holds all splits; the clips
    in TestVideo/, videos/, videos/all/ or MSRVTT_Videos/. Their `start time` and `end time` are not used: they are
    those in the YouTube videos, and the clips are cut already.
    Source: Xu et al., MSR-VTT (CVPR 2016), http://ms-multimedia-challenge.com.
    """

    source = "http://ms-multimedia-challenge.com"

    def files(self, folder: Path, split: str) -> Sequence[Path]:
        """Return the file of clips and captions."""
        return [one_of(folder, "test_videodatainfo.json", "MSRVTT_data.json", "msrvtt_data/MSRVTT_data.json")]

    def _samples(self, folder: Path, split: str, file: Path) -> Iterator[Sample]:
        held = Fields(read_json(file), str(file))
        references: dict[str, list[str]] = {}
        for row in held.rows("sentences"):
            references.setdefault(row.text("video_id"), []).append(row.text("caption"))
        videos = [folder / at for at in ("TestVideo", "videos", "videos/all", "MSRVTT_Videos", ".")]
        for row in held.rows("videos"):
            if row.text("split") != split:
                continue
            name = row.text("video_id")
            if name not in references:
                raise row.wrong("video_id", "a clip with captions among the sentences")
            clip = Clip(video=find_video(videos, name))
            yield Sample(id=name, clip=clip, question=self.question, answer=tuple(references[name]))


class VATEX(Captions):
    """6,000 clips (public test) or 3,000 (validation) of 10 s with 10 English captions each.

    Folder: vatex_public_test_english_v1.1.json or vatex_validation_v1.0.json, and the clips as {videoID}.mp4 in
    videos/, {split}/ or the folder itself. A videoID ends with the seconds that are cut out of a YouTube video: where
    the clip is not there and the whole video is ({YouTube id}.mp4), these seconds of it are taken.
    Source: https://eric-xw.github.io/vatex-website/download.html.
    """

    source = "https://eric-xw.github.io/vatex-website/download.html"
    splits = ("test", "val")

    def files(self, folder: Path, split: str) -> Sequence[Path]:
        """Return the file of clips and captions."""
        name = {"test": "vatex_public_test_english_v1.1.json", "val": "vatex_validation_v1.0.json"}[split]
        return [one_of(folder, name, f"annotations/{name}")]

    def _samples(self, folder: Path, split: str, file: Path) -> Iterator[Sample]:
        videos = [folder / "videos", folder / split, folder]
        for fields in json_rows(file):
            name = fields.text("videoID")
            clip = _vatex_clip(videos, name)
            yield Sample(id=name, clip=clip, question=self.question, answer=fields.texts("enCap"))


def _vatex_clip(videos: Sequence[Path], name: str) -> Clip:
    clip, cut_out = Clip(video=find_video(videos, name)), _CUT_OUT.fullmatch(name)
    if cut_out and not Path(clip.video).exists() and Path(whole := find_video(videos, cut_out[1])).exists():
        return Clip(video=whole, start=float(cut_out[2]), end=float(cut_out[3]))
    return clip
