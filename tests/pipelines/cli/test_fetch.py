"""`videollm fetch` against a local server that stands for the hub."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub.constants import DOWNLOAD_CHUNK_SIZE

import videollm
from pipelines.evals.benchmarks import BENCHMARKS
from tests.support.hub import COMMIT, Hub, Stored, Traffic, serving, stored
from tests.support.paths import GOLDEN, ROOT
from videollm.checkpoints import elsewhere

MODEL = Path(videollm.__file__).parent / "assets" / "tiny-stc"
WEIGHTS = bytes(3 * DOWNLOAD_CHUNK_SIZE)
"""Of which half is more than the client writes at once."""
REPOSITORIES = {
    "maker/tiny": stored(MODEL, **{"model.safetensors": WEIGHTS, "pytorch_model.bin": b"pickled", "demo.mp4": b"."}),
    "maker/gated": Stored(files={"config.json": b"{}"}, gated=True),
    "maker/unknown": Stored(files={"config.json": b'{"model_type": "bert"}', "model.safetensors": b"weights"}),
    "datasets/lmms-lab/Video-MME": Stored(
        files={"videomme/test-00000-of-00001.parquet": b"rows", "videos_chunked_01.zip": b"videos"}
    ),
}
RUN = """
import json, sys
from pipelines.cli.main import main
for arguments in json.loads(sys.argv[1]):
    try:
        main(["fetch", *arguments])
        print("exit 0", flush=True)
    except SystemExit as end:
        print("exit", end.code, flush=True)
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving(REPOSITORIES) as server:
        yield server


def fetch(hub: Hub, cache: Path, *commands: list[str], **environment: str) -> tuple[str, list[str]]:
    """Run commands in one process: what they print, and lines of errors."""
    done = subprocess.run([sys.executable, "-c", RUN, json.dumps(commands)], capture_output=True, text=True, check=True,
                          cwd=ROOT, env={**hub.environment(cache), **environment})  # fmt: skip
    return done.stdout, [line for line in done.stderr.splitlines() if line.startswith("videollm: ")]


def test_a_model_is_fetched_and_goes_on_after_a_break(hub: Hub, tmp_path: Path) -> None:
    told, errors = fetch(hub, tmp_path, ["maker/tiny@v1"])
    snapshot = tmp_path / "models--maker--tiny" / "snapshots" / COMMIT
    assert (f"maker/tiny@v1 at {COMMIT[:12]}: " in told, f"in {snapshot}" in told, errors) == (True, True, [])
    assert (snapshot / "model.safetensors").read_bytes() == WEIGHTS
    assert {p.name for p in snapshot.iterdir()} == {p.name for p in MODEL.iterdir() if p.is_file()}
    assert hub.traffic.starts == [0, DOWNLOAD_CHUNK_SIZE]  # what came is kept
    hub.traffic = Traffic()
    assert "exit 0" in fetch(hub, tmp_path, ["maker/tiny@v1"])[0]
    assert not hub.traffic.starts


def test_a_later_command_goes_on_with_the_files_that_are_not_complete(hub: Hub, tmp_path: Path) -> None:
    hub.traffic = Traffic(down=True)
    told, errors = fetch(hub, tmp_path, ["maker/tiny"])
    assert "exit 2" in told
    assert len(errors) == 1
    assert errors[0].startswith("videollm: The hub does not give model 'maker/tiny': ")
    hub.traffic.down = False
    assert "exit 0" in fetch(hub, tmp_path, ["maker/tiny"])[0]
    assert (hub.traffic.starts, hub.traffic.asked["tokenizer.json"]) == ([0, 0], 1)


def test_a_dry_run_lists_and_fetches_nothing(hub: Hub, tmp_path: Path) -> None:
    told, errors = fetch(hub, tmp_path / "cache", ["maker/tiny", "videomme", "--dry-run"])
    assert errors == []
    listed = dict(reversed(line.split()) for line in told.splitlines() if line.startswith("  "))
    wanted = {p.name for p in MODEL.iterdir() if p.is_file()}
    expected = {name: f"{len(data):,}" for name, data in REPOSITORIES["maker/tiny"].files.items() if name in wanted}
    data = {"videomme/test-00000-of-00001.parquet": "4", "videos_chunked_01.zip": "6"}
    assert listed == expected | data
    assert "To fetch: 10 bytes." in told
    assert not (tmp_path / "cache").exists()
    assert not hub.traffic.starts


def test_a_benchmark_is_put_into_a_folder(hub: Hub, tmp_path: Path) -> None:
    told, errors = fetch(hub, tmp_path / "cache", ["videomme", "-o", str(tmp_path / "data")])
    assert errors == []
    assert (tmp_path / "data" / "videomme" / "test-00000-of-00001.parquet").read_bytes() == b"rows"
    assert f"in {tmp_path / 'data'}\n  1 archives are to be unpacked" in told


def test_what_cannot_be_fetched_is_one_message(hub: Hub, tmp_path: Path) -> None:
    cases = {
        ("maker/other",): "there is no such repository, or it is private",
        ("maker/tiny@v2",): "it has no such revision",
        ("maker/gated",): "it is gated; accept its conditions on huggingface.co, then log in",
        ("maker/unknown",): "maker/unknown/config.json has model_type 'bert', which is none of the ",
        ("egoschema",): "is not on the hub as it is read here. Get it from https://github.com/egoschema/EgoSchema",
        ("nextqa", "--split", "val"): "Get it from https://github.com/doc-doc/NExT-QA",
        ("nextqa", "--split", "train"): "expected one of val, test",
        ("videome",): "no model (org/name) and none of the benchmarks videomme, ",
        ("./nothing/here",): "No model './nothing/here'",
        ("maker/tiny", "videomme", "-o", "x"): "--output takes one name",
        (): "Name a model",
    }
    told, errors = fetch(hub, tmp_path, *map(list, cases))
    assert told.splitlines() == ["exit 2"] * len(cases)
    for expected, error in zip(cases.values(), errors, strict=True):
        assert expected in error
    (told, offline), asked = fetch(hub, tmp_path, ["maker/tiny"], HF_HUB_OFFLINE="1"), hub.traffic.asked
    assert (told, len(offline), asked["model.safetensors"]) == ("exit 2\n", 1, 0)
    assert "offline mode is enabled" in offline[0]
    _, refused = fetch(hub, tmp_path, ["maker/tiny"], HF_ENDPOINT="http://127.0.0.1:9")
    assert "the connection failed" in refused[0]


def test_what_lies_here_is_not_fetched(hub: Hub, tmp_path: Path) -> None:
    told, errors = fetch(hub, tmp_path, ["tiny-stc", str(MODEL)])
    assert (told.count("on this machine already"), errors, hub.traffic.asked) == (2, [], {})


def test_towers_of_other_repositories_are_known_before(tmp_path: Path) -> None:
    folder = tmp_path / "mgm"
    folder.mkdir()
    values = json.loads((GOLDEN / "minigemini_tiny" / "config.json").read_text())
    values |= {"mm_vision_tower": "model_zoo/clip", "mm_vision_tower_aux": "model_zoo/convnext"}
    (folder / "config.json").write_text(json.dumps(values))
    convnext = "laion/CLIP-convnext_large_d_320.laion2B-s29B-b131K-ft-soup"
    assert list(elsewhere(folder, [])) == ["openai/clip-vit-large-patch14-336", convnext]
    copies = ("model.vision_tower.vision_tower.vision_model.x", "model.vision_tower_aux.vision_stem.x")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(copies[:1], "a")}))
    assert elsewhere(folder, []) == {convnext: ("open_clip_pytorch_model.bin",)}
    index.write_text(json.dumps({"weight_map": dict.fromkeys(copies, "a")}))
    assert elsewhere(folder, []) == {}


def test_the_llm_of_a_connector_shipped_alone_is_known_before(tmp_path: Path) -> None:
    values = {"model_type": "videollama2_qwen2", "_name_or_path": "Qwen/Qwen2-7B-Instruct",
              "mm_vision_tower": "google/siglip-so400m-patch14-384"}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(values))
    base = {"Qwen/Qwen2-7B-Instruct": (), "google/siglip-so400m-patch14-384": ()}
    assert elsewhere(tmp_path, ["mm_projector.bin"]) == base
    assert elsewhere(tmp_path, ["model.safetensors.index.json"]) == {}


@pytest.mark.parametrize("name", BENCHMARKS.builtin)
def test_every_benchmark_says_where_it_is_to_be_had(name: str) -> None:
    benchmark, page = BENCHMARKS[name], (ROOT / "docs" / "benchmarks.md").read_text()
    assert len(benchmark.datasets) in (0, len(benchmark.splits))
    assert benchmark.source or (benchmark.datasets and all(benchmark.datasets))
    for dataset in filter(None, benchmark.datasets):
        assert f"https://huggingface.co/datasets/{dataset}" in page
