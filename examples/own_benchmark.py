"""A benchmark of your own: `videollm eval examples/own_benchmark.py:Kitchen --data FOLDER`.

FOLDER has the clips and questions.json, a list of {"id", "clip", "question", "choices", "answer": a letter, "room"}.
"""

from collections.abc import Iterator
from pathlib import Path

from pipelines.evals.benchmarks import Benchmark, Clip, Sample, json_rows


class Kitchen(Benchmark):
    """What happens in our kitchens."""

    groups = ("room",)

    def files(self, folder: Path, split: str) -> list[Path]:  # noqa: D102
        return [folder / "questions.json"]

    def samples(self, folder: Path, split: str) -> Iterator[Sample]:  # noqa: D102
        for row in json_rows(folder / "questions.json"):
            options = row.texts("choices")
            yield Sample(
                id=row.text("id"),
                clip=Clip(video=str(folder / row.text("clip"))),
                question=row.text("question"),
                options=options,
                answer=row.letter("answer", options),
                groups={"room": row.text("room")},
            )
