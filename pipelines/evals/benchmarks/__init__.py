"""Benchmarks by name, from a file or a package of one's own, or as a table of questions."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from connectors.registry import FILE_SUFFIX, Table
from pipelines.evals.annotations import (
    Fields,
    checked,
    csv_rows,
    find_video,
    first_there,
    json_rows,
    jsonl_rows,
    one_of,
    parquet_rows,
    read_json,
)
from pipelines.evals.benchmark import Benchmark, Sample
from pipelines.evals.benchmarks.table_benchmark import TABLES, TableBenchmark
from videollm.errors import UserError
from videollm.types import Clip

BENCHMARKS: Final[Table[Benchmark]] = Table(
    noun="benchmark",
    group="videollm.benchmarks",
    base="pipelines.evals.benchmark:Benchmark",
    error=UserError,
    builtin={
        "videomme": "pipelines.evals.benchmarks.videomme:VideoMME",
        "mvbench": "pipelines.evals.benchmarks.mvbench:MVBench",
        "egoschema": "pipelines.evals.benchmarks.egoschema:EgoSchema",
        "nextqa": "pipelines.evals.benchmarks.nextqa:NExTQA",
        "mlvu": "pipelines.evals.benchmarks.mlvu:MLVU",
        "longvideobench": "pipelines.evals.benchmarks.longvideobench:LongVideoBench",
        "lvbench": "pipelines.evals.benchmarks.lvbench:LVBench",
        "perception_test": "pipelines.evals.benchmarks.perception_test:PerceptionTest",
        "tempcompass": "pipelines.evals.benchmarks.tempcompass:TempCompass",
        "activitynet_qa": "pipelines.evals.benchmarks.activitynet_qa:ActivityNetQA",
        "msrvtt": "pipelines.evals.benchmarks.captions:MSRVTT",
        "vatex": "pipelines.evals.benchmarks.captions:VATEX",
        "charades_sta": "pipelines.evals.benchmarks.moments:CharadesSTA",
        "qvhighlights": "pipelines.evals.benchmarks.moments:QVHighlights",
        "cg_bench": "pipelines.evals.benchmarks.cg_bench:CGBench",
        "shapes": "pipelines.evals.benchmarks.shapes:Shapes",
        "longshapes": "pipelines.evals.benchmarks.longshapes:LongShapes",
    },
)
"""Name for `videollm eval` -> class."""


def load_benchmark(name: str) -> Benchmark:
    """Make a benchmark.

    Args:
        name: one of BENCHMARKS, a table of questions (.jsonl, .csv), `pkg.mod:Class` or `path/to/file.py:Class`.
    Raises:
        UserError: there is none, or its class lacks a method.
    """
    if Path(name).suffix in TABLES:
        return TableBenchmark(Path(name))
    if name not in BENCHMARKS and ":" not in name:
        raise UserError(
            f"No benchmark {name!r}; expected one of {', '.join(BENCHMARKS)}, a table of questions (.jsonl, .csv), "
            "`pkg.mod:Class` or `path/to/file.py:Class`."
        )
    made = BENCHMARKS.load(name)
    if missing := sorted(made.__abstractmethods__):
        raise UserError(f"Benchmark {name} has no {' and no '.join(missing)}; expected a class with samples and files.")
    return made()


def absolute_name(name: str) -> str:
    """Return a benchmark's name that is valid in any folder: files by their absolute path."""
    path, colon, attribute = name.rpartition(":")
    if not path.endswith(FILE_SUFFIX):
        path, colon, attribute = name, "", ""
    return f"{Path(path).absolute()}{colon}{attribute}" if Path(path).is_file() else name


__all__ = [
    "BENCHMARKS",
    "Benchmark",
    "Clip",
    "Fields",
    "Sample",
    "TableBenchmark",
    "absolute_name",
    "checked",
    "csv_rows",
    "find_video",
    "first_there",
    "json_rows",
    "jsonl_rows",
    "load_benchmark",
    "one_of",
    "parquet_rows",
    "read_json",
]
