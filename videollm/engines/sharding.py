"""Tensor parallelism: the layers of an LLM cut over several processes, as transformers' own plan for the LLM says.

Of the first layers of a block a process holds some outputs (`colwise`: whole heads, some hidden units), of the last one
(`rowwise`) the weights for these; the sum over the processes is the block's output (Megatron-LM, arXiv:1909.08053).

Weights are plain tensors, not DTensors: three layers of 64 x 64 took 4.3 ms as DTensors where they take 0.2 ms as they
are, in every step, and steps are limited by what Python starts one by one.

SHAPES  i inputs and o outputs of a layer, n processes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import gcd
from typing import Any, Final

from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import PreTrainedModel

from videollm.engines.link import Link
from videollm.errors import UserError

COLUMNS: Final = ("colwise",)
"""Styles of a plan: a process makes o / n of the outputs, and keeps them for itself."""
GATHERED: Final = ("colwise_gather_output", "colwise_rep")
"""As COLUMNS, and every process is given the outputs of all; where n does not divide o, all make all of them."""
ROWS: Final = ("rowwise",)
"""A process holds the weights of i / n inputs, those that it has made; the outputs are summed."""
WHOLE: Final = ("embedding_rowwise", "embedding_colwise", "replicate", "replicated_with_grad_allreduce")
"""What every process holds all of: norms, and the input embedding, which the first process needs for prompts."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """The part of a weight that a process holds."""

    dim: int
    first: int
    length: int

    def of(self, whole: Tensor) -> Tensor:
        """Cut the part out of the whole weight; it shares its memory."""
        return whole.narrow(self.dim, self.first, self.length)


def check(llm: PreTrainedModel, num_devices: int) -> None:
    """Check that an LLM, whose weights need not be loaded yet, can be cut into so many parts.

    Raises:
        UserError: it cannot; the message says why.
    """
    config = llm.config.get_text_config(decoder=True)
    wanted = f"Over {num_devices} devices (num_devices, --gpus-per-llm) runs no LLM of the kind {config.model_type}"
    if not getattr(config, "base_model_tp_plan", None):
        raise UserError(f"{wanted}: transformers has no plan for it. Use one device.")
    styles = _styles(llm)
    if others := sorted({*styles.values()} - {*COLUMNS, *GATHERED, *ROWS, *WHOLE}):
        raise UserError(f"{wanted}: its plan has {', '.join(others)}, as mixtures of experts have. Use one device.")
    sizes = {"heads": config.num_attention_heads, "key heads": config.num_key_value_heads}
    for name, style in styles.items():
        layer = llm.get_submodule(name)
        if style in (*COLUMNS, *GATHERED, *ROWS) and not isinstance(layer, nn.Linear):
            raise UserError(f"{wanted}: its {name} is {type(layer).__name__}, expected a linear layer. Use one device.")
        elif isinstance(layer, nn.Linear) and style in (*COLUMNS, *ROWS):
            what = f"{'inputs' if style in ROWS else 'outputs'} of {name.rpartition('.')[2]}"
            sizes.setdefault(what, layer.in_features if style in ROWS else layer.out_features)
    if undivided := [f"{size} {what}" for what, size in sizes.items() if size % num_devices]:
        most = gcd(*sizes.values())
        fitting = ", ".join(str(n) for n in range(1, most + 1) if most % n == 0)
        raise UserError(f"The LLM has {', '.join(undivided)}, which {num_devices} devices cannot share. Use {fitting}.")


def shard(llm: PreTrainedModel, link: Link) -> dict[str, Slice]:
    """Have an LLM without weights (meta device) run on the part of them that a process holds.

    Returns:
        Parameter -> the part of it that is to be loaded; parameters that are not named are loaded whole.
    """
    tied = getattr(llm, "all_tied_weights_keys", None) or {}
    cuts: dict[str, Slice] = {}
    for name, style in _styles(llm).items():
        if style in WHOLE or f"{name}.weight" in tied:
            continue
        layer = llm.get_submodule(name)
        assert isinstance(layer, nn.Linear)
        if style in GATHERED and layer.out_features % link.size:
            continue
        dim = 1 if style in ROWS else 0
        length = layer.weight.shape[dim] // link.size
        for of_layer, parameter in layer.named_parameters():
            if dim < parameter.dim():  # the bias of a sum is not cut: it is added once, afterwards
                cuts[f"{name}.{of_layer}"] = Slice(dim=dim, first=link.rank * length, length=length)
        kind = _Summed if style in ROWS else _Gathered if style in GATHERED else _Own
        owner, _, leaf = name.rpartition(".")
        setattr(llm.get_submodule(owner), leaf, kind(layer, link))
    return cuts


class _Sharded(nn.Module):
    """A linear layer of which this process holds a part; parameters keep their names."""

    def __init__(self, whole: nn.Linear, link: Link) -> None:
        super().__init__()
        self.weight, self.bias, self.link = whole.weight, whole.bias, link
        self.training = whole.training

    def forward(self, x: Tensor) -> Tensor:
        """Compute the outputs of the part of the layer that is here: (... i) to (... o)."""
        return linear(x, self.weight, self.bias)

    def _save_to_state_dict(self, *_: Any) -> None:
        raise UserError(
            f"The LLM's weights lie on {self.link.size} devices, and such a model answers only. To train or save it, "
            "load it on one device."
        )


class _Own(_Sharded):
    """Makes outputs that only this process needs."""


class _Gathered(_Sharded):
    """Makes some of the outputs, and returns those of all processes."""

    def forward(self, x: Tensor) -> Tensor:
        return self.link.gather(super().forward(x))


class _Summed(_Sharded):
    """Knows some of the inputs, and returns the sum over all processes."""

    def forward(self, x: Tensor) -> Tensor:
        made = self.link.sum(linear(x, self.weight))
        return made if self.bias is None else made + self.bias


def _styles(llm: PreTrainedModel) -> dict[str, str]:
    """List the layers and parameters of an LLM that its plan names, with their styles."""
    plan = dict(llm._tp_plan or {})
    names = [name for name, _ in llm.named_modules()] + [name for name, _ in llm.named_parameters()]
    found: dict[str, str] = {}
    for pattern, style in plan.items():
        as_regex = re.compile(re.escape(pattern).replace(r"\*", r"[^.]+"))
        found.update({name: style for name in names if as_regex.fullmatch(name)})
    return found
