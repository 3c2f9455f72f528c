"""What is expected of every benchmark's miniature."""

from typing import Final

from tests.support.benchmark_cases import (
    activitynet_qa,
    captions,
    cg_bench,
    egoschema,
    longshapes,
    longvideobench,
    lvbench,
    mlvu,
    moments,
    mvbench,
    nextqa,
    perception_test,
    shapes,
    tempcompass,
    videomme,
)
from tests.support.benchmark_cases.base import Cases

CASES: Final[dict[str, Cases]] = {
    "videomme": videomme.CASES,
    "mvbench": mvbench.CASES,
    "egoschema": egoschema.CASES,
    "nextqa": nextqa.CASES,
    "mlvu": mlvu.CASES,
    "longvideobench": longvideobench.CASES,
    "lvbench": lvbench.CASES,
    "perception_test": perception_test.CASES,
    "tempcompass": tempcompass.CASES,
    "activitynet_qa": activitynet_qa.CASES,
    "msrvtt": captions.MSRVTT,
    "vatex": captions.VATEX,
    "charades_sta": moments.CHARADES_STA,
    "qvhighlights": moments.QVHIGHLIGHTS,
    "cg_bench": cg_bench.CASES,
    "shapes": shapes.CASES,
    "longshapes": longshapes.CASES,
}
"""Benchmark -> its cases."""
