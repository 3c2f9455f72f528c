"""The engine vLLM: prompts go in as fused embeddings, tokens come out; the LLM's weights are vLLM's own copy.

It runs in this process: no server, no second Ray. Everything that decides where an answer ends, and its text, is that
of the built-in engine, so that greedy answers are the same.

SHAPES  n visual tokens, s tokens of a prompt, d LLM width.
"""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from importlib import import_module
from importlib.util import find_spec
from itertools import count
from logging import getLogger
from pathlib import Path
from typing import Any, Final
from weakref import WeakSet, finalize

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from videollm.engines import packing
from videollm.engines.base import Engine, Prefix, Prompt
from videollm.errors import UserError
from videollm.types import Generation

PLAIN: Final = ("llama", "mistral", "mixtral", "qwen2", "qwen3")
"""Decoders whose positions are those of the tokens: vLLM takes embeddings at such positions only."""
WITH_WINDOW: Final = ("mistral", "mixtral")
"""Those whose sliding windows vLLM computes as transformers does."""
ENVIRONMENT: Final = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",  # nobody named that network address
    "VLLM_USE_V2_MODEL_RUNNER": "0",  # it takes logits processors of another kind
    "VLLM_WORKER_MULTIPROCESSING_METHOD": "spawn",  # a fork of a process that uses a GPU cannot use one
    "VLLM_CPU_KVCACHE_SPACE": "2",  # GiB
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}
"""Settings of vLLM where the user has none."""
MODULES: Final = ("vllm.v1.engine.llm_engine", "vllm.model_executor.layers.attention", "videollm.engines.vllm_penalty")
_LIVING: Final[WeakSet[VLLMEngine]] = WeakSet()
"""vLLM keeps some of its state once a process, and the end of one engine clears it."""


class VLLMEngine(Engine):
    """Generates answers with vLLM.

    All of the LLM's weights but its input embedding are given up to vLLM, through files in a temporary folder that are
    gone when the engine is there.

    Raises:
        UserError: there is no vLLM, it is not for this device, or it cannot run this LLM; no disk space.
    """

    spreads = True

    @dataclass(frozen=True, kw_only=True)
    class Config(Engine.Config):
        """How vLLM runs."""

        gpu_share: float = 0.8
        """Share of a GPU's memory that vLLM takes for the LLM and its cache; the rest is for tower and connector."""

    config: Config

    def __init__(self, llm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: Config | None = None) -> None:
        self.prepare()
        self.check_backbone(llm)
        super().__init__(llm, tokenizer, config)
        _check_device(llm)
        gc.collect()  # an engine that nobody holds any more may lie in a cycle
        if _LIVING:
            raise UserError(
                "A process holds one vLLM engine at a time. Drop the model that has it, or use another process."
            )
        if any(p.is_meta for p in llm.parameters()):
            raise UserError("The LLM's weights were given up to an engine that is gone. Load the model again.")
        with tempfile.TemporaryDirectory(prefix="videollm-llm-") as folder:
            _write(llm, Path(folder))
            _give_up_weights(llm)
            self._engine = _start(folder, llm, self.config)
        self.limit = min(filter(None, (self.limit, self._engine.model_config.max_model_len)))
        self._names = map(str, count())
        _LIVING.add(self)
        finalize(self, self._engine.engine_core.shutdown)

    @classmethod
    def check_installed(cls) -> None:
        """Check that vLLM is installed, without importing it."""
        if find_spec("vllm") is None:
            raise UserError(
                "Engine vllm needs the package vllm, which is not installed. Install the extra (pip install "
                "'videollm[vllm]'; without a GPU as docs/generation.md says), or use --engine builtin."
            )

    @classmethod
    def prepare(cls) -> None:
        """Import vLLM, before there is a model: a module of it keeps the stack that imports it, with all it refers to.

        Raises:
            UserError: there is none, or it does not import.
        """
        cls.check_installed()
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # in this process
        getLogger("vllm").setLevel(os.environ["VLLM_LOGGING_LEVEL"].upper())  # it speaks before it has read it
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for name in MODULES:
                    import_module(name)
        except (ImportError, AttributeError) as error:
            raise UserError(f"vLLM does not import: {error}. Install the version of the extra vllm again.") from error

    @classmethod
    def check_backbone(cls, llm: PreTrainedModel) -> None:
        """Check that vLLM can take the embeddings of an LLM, whose weights need not be loaded yet.

        Raises:
            UserError: it cannot; the message says why.
        """
        config = llm.config
        layers = getattr(config, "layer_types", None) or ()
        problem = None
        if config.model_type not in PLAIN:
            problem = f"this LLM is {config.model_type}"
        elif "mrope_section" in (getattr(config, "rope_parameters", None) or {}):
            problem = f"this {config.model_type} has M-RoPE, whose positions are not those of the tokens"
        elif getattr(config, "stored_frequencies", False):
            problem = f"this {config.model_type} has rotary frequencies and positions of its own"
        elif config.model_type not in WITH_WINDOW and "sliding_attention" in layers:
            takes = " and ".join(WITH_WINDOW)
            problem = f"this {config.model_type} has sliding windows, which it takes for {takes} only"
        elif config.model_type == "qwen2" and (taken := config.hidden_size // config.num_attention_heads) != _width(
            config
        ):
            problem = f"this qwen2 has heads {_width(config)} wide, which it takes {taken} wide (hidden_size / heads)"
        if problem:
            raise UserError(f"Engine vllm takes plain decoders ({', '.join(PLAIN)}); {problem}. Use --engine builtin.")

    def _run(
        self,
        clips: Sequence[tuple[Prefix, Sequence[Prompt]]],
        generation: Generation,
        on_text: Callable[[str], None] | None,
    ) -> None:
        """Hand all prompts to vLLM at once: vLLM schedules them, and finds the prefixes that prompts share."""
        end_ids = self.end_ids
        waiting: dict[str, Prompt] = {}
        embedded = [(p, self._embed(visual, p)) for visual, prompts in clips for p in prompts]
        try:
            for prompt, embeds in embedded:
                name = next(self._names)
                self._engine.add_request(name, {"prompt_embeds": embeds}, _parameters(generation, prompt, end_ids))
                waiting[name] = prompt
            while waiting:
                for output in self._engine.step():
                    prompt = waiting[output.request_id]
                    for token in output.outputs[0].token_ids:
                        prompt.take(token, end_ids)
                        if on_text is not None:
                            prompt.stream(on_text)
                        if prompt.finish_reason:
                            break
                    if prompt.finish_reason:
                        del waiting[output.request_id]
                        if not output.finished:
                            self._engine.abort_request([output.request_id])
                    elif output.finished:
                        raise RuntimeError(f"vLLM gave an answer up: {output.outputs[0].finish_reason}.")
        finally:
            self._engine.abort_request(list(waiting))

    def _embed(self, prefix: Prefix, prompt: Prompt) -> Tensor:
        """Embed a prompt as (s d) on the CPU for vLLM; refuse a wrong shape, which would end the process there."""
        weight, visual = self.embedding.weight, prefix.tokens
        if prefix.deep is not None or list(prompt.positions) != list(range(len(prompt.ids) + 1)):
            raise UserError(
                "Engine vllm numbers the tokens of embedded prompts itself; this model has positions of its own, or "
                "features for later layers. Use --engine builtin."
            )
        if visual.dim() != 2 or visual.shape[1] != weight.shape[1]:
            raise UserError(
                f"Visual tokens are {tuple(visual.shape)}; expected (n, {weight.shape[1]}), the LLM's width."
            )
        ids = torch.tensor([prompt.ids], device=weight.device)
        embeds = packing.embed(ids, [visual.to(weight.device)], self.embedding)[0].cpu()
        assert embeds.shape == (len(prompt.ids), weight.shape[1])
        assert embeds.dtype == weight.dtype
        return embeds


def seed_of(generation: Generation, key: str) -> int:
    """Make the seed of one request, which depends on the job's seed and the request's key alone."""
    digest = blake2b(f"{generation.seed}/{key}".encode(errors="backslashreplace"), digest_size=7).digest()
    return int.from_bytes(digest, "little")


def _parameters(generation: Generation, prompt: Prompt, end_ids: frozenset[int]) -> Any:
    """Make vLLM's sampling parameters. It has no tokenizer here: stop strings are found as the tokens come."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    from videollm.engines.vllm_penalty import PENALTY

    return SamplingParams(
        max_tokens=prompt.budget,
        temperature=generation.temperature,
        top_p=generation.top_p,
        top_k=generation.top_k,
        seed=seed_of(generation, prompt.key),
        stop_token_ids=sorted(end_ids),
        detokenize=False,
        output_kind=RequestOutputKind.DELTA,
        extra_args={PENALTY: float(generation.repetition_penalty)},
    )


def _check_device(llm: PreTrainedModel) -> None:
    """Raise UserError where the installed vLLM is not for the LLM's device and heads."""
    from vllm.platforms import current_platform

    device = llm.get_input_embeddings().weight.device  # an LLM for several devices lies on the CPU, all but this
    kind, index = device.type, device.index
    if kind != current_platform.device_type:
        raise UserError(
            f"This build of vLLM runs on {current_platform.device_type or 'no device of this machine'}, the model is "
            f"on {kind}. Give --device, install the other build, or use --engine builtin."
        )
    if index:
        raise UserError(f"Engine vllm runs on cuda:0, not on cuda:{index}. Set CUDA_VISIBLE_DEVICES={index} instead.")
    if kind == "cpu":
        from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

        width = _width(llm.config)
        if width not in (known := CPUAttentionBackend.get_supported_head_sizes()):
            raise UserError(
                f"The LLM's heads are {width} wide; vLLM's attention on the CPU takes {', '.join(map(str, known))}. "
                "Use --engine builtin."
            )


def _width(config: PretrainedConfig) -> int:
    width: int = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return width


def _write(llm: PreTrainedModel, folder: Path) -> None:
    """Write the LLM as a folder of its own, which is what vLLM loads."""
    needed = sum(p.numel() * p.element_size() for p in llm.parameters())
    free = shutil.disk_usage(folder).free
    where = f"the temporary folder {folder.parent}"
    if needed > free:
        raise UserError(
            f"Engine vllm writes the LLM into {where} for a moment: {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are "
            "free. Set TMPDIR to a folder with more space."
        )
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        llm.save_pretrained(folder, max_shard_size="2GB")
    except (OSError, SafetensorError) as error:
        raise UserError(f"The LLM cannot be written into {where}: {error}. Set TMPDIR to another folder.") from error
    finally:
        if bars:
            logging.enable_progress_bar()


def _give_up_weights(llm: PreTrainedModel) -> None:
    """Free all weights but the input embedding's."""
    embedding = llm.get_input_embeddings()
    kept = embedding.weight
    llm.to("meta")  # type: ignore[arg-type]  # transformers wraps the method
    embedding.weight = kept
    gc.collect()
    if kept.is_cuda:
        torch.cuda.empty_cache()


def _start(folder: str, llm: PreTrainedModel, config: VLLMEngine.Config) -> Any:
    """Start vLLM's engine with the weights of a folder.

    Raises:
        UserError: it does not start.
    """
    from vllm import EngineArgs, LLMEngine

    from videollm.engines.vllm_penalty import GeneratedTokensPenalty

    set_num_threads = torch.set_num_threads  # vLLM puts a stub in its place
    on_cpu = llm.get_input_embeddings().weight.device.type == "cpu"
    dtype: Any = str(llm.dtype).removeprefix("torch.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return LLMEngine.from_engine_args(
                EngineArgs(
                    model=folder,
                    skip_tokenizer_init=True,
                    generation_config="vllm",  # none: ends and settings come with every request
                    enable_prompt_embeds=True,
                    dtype=dtype,
                    max_model_len=-1,  # the LLM's own limit, or what the cache holds
                    gpu_memory_utilization=config.gpu_share,
                    enforce_eager=on_cpu,  # compiling there takes a C++ compiler and minutes
                    tensor_parallel_size=config.num_devices,
                    distributed_executor_backend="uni" if config.num_devices == 1 else "mp",
                    logits_processors=[GeneratedTokensPenalty],
                    disable_log_stats=True,
                    use_tqdm_on_load=False,
                )
            )
        except Exception as error:  # vLLM raises what it likes, and there is nothing to go on with
            raise UserError(f"vLLM does not start with this LLM: {error}. Use --engine builtin.") from error
        finally:
            torch.set_num_threads = set_num_threads
