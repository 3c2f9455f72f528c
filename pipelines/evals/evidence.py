"""Evidence of rows, and what an answer cost: what a search of a long video leaves in the columns of its rows."""

from __future__ import annotations

from pipelines.evals.metrics.grounding import Span
from pipelines.results.schema import OK, Row


def searched_for_evidence(row: Row | None) -> bool:
    """Tell whether a row comes of a search, whether it found evidence or not."""
    return row is not None and bool(row.get("evidence_start") or row.get("evidence_scores") or row.get("strategy"))


def evidence_of(row: Row | None) -> list[Span]:
    """Return the spans that were taken as evidence, best first; those that speak against an answer are left out.

    Scores are log p(yes) - log p(no) of there being an answer: below 0 a span is more likely not evidence.
    """
    if row is None or row["status"] != OK:
        return []
    starts, ends, scores = ([*(row.get(f"evidence_{what}") or ())] for what in ("start", "end", "scores"))
    scores = scores or [0.0] * len(starts)
    return [(a, b) for a, b, score in zip(starts, ends, scores, strict=True) if score >= 0 and a < b]


def costs_of(row: Row | None) -> dict[str, float]:
    """Return what an answer cost: looks at the video, frames, tokens, and seconds of work; {} where nothing ran."""
    if row is None or row["status"] != OK:
        return {}
    frames = row.get("num_frames_scanned")
    read = row.get("num_tokens_scanned") or row.get("num_prompt_tokens") or 0
    tokens = [read, row.get("num_generated_tokens") or 0]
    seconds = [row.get(f"{name}_seconds") or 0.0 for name in ("decode", "encode", "generate")]
    return {
        "looks": float(row.get("num_looks") or 1),
        "frames": float(len(row["frame_indices"] or ()) if frames is None else frames),
        "tokens": float(sum(tokens)),
        "seconds": sum(seconds),
    }
