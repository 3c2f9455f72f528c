"""Options of loading a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from videollm.engines import DEFAULT_ENGINE
from videollm.models.config import ModelConfig

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
    preset: str | None = None
    """Which frames the model sees and how it is asked, where its family has `presets`; the first one, if not given."""
    thinking: bool = False
    """Let the LLM think before it answers, where its chat template can ask for that."""
    engine: str = DEFAULT_ENGINE
    """As for ENGINES.load."""
    engine_config: Mapping[str, Any] = field(default_factory=dict)
    """Fields of that engine's Config."""

    answers: bool = True
    """Load the LLM, too. A model without it, but for its input embedding, encodes clips and connects them."""

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
