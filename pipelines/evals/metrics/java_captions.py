"""METEOR and SPICE, whose definitions are Java programs: only where Java and pycocoevalcap are installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from pipelines.evals.metrics.ptb import tokenise


@dataclass(frozen=True, kw_only=True)
class JavaScore:
    """A score of the corpus and of each caption, 0 to 1; or None, and the reason."""

    mean: float | None
    per_caption: list[float] = field(default_factory=list)
    reason: str = ""


def meteor(captions: Sequence[str], references: Sequence[Sequence[str]]) -> JavaScore:
    """Compute METEOR 1.5 of each caption against its references, by pycocoevalcap.

    Source: Denkowski and Lavie, 2014; the corpus score is METEOR's own, from summed statistics, not the mean.
    """
    if reason := _missing():
        return JavaScore(mean=None, reason=reason)
    from pycocoevalcap.meteor.meteor import Meteor

    try:
        mean, scores = Meteor().compute_score(*_tokenised(captions, references))
    except (OSError, ValueError) as error:
        return JavaScore(mean=None, reason=f"METEOR's Java program failed: {error}.")
    return JavaScore(mean=float(mean), per_caption=[float(score) for score in scores])


def spice(captions: Sequence[str], references: Sequence[Sequence[str]]) -> JavaScore:
    """Compute SPICE of each caption against its references, by pycocoevalcap.

    pycocoevalcap would download the 400 MB of Stanford CoreNLP models that SPICE needs; here that is left to the user.

    Source: Anderson et al., 2016.
    """
    if reason := _missing():
        return JavaScore(mean=None, reason=reason)
    from pycocoevalcap.spice import get_stanford_models
    from pycocoevalcap.spice import spice as spice_module

    folder = Path(get_stanford_models.__file__).parent
    if not (folder / get_stanford_models.SPICELIB / f"{get_stanford_models.JAR}.jar").is_file():
        fetch = "python -c 'from pycocoevalcap.spice.get_stanford_models import *; get_stanford_models()'"
        return JavaScore(mean=None, reason=f"SPICE's language models are not downloaded; run: {fetch}")
    try:
        mean, scores = spice_module.Spice().compute_score(*_tokenised(captions, references))
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        return JavaScore(mean=None, reason=f"SPICE's Java program failed: {error}.")
    return JavaScore(mean=float(mean), per_caption=[float(score["All"]["f"]) for score in scores])


def _missing() -> str:
    if shutil.which("java") is None:
        return "Java is not installed (no `java` on PATH)."
    if find_spec("pycocoevalcap") is None:
        return "pycocoevalcap is not installed; run: pip install 'videollm[captions]'"
    return ""


def _tokenised(
    captions: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    right = {index: [" ".join(tokenise(text)) for text in group] for index, group in enumerate(references)}
    return right, {index: [" ".join(tokenise(text))] for index, text in enumerate(captions)}
