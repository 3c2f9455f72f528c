"""Benchmarks by name, from a file of one's own, or as a plain table of questions."""

from __future__ import annotations

import importlib.util
import sys
from importlib import import_module
from pathlib import Path
from typing import Final

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
from pipelines.evals.benchmarks.activitynet_qa import ActivityNetQA
from pipelines.evals.benchmarks.captions import MSRVTT, VATEX
from pipelines.evals.benchmarks.egoschema import EgoSchema
from pipelines.evals.benchmarks.longvideobench import LongVideoBench
from pipelines.evals.benchmarks.lvbench import LVBench
from pipelines.evals.benchmarks.mlvu import MLVU
from pipelines.evals.benchmarks.mvbench import MVBench
from pipelines.evals.benchmarks.nextqa import NExTQA
from pipelines.evals.benchmarks.perception_test import PerceptionTest
from pipelines.evals.benchmarks.shapes import Shapes
from pipelines.evals.benchmarks.table_benchmark import TABLES, TableBenchmark
from pipelines.evals.benchmarks.tempcompass import TempCompass
from pipelines.evals.benchmarks.videomme import VideoMME
from videollm.errors import UserError
from videollm.types import Clip

BENCHMARKS: Final[dict[str, type[Benchmark]]] = {
    "videomme": VideoMME,
    "mvbench": MVBench,
    "egoschema": EgoSchema,
    "nextqa": NExTQA,
    "mlvu": MLVU,
    "longvideobench": LongVideoBench,
    "lvbench": LVBench,
    "perception_test": PerceptionTest,
    "tempcompass": TempCompass,
    "activitynet_qa": ActivityNetQA,
    "msrvtt": MSRVTT,
    "vatex": VATEX,
    "shapes": Shapes,
}
"""Name for `videollm eval` -> class."""


def load_benchmark(name: str) -> Benchmark:
    """A benchmark by its name, or one of one's own: a table of questions, `pkg.mod:Class` or `path/to/file.py:Class`.

    Raises:
        UserError: there is none.
    """
    if name in BENCHMARKS:
        return BENCHMARKS[name]()
    if Path(name).suffix in TABLES:
        return TableBenchmark(Path(name))
    module, _, attribute = name.rpartition(":")
    if not module:
        raise UserError(
            f"No benchmark {name!r}; expected one of {', '.join(BENCHMARKS)}, a table of questions (.jsonl, .csv), "
            "`pkg.mod:Class` or `path/to/file.py:Class`."
        )
    made = getattr(_import(module), attribute, None)
    if not (isinstance(made, type) and issubclass(made, Benchmark)):
        raise UserError(f"{name}: {module} has no class {attribute} derived from pipelines.evals.benchmarks.Benchmark.")
    return made()


def _import(module: str) -> object:
    """A module by its name, or by its file."""
    try:
        if not module.endswith(".py"):
            return import_module(module)
        spec = importlib.util.spec_from_file_location(Path(module).stem, module)
        assert spec is not None
        assert spec.loader is not None
        made = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
    except Exception as error:  # whatever a user's file raises
        raise UserError(f"Benchmark {module} cannot be imported: {type(error).__name__}: {error}") from error
    return made


__all__ = [
    "BENCHMARKS",
    "Benchmark",
    "Clip",
    "Fields",
    "Sample",
    "TableBenchmark",
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
