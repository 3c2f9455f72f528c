"""Numbers of workers of each kind for a machine or cluster."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Numbers that the user gave; None is for `size_pools` to choose."""

    num_decoders: int | None = None
    num_encoders: int | None = None
    num_llms: int | None = None
    split_llm: bool = False
    """Tower and connector in workers of their own, apart from the LLM."""
    gpus_per_encoder: float | None = None
    gpus_per_llm: float | None = None


@dataclass(frozen=True, kw_only=True)
class PoolSizes:
    """Workers of each pool."""

    num_decoders: int
    num_encoders: int
    """0 where the workers with the LLM also encode."""
    num_llms: int
    gpus_per_encoder: float
    gpus_per_llm: float
    num_threads: int | None
    """Threads of torch in a worker that holds a model on the CPU; None leaves it to torch."""


def size_pools(wanted: Wanted, *, device: str, num_cpus: int, num_gpus: float, on_cluster: bool) -> PoolSizes:
    """Take the user's numbers; by default one model per GPU (or one on the CPU), one decoder per CPU.

    Args:
        device: the model's, `auto`, `cpu`, `cuda`, ...
        on_cluster: whether CPUs are handed out to workers, not shared by those of one machine.
    """
    on_gpu = num_gpus > 0 and device != "cpu"
    share = 1.0 if on_gpu else 0.0
    gpus_per_llm = share if wanted.gpus_per_llm is None else wanted.gpus_per_llm
    gpus_per_encoder = share if wanted.gpus_per_encoder is None else wanted.gpus_per_encoder
    num_encoders = (wanted.num_encoders or 1) if wanted.split_llm else 0
    left = num_gpus - num_encoders * gpus_per_encoder
    num_llms = wanted.num_llms or (max(1, int(left / gpus_per_llm)) if gpus_per_llm else 1)
    models = num_encoders + num_llms
    num_threads = None if on_gpu else max(1, num_cpus // (models + 1))
    # A decoder and a model wait for each other in turn: on one machine they share the CPUs, a cluster hands them out.
    free = num_cpus - models * (num_threads or 1) if on_cluster else num_cpus
    return PoolSizes(
        num_decoders=wanted.num_decoders or max(1, free),
        num_encoders=num_encoders,
        num_llms=num_llms,
        gpus_per_encoder=gpus_per_encoder,
        gpus_per_llm=gpus_per_llm,
        num_threads=num_threads,
    )
