"""Names of weights that many layouts share: those of transformers' CLIP and SigLIP, and of its causal LMs."""

from __future__ import annotations

import re

from videollm.checkpoints.folder import Rename


def vit(num_layers: int, select_layer: int, target: str = "tower.model.") -> Rename:
    """Make the translation of names after `vision_model.`; what lies behind the selected layer is known and not used.

    Args:
        num_layers: of the whole tower.
        select_layer: as for `VisionTower.Config`.
        target: prefix in the model.
    """
    from videollm.vision.tower import layers_to_keep  # which takes torch

    kept = layers_to_keep(num_layers, select_layer)

    def rename(name: str) -> str | None:
        layer = re.match(r"encoder\.layers?\.(\d+)\.", name)
        unused = name.startswith(("post_layernorm.", "layernorm.", "head.")) or name == "embeddings.position_ids"
        return None if unused or (layer and kept <= int(layer[1]) < num_layers) else f"{target}{name}"

    return rename


def causal_lm(name: str) -> str | None:
    """Translate a name of a causal LM, of the versions of transformers that the checkpoints were saved with."""
    if name.endswith("rotary_emb.inv_freq"):
        return None
    if found := re.fullmatch(r"(model\.layers\.\d+\.)block_sparse_moe\.(.*)", name):  # Mixtral
        inside = re.sub(r"experts\.\d+\.w([13])\.weight", "experts.gate_up_proj", found[2])
        return f"llm.{found[1]}mlp.{re.sub(r'experts.[0-9]+.w2.weight', 'experts.down_proj', inside)}"
    name = re.sub(r"mlp\.experts\.\d+\.(gate|up)_proj\.weight", "mlp.experts.gate_up_proj", name)  # Qwen3-MoE
    return f"llm.{re.sub(r'mlp.experts.[0-9]+.down_proj.weight', 'mlp.experts.down_proj', name)}"
