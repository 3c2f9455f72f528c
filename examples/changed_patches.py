"""A connector of your own: `--connector examples.changed_patches:ChangedPatches --connector-config keep=32`."""

from dataclasses import dataclass

import torch
from einops import rearrange, repeat

from connectors import Connector


class ChangedPatches(Connector):
    """Keeps the whole first frame, and of each later one only the patches that changed most since the frame before."""

    source = "After the frame-difference pruning of VideoLLaMA3, arXiv 2501.13106"

    @dataclass(frozen=True, kw_only=True)
    class Config(Connector.Config):
        """Hyper-parameters; they reach the command line by themselves."""

        keep: int = 16
        """Patches kept of each frame after the first."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.keep = config.keep
        self.project = torch.nn.Linear(config.d_vision, config.d_llm)

    def num_tokens(self, t: int, h: int, w: int) -> int:  # noqa: D102
        self.check_size(t, h, w)
        return h * w + (t - 1) * min(self.keep, h * w)

    def forward(self, patches: torch.Tensor, seconds: torch.Tensor) -> torch.Tensor:  # noqa: D102
        self.check_size(*patches.shape[1:4])
        x = rearrange(patches, "b t h w d -> b t (h w) d")
        change = (x[:, 1:].float() - x[:, :-1].float()).norm(dim=-1)
        index = change.topk(min(self.keep, x.shape[2])).indices.sort().values  # in reading order
        kept = x[:, 1:].gather(2, repeat(index, "b t k -> b t k d", d=x.shape[-1]))
        tokens: torch.Tensor = self.project(torch.cat([x[:, 0], rearrange(kept, "b t k d -> b (t k) d")], dim=1))
        return tokens
