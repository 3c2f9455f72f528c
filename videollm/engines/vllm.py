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
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from logging import getLogger
from pathlib import Path
from typing import Any, Final
from weakref import finalize

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from videollm.engines import packing
from videollm.engines.base import Batch, Engine
from videollm.engines.prompt import Prefix, Prompt
from videollm.engines.scoring import Scoring
from videollm.engines.vllm_requests import Requests, check_single, living, parameters
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


class VLLMEngine(Engine):
    """Generates answers with vLLM, and scores continuations of one token each.

    All of the LLM's weights but its input embedding are given up to vLLM, through files in a temporary folder that are
    gone when the engine is there.

    Raises:
        UserError: there is no vLLM, it is not for this device, or it cannot run this LLM; no disk space.
    """

    spreads = scores = True

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
        if any(p.is_meta for p in llm.parameters()):
            raise UserError("The LLM's weights were given up to an engine that is gone. Load the model again.")
        with living() as claim, tempfile.TemporaryDirectory(prefix="videollm-llm-") as folder:
            _write(llm, Path(folder))
            _give_up_weights(llm)
            self._engine = _start(folder, llm, self.config)
            claim(self)
        self.limit = min(filter(None, (self.limit, self._engine.model_config.max_model_len)))
        self._requests = Requests(self._engine)
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
        batch = _Batch(self, generation, None)
        try:
            for visual, prompts in clips:
                batch.join(visual, prompts)
            while batch.num_prompts:
                batch.advance(on_text)
        finally:
            self._requests.drop([prompt for _, prompts in clips for prompt in prompts])

    def start(self, generation: Generation, *, max_prompts: int | None = None) -> Batch:
        """Start a batch that clips can join at any time, see `Engine.start`; it ends the one before."""
        self._check_ready(generation)
        self._requests.clear()
        return _Batch(self, generation, max_prompts)

    def check_scoring(self, scoring: Scoring) -> None:
        """Check that continuations have one token each, see `Engine.check_scoring`."""
        check_single(scoring)

    def _check_prompt(self, prefix: Prefix, prompt: Prompt) -> None:
        """Refuse what would end the process inside vLLM."""
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

    def _embed(self, prefix: Prefix, prompt: Prompt) -> Tensor:
        """Embed a prompt as (s d) on the CPU, where vLLM 0.32 wants it."""
        weight, visual = self.embedding.weight, prefix.tokens
        ids = torch.tensor([prompt.ids], device=weight.device)
        embeds = packing.embed(ids, [visual.to(weight.device)], self.embedding)[0].cpu()
        assert embeds.shape == (len(prompt.ids), weight.shape[1])
        assert embeds.dtype == weight.dtype
        return embeds


class _Batch(Batch):
    """Prompts under way in vLLM, which takes them in as it has room."""

    def __init__(self, engine: VLLMEngine, generation: Generation, max_prompts: int | None) -> None:
        self._engine, self._generation, self._max_prompts = engine, generation, max_prompts
        self._waiting: deque[tuple[Prefix, Prompt]] = deque()

    @property
    def num_prompts(self) -> int:
        """Prompts under way in vLLM, or waiting for it."""
        return len(self._waiting) + len(self._engine._requests)

    @property
    def num_waiting(self) -> int:
        """Prompts of which there is no token yet."""
        return len(self._waiting) + self._engine._requests.num_unbegun()

    def join(self, visual: Prefix, prompts: Sequence[Prompt]) -> None:
        """Add the prompts of a clip; what vLLM cannot take is refused here, before any of them runs."""
        for prompt in prompts:
            self._engine._check_prompt(visual, prompt)
        self._waiting += [(visual, prompt) for prompt in prompts]

    @torch.inference_mode()
    def advance(self, on_text: Callable[[str], None] | None = None) -> None:
        """Hand over as many prompts as may be under way, and let vLLM do a step."""
        requests, ends = self._engine._requests, self._engine.end_ids
        while self._waiting and (self._max_prompts is None or len(requests) < self._max_prompts):
            visual, prompt = self._waiting.popleft()
            embeds = {"prompt_embeds": self._engine._embed(visual, prompt)}
            requests.add(prompt, embeds, parameters(self._generation, prompt, ends), ends)
        if len(requests):
            requests.step(on_text)


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
