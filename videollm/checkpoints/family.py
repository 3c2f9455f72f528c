"""Families: layouts of model folders. What a folder says is read without torch; loading it takes torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from videollm.checkpoints.folder import Source, weight_files
from videollm.engines import DEFAULT_ENGINE
from videollm.errors import UserError
from videollm.models.config import ModelConfig
from videollm.models.protocol import ModelInfo

if TYPE_CHECKING:
    from videollm.models.protocol import VideoModel

UNTRAINED: Final = "Connector {name} is untrained: its answers mean nothing yet. Train it, or give its weights."


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to load a model folder."""

    name: str
    """How answers name the model."""
    device: str = "auto"
    """`auto` is cuda where there is one, else cpu."""
    dtype: str = "auto"
    """`auto` is bfloat16 on cuda and float32 on cpu; `config` is what config.json says; or a torch dtype's name."""
    family: str | None = None
    """As for FAMILIES.load; the one that config.json's `model_type` names, if not given."""
    connector: str | None = None
    """A connector to put in the place of the model's own, as for CONNECTORS.load."""
    connector_config: Mapping[str, Any] = field(default_factory=dict)
    """Fields of that connector's Config."""
    connector_weights: Path | None = None
    """Weights of that connector: a file, or a model folder that holds it."""
    thinking: bool = False
    """Let the LLM think before it answers, where its chat template can ask for that."""
    engine: str = DEFAULT_ENGINE
    """As for ENGINES.load."""
    engine_config: Mapping[str, Any] = field(default_factory=dict)
    """Fields of that engine's Config."""

    def replaces_connector(self, config: ModelConfig) -> bool:
        """Tell whether another connector takes the place of the model's own."""
        return self.connector is not None and self.connector != config.connector["name"]

    def leaves_untrained(self, config: ModelConfig) -> bool:
        """Tell whether the model would have a connector without trained weights."""
        return self.replaces_connector(config) and self.connector_weights is None

    def apply(self, config: ModelConfig) -> ModelConfig:
        """Put the connector and the way to prompt that are asked for into what a folder says."""
        if self.connector is not None:
            config = config.with_connector(self.connector, self.connector_config)
        if self.thinking:
            config = replace(config, prompt={**config.prompt, "enable_thinking": True})
        return config


class Family(ABC):
    """A layout of model folders: where config.json, weights and tokenizer lie, and what they mean.

    Everything but `load` reads small files alone and imports no torch.
    """

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
            UserError: it holds none, or not all of them.
        """
        if not weight_files(folder):
            raise UserError(f"{folder / 'model.safetensors'} is missing. Fetch or save the model folder again.")

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, options: Options) -> VideoModel:
        """Load the model of a folder.

        Raises:
            UserError: as `describe` and `check_weights`; weights and configuration do not fit.
        """


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
    def describe(cls, folder: Path, options: Options) -> ModelInfo:
        """Describe the model of a folder by its configuration files, see `Family.describe`."""
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
            notice=UNTRAINED.format(name=name) if options.leaves_untrained(own) else config.notice,
        )

    @classmethod
    def load(cls, folder: Path, options: Options) -> VideoModel:
        """Load the model of a folder, see `Family.load`."""
        from videollm.checkpoints.assemble import assemble

        config = cls.read_config(folder, options)
        return assemble(folder, config, cls.sources(folder, config), options)


def language_model(values: dict[str, Any], foreign: Set[str]) -> dict[str, Any]:
    """Pick the fields of a config.json that describe the LLM: all but the foreign ones, and no null `rope_scaling`."""
    return {k: v for k, v in values.items() if k not in foreign and not (k == "rope_scaling" and v is None)}
