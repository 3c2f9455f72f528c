"""Families: layouts of model folders. Configurations are read without torch; loading a model takes torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from videollm.checkpoints.folder import Source, weight_files
from videollm.checkpoints.options import UNTRAINED, Options
from videollm.errors import UserError, VideollmError
from videollm.models.config import ModelConfig
from videollm.models.protocol import ModelInfo

if TYPE_CHECKING:
    from videollm.models.composed import VideoLLM
    from videollm.models.protocol import VideoModel

GENERATION: Final = ("temperature", "top_p", "top_k", "repetition_penalty")
"""Fields of generation_config.json that sampling follows."""
EXACT, BATCHED, SWAPPED, SIZED = "exact", "batched", "any connector", "full size"
PROVEN: Final = (EXACT, BATCHED, SWAPPED, SIZED)
"""What tests prove of a `model_type`: frames, ids, pixels, visual tokens, logits and answers are those of the official
code on a tiny checkpoint; batches equal single clips; other connectors answer and learn; full-size names and shapes."""


class Family(ABC):
    """A layout of model folders: where config.json, weights and tokenizer lie, and what they mean.

    Everything but `load` reads small files alone and imports no torch.
    """

    presets: ClassVar[tuple[str, ...]] = ()
    """Ways to use models of one configuration (which frames they see, how they are asked), the usual one first."""
    title: ClassVar[str] = ""
    """Names of the models in this layout, as their makers write them."""
    parts: ClassVar[str] = ""
    """Vision tower; connector; LLM."""
    published: ClassVar[tuple[str, ...]] = ()
    """Hub ids of models in this layout."""
    licence: ClassVar[str] = ""
    """Of the published weights, as it was remembered: their model cards are what holds."""
    proven: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """`model_type` -> which of PROVEN tests prove; tests/videollm/families checks that they do."""

    @classmethod
    @abstractmethod
    def describe(cls, folder: Path, options: Options) -> ModelInfo:
        """Describe the model of a folder by its configuration files.

        Raises:
            UserError: a file is missing or damaged, or says what is not known.
        """

    @classmethod
    def check_weights(cls, folder: Path) -> None:
        """Check that a folder holds weights.

        Raises:
            UserError: the folder holds none, or not all of them.
        """
        if not weight_files(folder):
            raise UserError(f"{folder / 'model.safetensors'} is missing. Fetch or save the model folder again.")

    @classmethod
    def elsewhere(cls, folder: Path, names: Collection[str]) -> Mapping[str, Sequence[str]]:
        """List what loading reads of other repositories of the hub: each with the files, () for a whole model.

        Args:
            folder: the configuration files.
            names: all files of the model's own repository, from its folder on.
        Raises:
            UserError: as `describe`.
        """
        return {}

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, options: Options) -> VideoModel:
        """Load the model of a folder.

        Raises:
            UserError: as `describe` and `check_weights`; weights and configuration do not fit.
        """


@contextmanager
def translating(folder: Path) -> Iterator[None]:
    """Turn what reading a damaged configuration raises into one message: families look fields up as they should be."""
    try:
        yield
    except VideollmError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError) as error:
        lacks = f"lacks {error}" if isinstance(error, KeyError) else f"has a field of another type ({error})"
        raise UserError(
            f"The configuration of {folder} {lacks}; expected the published layout. "
            "Use the checkpoint's own config.json, or report this, if it is."
        ) from error


class ComposedFamily(Family):
    """A layout of folders with a vision tower, a connector and an LLM: says what to build, and from which weights."""

    @classmethod
    @abstractmethod
    def read_config(cls, folder: Path, options: Options) -> ModelConfig:
        """Read what a folder says of its model, before the connector that is asked for is put in.

        Raises:
            UserError: a file is missing or damaged, or says what is not known.
        """

    @classmethod
    @abstractmethod
    def sources(cls, folder: Path, config: ModelConfig) -> list[Source]:
        """List the files of weights, and what the names in them become in the model.

        Args:
            config: what `read_config` gave.
        Raises:
            UserError: a file is missing.
        """

    @classmethod
    def llm_folder(cls, folder: Path) -> Path:
        """Return the folder of the tokenizer, and of the config.json that tells the type of the weights."""
        return folder

    @classmethod
    def describe(cls, folder: Path, options: Options) -> ModelInfo:
        """Describe the model of a folder by its configuration files, see `Family.describe`."""
        with translating(folder):
            own = cls.read_config(folder, options)
            config = options.apply(own)
            name = config.connector["name"]
            size = config.build_preprocessing().frame_size()
            return ModelInfo(
                name=options.name,
                connector=name,
                sampling=asdict(config.build_sampling()),
                frame_size=None if size is None else asdict(size),
                generation=asdict(config.build_generation()),
                takes_ocr=config.prompt.get("ocr") is not None,
                context_tokens=config.llm.get("max_position_embeddings"),
                notice=UNTRAINED.format(name=name) if options.leaves_untrained(own) else config.notice,
            )

    @classmethod
    def outline(cls, folder: Path, options: Options) -> VideoLLM:
        """Build the model of a folder without its weights, which takes no memory.

        Raises:
            UserError: as `describe`.
        """
        from videollm.checkpoints.assemble import outline

        with translating(folder):
            config = cls.read_config(folder, options)
        return outline(cls.llm_folder(folder), config, options)

    @classmethod
    def load(cls, folder: Path, options: Options) -> VideoModel:
        """Load the model of a folder, see `Family.load`."""
        from videollm.checkpoints.assemble import assemble

        with translating(folder):
            config = cls.read_config(folder, options)
        return assemble(cls.llm_folder(folder), config, cls.sources(folder, config), options)


def language_model(values: dict[str, Any], foreign: Set[str]) -> dict[str, Any]:
    """Pick the fields of a config.json that describe the LLM: all but the foreign ones, and no null `rope_scaling`."""
    return {k: v for k, v in values.items() if k not in foreign and not (k == "rope_scaling" and v is None)}


def control_tokens(tokenizer: dict[str, Any]) -> set[str]:
    """List the tokens that a tokenizer_config.json adds, which tell apart LLMs of one `model_type`."""
    return {token["content"] for token in tokenizer.get("added_tokens_decoder", {}).values()}


def generation_settings(values: dict[str, Any]) -> dict[str, Any]:
    """Pick the settings of generation_config.json that sampling follows; without `do_sample` it is greedy."""
    picked = {name: values[name] for name in GENERATION if values.get(name) is not None}
    if not values.get("do_sample", False):
        picked = {n: v for n, v in picked.items() if n == "repetition_penalty"}
    return {"max_new_tokens": 2048, **picked}
