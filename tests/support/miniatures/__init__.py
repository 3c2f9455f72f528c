"""Miniatures of every benchmark in its official layout."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.support.miniatures.activitynet_qa import activitynet_qa
from tests.support.miniatures.captions import msrvtt, vatex
from tests.support.miniatures.cg_bench import cg_bench
from tests.support.miniatures.egoschema import egoschema
from tests.support.miniatures.longshapes import longshapes
from tests.support.miniatures.longvideobench import longvideobench
from tests.support.miniatures.lvbench import lvbench
from tests.support.miniatures.mlvu import mlvu
from tests.support.miniatures.moments import charades_sta, qvhighlights
from tests.support.miniatures.mvbench import mvbench
from tests.support.miniatures.nextqa import nextqa
from tests.support.miniatures.perception_test import perception_test
from tests.support.miniatures.shapes import shapes
from tests.support.miniatures.tempcompass import tempcompass
from tests.support.miniatures.videomme import videomme

MINIATURES: Final[dict[str, Callable[[Path], None]]] = {
    "videomme": videomme,
    "mvbench": mvbench,
    "egoschema": egoschema,
    "nextqa": nextqa,
    "mlvu": mlvu,
    "longvideobench": longvideobench,
    "lvbench": lvbench,
    "perception_test": perception_test,
    "tempcompass": tempcompass,
    "activitynet_qa": activitynet_qa,
    "msrvtt": msrvtt,
    "vatex": vatex,
    "charades_sta": charades_sta,
    "qvhighlights": qvhighlights,
    "cg_bench": cg_bench,
    "shapes": shapes,
    "longshapes": longshapes,
}
"""Benchmark -> function that writes its folder."""
