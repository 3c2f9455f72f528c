"""NExT-QA, multiple choice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from string import ascii_uppercase

from pipelines.evals.annotations import Fields, checked, csv_rows, first_there, one_of, parquet_rows, read_json
from pipelines.evals.answers import official
from pipelines.evals.benchmark import Benchmark, Sample
from videollm.types import Clip


class NExTQA(Benchmark):
    """Causal, temporal and descriptive questions with 5 options on everyday videos (44 s on average).

    Folder: {split}.csv and map_vid_vidorID.json of https://github.com/doc-doc/NExT-QA, here or in dataset/nextqa/, the
    videos in NExTVideo/ (as its zip unpacks) or videos/, in sub-folders as the map says or all together; or
    https://huggingface.co/datasets/lmms-lab/NExTQA with its zip unpacked (MC/test-*.parquet, NExTVideo/{video}.mp4).
    Groups: `category` is C, T or D, `type` the seven of its eval_mc.py, which counts TP (previous) as TN (next).
    Prompt and rule: lmms-eval's (tasks/nextqa), with the sentence on how to answer that its other choice tasks have;
    the benchmark itself takes indices and has neither.
    """

    source = "https://github.com/doc-doc/NExT-QA"
    splits = ("val", "test")
    datasets = ("", "lmms-lab/NExTQA")
    groups = ("category", "type")

    def samples(self, folder: Path, split: str) -> list[Sample]:
        """Read the questions in the order of the annotation file."""
        files = self.files(folder, split)
        return checked(_samples(folder, *files), files)

    def files(self, folder: Path, split: str) -> Sequence[Path]:
        """Return the file of the questions, and the map of the videos' folders if there is one."""
        parquet = f"MC/{split}-00000-of-00001.parquet"
        questions = one_of(folder, f"{split}.csv", f"dataset/nextqa/{split}.csv", parquet)
        folders = questions.parent / "map_vid_vidorID.json"
        return [questions, folders] if folders.is_file() else [questions]

    def prompt(self, sample: Sample, *, subtitles: bool = False) -> str:
        """Write the question, lettered options and how to answer."""
        options = [f"{letter}. {option}" for letter, option in zip(ascii_uppercase, sample.options, strict=False)]
        answer = "Answer with the option's letter from the given choices directly."
        return "\n".join([sample.question, *options, answer])

    def official(self, sample: Sample, text: str) -> bool:
        """Tell whether lmms-eval reads the right letter."""
        assert isinstance(sample.answer, int)
        return official.nextqa(text, sample.options, sample.answer)


def _samples(folder: Path, questions: Path, folders: Path | None = None) -> Iterator[Sample]:
    at = None if folders is None else Fields(read_json(folders), str(folders))
    for fields in (csv_rows if questions.suffix == ".csv" else parquet_rows)(questions):
        video, kind = fields.text("video"), fields.text("type")
        if kind[0] not in "CTD":
            raise fields.wrong("type", "one that starts with C, T or D")
        options = tuple(fields.text(f"a{i}").strip() for i in range(5))
        names = (video,) if at is None else (at.text(video), video)
        places = (folder / top / f"{name}.mp4" for top in ("NExTVideo", "videos", ".") for name in names)
        yield Sample(
            id=f"{video}_{fields.text('qid')}",
            clip=Clip(video=str(first_there(*places))),
            question=fields.text("question"),
            options=options,
            answer=fields.index("answer", options),
            groups={"category": kind[0], "type": "TN" if kind == "TP" else kind},
        )
