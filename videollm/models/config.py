"""The settings of a composed model, as config.json of a model folder holds them; reading them takes no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from videollm.errors import UserError
from videollm.types import Generation
from videollm.video.preprocessing import Preprocessing
from videollm.video.sampling import Sampling


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Content of config.json of a model folder."""

    vision: dict[str, Any]
    """`kind` (a name in TOWERS) and the fields of that tower's Config."""
    connector: dict[str, Any]
    """`name` (as for CONNECTORS.load), and `config`, the fields of that connector's Config."""
    llm: dict[str, Any]
    """The transformers config of the LLM."""
    transform: dict[str, Any]
    """`kind` (a name in PREPROCESSINGS; `square` if there is none) and the fields of that class."""
    sampling: dict[str, Any]
    """`policy` (a name in POLICIES) and the fields of that policy."""
    generation: dict[str, Any] = field(default_factory=dict)
    """Fields of Generation."""
    prompt: dict[str, Any] = field(default_factory=dict)
    """Fields of ChatPrompt."""
    positions: dict[str, Any] = field(default_factory=dict)
    """`kind` (a name in POSITIONS; `numbered` if there is none) and the fields of that class."""
    notice: str | None = None
    """One line that users should see before they trust the answers."""
    model_type: str = "videollm"

    def with_connector(self, name: str, settings: Mapping[str, Any]) -> ModelConfig:
        """Put a connector in the place of the model's own, which keeps its settings where it has the same name."""
        kept = self.connector.get("config", {}) if name == self.connector["name"] else {}
        return replace(self, connector={"name": name, "config": {**kept, **settings}})

    def build_preprocessing(self) -> Preprocessing:
        """Build the preprocessing of frames.

        Raises:
            UserError: the settings are not those of a known kind.
        """
        return Preprocessing.from_dict(self.transform)

    def build_sampling(self) -> Sampling:
        """Build the model's own choice of frames.

        Raises:
            UserError: there is no such policy, or it lacks one of the settings.
        """
        return Sampling.from_dict(self.sampling)

    def build_generation(self) -> Generation:
        """Build the generation settings of the model's makers.

        Raises:
            UserError: the settings are not those of Generation.
        """
        made: Generation = build_part("generation", Generation, self.generation)
        return made


def build_part(field: str, cls: Any, settings: Mapping[str, Any]) -> Any:
    """Build what a field of ModelConfig describes.

    Raises:
        UserError: the class does not take these settings.
    """
    try:
        return cls(**settings)
    except (TypeError, ValueError, KeyError) as error:
        lacks = "it lacks " if isinstance(error, KeyError) else ""
        raise UserError(
            f"The model's {field} cannot be built: {lacks}{error}. Use the checkpoint's own config.json."
        ) from error
