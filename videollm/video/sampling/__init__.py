"""Sampling policies, which choose frames of a clip: one policy per file."""

from videollm.video.sampling.base import POLICIES, Sampled, Sampling, sample
from videollm.video.sampling.timeline import Timeline, check_range, frame_range

__all__ = ["POLICIES", "Sampled", "Sampling", "Timeline", "check_range", "frame_range", "sample"]
