"""Mini-Gemini: still images, HD, the places of its towers, and its structure at full size."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import videollm
from pipelines.cli import main as cli
from tests.support.families import tag
from tests.support.official import copy
from tests.support.paths import GOLDEN
from tests.support.tensors import read
from tests.videollm.checkpoints.test_structure import build, llm_names, shapes, tower_names
from tests.videollm.checkpoints.test_structure import read as read_config
from videollm import VideoLLM
from videollm.checkpoints import minigemini
from videollm.errors import UserError
from videollm.prompts.chat import ChatPrompt
from videollm.types import Generation

FOLDER = GOLDEN / "minigemini_tiny"
HD = {"image_grid": 2, "image_global": True, "image_size_aux": 256}
AUX = "model_zoo/OpenAI/openclip-convnext-large-d-320-laion2B-s29B-b131K-ft-soup"
LLAMA = read_config("Mini-Gemini-7B")[1]


def tokens(model: VideoLLM) -> torch.Tensor:
    return model.encode([model.decode(str(FOLDER / "frame.png"))])[0].tokens


def change_weights(folder: Path, change: Any) -> None:
    for file in folder.glob("model-*.safetensors"):
        save_file(change(load_file(file)), file)


@pytest.mark.parametrize(("name", "changes"), [("golden_image", {}), ("golden_hd", HD)])
def test_a_still_image_is_as_official(name: str, changes: dict[str, Any], tmp_path: Path) -> None:
    golden, facts = read(FOLDER / f"{name}.safetensors.gz")
    model = videollm.load(copy("minigemini_tiny", tmp_path, **changes), device="cpu")
    batch = model.decode(str(FOLDER / "frame.png"))
    pixels = model.transform.pixels(model.transform.groups(batch)[0].pictures)
    assert torch.equal(pixels, golden["pixel_values_aux"])
    visual = model.encode([batch])[0]
    assert len(visual.tokens) == model.num_visual_tokens(1)
    assert (visual.tokens - golden["visual_tokens"][0]).abs().max() <= 1e-5 * golden["visual_tokens"].abs().max()
    ids, _, text = model.write_prompt(visual, facts["question"])
    assert tag(-200)(ids) == golden["input_ids"].tolist()
    assert text.replace("<video>", "<image>") == facts["prompt"]
    assert model.answer(visual, facts["question"], generation=Generation(max_new_tokens=24)).text == facts["answer"]


def test_text_in_pictures_stands_where_the_official_code_puts_it(tmp_path: Path) -> None:
    """`prompt + '\\nReference OCR Token: ' + str_in_image + '\\n'`, before the template, never a control token."""
    facts = read(FOLDER / "golden_image.safetensors.gz")[1]
    model = videollm.load(FOLDER, device="cpu")
    assert isinstance(model, VideoLLM)
    visual = model.encode([model.decode(str(FOLDER / "frame.png"))])[0]
    asked = f"{facts['question']}\nReference OCR Token: STOP, {{}} Main St\n"
    expected = facts["prompt"].replace(facts["question"], asked)
    ids, _, text = model.write_prompt(visual, facts["question"], ocr="STOP, {} Main St")
    assert text.replace("<video>", "<image>") == expected
    behind = tag(-200)(ids)
    assert behind[behind.index(-200) + 1 :] == model.tokenizer(expected.split("<image>")[1]).input_ids[1:]
    assert model.write_prompt(visual, facts["question"], ocr="")[2] == model.write_prompt(visual, facts["question"])[2]
    assert model.tokenizer.eos_token_id not in model.write_prompt(visual, "What?", ocr="</s>")[0]


def test_text_in_pictures_through_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame, greedy = str(FOLDER / "frame.png"), ["--temperature", "0", "--max-new-tokens", "8"]
    cli.main(["ask", frame, "What does it say?", "--model", str(FOLDER), "--device", "cpu", "--ocr", "STOP", *greedy])
    model = videollm.load(FOLDER, device="cpu")
    answer = model.answer(frame, "What does it say?", generation=Generation(max_new_tokens=8), ocr="STOP")
    assert capsys.readouterr().out.strip() == answer.text
    rows = [{"id": "read", "video": frame, "question": "What does it say?", "ocr": "STOP"},
            {"id": "plain", "video": frame, "question": "What does it say?"}]  # fmt: skip
    (tmp_path / "m.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    job = ["-o", str(tmp_path / "out"), "--format", "jsonl", "--executor", "local", "--device", "cpu", *greedy]
    cli.main(["answer", str(tmp_path / "m.jsonl"), "--model", str(FOLDER), *job])
    made = {row["id"]: row for row in map(json.loads, (tmp_path / "out" / "part-00000.jsonl").read_text().splitlines())}
    assert (made["read"]["answer"], made["read"]["prompt"]) == (answer.text, answer.prompt)
    assert "OCR" not in made["plain"]["prompt"]


def test_models_that_take_no_text_of_pictures_refuse_it_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"video": str(FOLDER / "frame.png"), "question": "What?", "ocr": "STOP", "answer": "a"}
    (tmp_path / "m.jsonl").write_text(json.dumps(row) + "\n")
    job = ["-o", str(tmp_path / "out"), "--executor", "local"]
    commands = (["ask", "nothing.mp4", "What?", "--ocr", "STOP"], ["answer", str(tmp_path / "m.jsonl"), *job],
                ["eval", str(tmp_path / "m.jsonl"), *job])  # fmt: skip
    for command in commands:
        with pytest.raises(SystemExit, match=r"^2$"):
            cli.main(command)
        assert "tiny-stc: The model's prompt has no place for text found in pictures" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_towers_come_from_their_folders_where_the_checkpoint_has_no_copies(tmp_path: Path) -> None:
    folder = copy("minigemini_tiny", tmp_path)
    change_weights(folder, lambda held: {k: v for k, v in held.items() if "vision_tower" not in k})
    assert torch.equal(tokens(videollm.load(folder, device="cpu")), tokens(videollm.load(FOLDER, device="cpu")))


def test_a_trained_convnext_is_the_copy(tmp_path: Path) -> None:
    def change(held: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {k: v * 1.5 if "vision_tower_aux" in k else v for k, v in held.items()}

    expected = tokens(videollm.load(FOLDER, device="cpu"))
    for trained in (False, True):
        folder = copy("minigemini_tiny", tmp_path / str(trained), optimize_vision_tower_aux=trained)
        change_weights(folder, change)
        assert torch.equal(tokens(videollm.load(folder, device="cpu")), expected) != trained


def test_a_convnext_that_is_not_here_is_the_copy(tmp_path: Path) -> None:
    folder = copy("minigemini_tiny", tmp_path)
    shutil.rmtree(folder / AUX)
    assert torch.equal(tokens(videollm.load(folder, device="cpu")), tokens(videollm.load(FOLDER, device="cpu")))


def test_a_tower_elsewhere_is_found_by_its_folder(tmp_path: Path) -> None:
    folder = copy("minigemini_tiny", tmp_path)
    shutil.move(folder / "model_zoo", tmp_path / "elsewhere")
    values = json.loads((folder / "config.json").read_text())
    for name in ("mm_vision_tower", "mm_vision_tower_aux"):
        values[name] = values[name].replace("model_zoo", str(tmp_path / "elsewhere"))
    (folder / "config.json").write_text(json.dumps(values))
    assert torch.equal(tokens(videollm.load(folder, device="cpu")), tokens(videollm.load(FOLDER, device="cpu")))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image_aspect_ratio": "square"}, "image_aspect_ratio 'square'; expected 'pad'"),
        ({"image_grid": 2}, "image_grid 2 and image_global False"),
    ],
)
def test_refuses_what_it_would_get_wrong(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        videollm.load(copy("minigemini_tiny", tmp_path, **changes), device="cpu")


def test_a_clip_that_does_not_fit_is_refused() -> None:
    """The official code cuts the question off."""
    model = videollm.load(FOLDER, device="cpu")
    visual = model.encode([model.decode(str(FOLDER / "frame.png"))])[0]
    with pytest.raises(UserError, match="4096"):
        model.answer(visual, "what " * 4096)


def test_7b_holds_six_frames_and_refuses_seven() -> None:
    values = {**LLAMA, "max_position_embeddings": 4096}  # as Vicuna has them
    model = build(minigemini.configure(Path("config.json"), values, minigemini.CLIP, {}, {}), FOLDER.name)
    assert (model.sampling.num_frames, model.num_visual_tokens(7)) == (3, 4032)  # type: ignore[attr-defined]

    def ids(num_frames: int) -> list[int]:
        layout = [part for k in range(1, num_frames + 1) for part in (f"Image {k}:", 576, "\n")]
        return model.prompt("What happens?", layout)[0]

    model.engine.check(ids(6), 1)
    with pytest.raises(UserError, match=r"4032 of them visual.*fewer than 4096.*Use fewer frames"):
        model.engine.check(ids(7), 1)


@pytest.mark.parametrize("hd", [False, True])
def test_structure_of_7b(hd: bool) -> None:
    values = {**LLAMA, **({**HD, "image_size_aux": 1536} if hd else {})}
    config = minigemini.configure(Path("config.json"), values, minigemini.CLIP, {}, {})
    model = build(config, FOLDER.name)
    layer = [f"{m}.{k}" for m in ("conv_dw", "norm", "mlp.fc1", "mlp.fc2") for k in ("weight", "bias")] + ["gamma"]
    aux = {f"stages.{s}.blocks.{b}.{n}" for s, blocks in enumerate((3, 3, 27, 3)) for b in range(blocks) for n in layer}
    aux |= {f"stages.{s}.downsample.{i}.{k}" for s in (1, 2, 3) for i in (0, 1) for k in ("weight", "bias")}
    aux |= {f"stem.{i}.{k}" for i in (0, 1) for k in ("weight", "bias")}
    pairs = [f"model.vlm_uni_{n}_projector.{i}" for n in ("query", "aux", "val") for i in (0, 1)]
    pairs += ["model.mm_projector.0", "model.mm_projector.2"]
    names = llm_names(32, "", biased=False) | tower_names(24, minigemini.CLIP_COPY, clip=True)
    names |= {f"{minigemini.AUX_COPY}{n}" for n in aux} | {f"{n}.{k}" for n in pairs for k in ("weight", "bias")}
    rename, rename_tower = minigemini.renamer(config, aux_copy=True), minigemini.tower_renamer(config)
    assert {rename(n) for n in names} - {None} == shapes(model).keys()
    assert {rename_tower(f"visual.trunk.{n}") for n in aux} == {f"tower.aux.{n}" for n in aux}
    uni = sum(p.numel() for n, p in model.connector.named_parameters() if not n.startswith("projector"))
    assert round(uni / 1e6, 2) == 6.96
    assert round(sum(p.numel() for p in model.connector.projector.parameters()) / 1e6, 2) == 20.98
    assert round(sum(p.numel() for p in model.tower.aux.parameters()) / 1e6, 1) == 196.2
    assert model.num_visual_tokens(model.sampling.num_frames) == (2880 if hd else 3 * 576)


@pytest.mark.parametrize(
    ("kind", "control", "begins"),
    [
        ("mgm", [], "USER"),
        ("mgm", ["<|start_header_id|>"], "<|start_header_id|>system"),
        ("mgm", ["<|im_start|>"], "<|im_start|>"),
        ("mgm_gemma", [], "<start_of_turn>"),
        ("mgm_mixtral", [], r"\[INST\]"),
    ],
)
def test_the_prompt_is_told_by_the_llm(kind: str, control: list[str], begins: str) -> None:
    added = {"added_tokens_decoder": {str(i): {"content": token} for i, token in enumerate(control)}}
    config = minigemini.configure(Path("config.json"), {**LLAMA, "model_type": kind}, minigemini.CLIP, {}, added)
    tokenizer = videollm.load(FOLDER, device="cpu").tokenizer

    prompt = ChatPrompt(**{"tokenizer": tokenizer, **config.prompt})

    assert re.search(f"{begins}.*What", prompt("What?", 3)[1], re.DOTALL)
