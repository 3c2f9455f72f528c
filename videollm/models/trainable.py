"""The interface of a model that can learn. Importing this takes no torch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from videollm.models.protocol import VideoModel, Visual

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from connectors import Connector
    from videollm.engines.packing import Position
    from videollm.prompts.chat import ChatPrompt
    from videollm.prompts.positions import Positions
    from videollm.video.preprocessing import Preprocessing


class TrainableModel(VideoModel):
    """A model of parts that can learn: gradients flow through `encode_frames`, `connect` and the LLM."""

    tower: nn.Module
    connector: Connector
    llm: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    prompt: ChatPrompt
    positions: Positions
    transform: Preprocessing
    """From frames to the pixels that the tower takes."""

    @abstractmethod
    def write_prompt(
        self,
        visual: Visual,
        question: str,
        *,
        options: Sequence[str] = (),
        system: str | None = None,
        ocr: str | None = None,
    ) -> tuple[list[int], list[Position], str]:
        """Write the prompt of a question.

        Args:
            visual: the clip.
            question: the user's text, taken literally.
            options: answers to choose from.
            system: system message, instead of the model's own.
            ocr: text found in the pictures.
        Returns:
            The ids, VISUAL for every visual token; the position of each and of the token to come; and the text.
        Raises:
            UserError: as `ChatPrompt`.
        """
