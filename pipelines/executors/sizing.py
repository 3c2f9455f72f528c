"""How many workers of each kind a machine or cluster takes."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.cli.options import WorkerOptions


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Workers of each pool."""

    num_decoders: int
    num_encoders: int
    """0 where the LLM's workers also encode."""
    num_llms: int
    gpus_per_encoder: float
    gpus_per_llm: float
    num_threads: int | None
    """Threads of torch in a worker that holds a model on the CPU; None leaves it to torch."""


def sizes(options: WorkerOptions, *, device: str, num_cpus: int, num_gpus: float) -> Sizes:
    """The user's numbers, and for those not given: a model a GPU (or one on the CPU), a decoder a CPU."""
    on_gpu = num_gpus > 0 and device != "cpu"
    share = 1.0 if on_gpu else 0.0
    gpus_per_llm = share if options.gpus_per_llm is None else options.gpus_per_llm
    gpus_per_encoder = share if options.gpus_per_encoder is None else options.gpus_per_encoder
    num_encoders = (options.num_encoders or 1) if options.split_llm else 0
    left = num_gpus - num_encoders * gpus_per_encoder
    num_llms = options.num_llms or (max(1, int(left / gpus_per_llm)) if gpus_per_llm else 1)
    models = num_encoders + num_llms
    num_threads = None if on_gpu else max(1, num_cpus // (models + 1))
    # A decoder and a model wait for each other in turn: on one machine they share the CPUs, a cluster hands them out.
    free = num_cpus if options.address is None else num_cpus - models * (num_threads or 1)
    return Sizes(
        num_decoders=options.num_decoders or max(1, free),
        num_encoders=num_encoders,
        num_llms=num_llms,
        gpus_per_encoder=gpus_per_encoder,
        gpus_per_llm=gpus_per_llm,
        num_threads=num_threads,
    )
