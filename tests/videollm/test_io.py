"""Files of every scheme: found, listed, fetched and hashed alike; what cannot be read says why."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

from pipelines.requests.manifest import read
from tests.support.clips import numbers, write
from videollm.errors import UserError, VideoError
from videollm.io import (
    SCHEMES,
    atomic_write,
    is_remote,
    list_files,
    local_name,
    local_path,
    open_file,
    quick_hash,
    remote_version,
    suffix,
)
from videollm.types import Clip
from videollm.video.content import content_digest
from videollm.video.decoding.decode import decode
from videollm.video.sampling import Sampling

STORES = sorted(set(SCHEMES) - {"file", "http", "https"})


class Store(MemoryFileSystem):  # type: ignore[misc]
    """What fsspec finds under every scheme of a store: one file system, in memory."""

    cachable = False
    store: dict[str, object] = {}  # noqa: RUF012 (as in fsspec)
    pseudo_dirs = [""]  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(MemoryFileSystem._strip_protocol(path.partition("://")[2] if "://" in path else path))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write(tmp_path_factory.mktemp("io") / "clip.mp4", 12).read_bytes()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An empty store behind every scheme but those of files and web servers, in the place of the real ones."""
    for scheme in STORES:
        monkeypatch.setitem(_registry, scheme, Store)
    yield Store()
    Store.store.clear()


@pytest.mark.parametrize("scheme", STORES)
def test_every_scheme_is_listed_read_and_decoded(scheme: str, store: Store, clip: bytes) -> None:
    for name in ("b.mp4", "a.MP4", "sub/c.mp4", "notes.txt"):
        store.pipe(f"/bucket/videos/{name}", clip)
    root = f"{scheme}://bucket/videos"
    below = [f"{root}/{name}" for name in ("a.MP4", "b.mp4", "sub/c.mp4")]
    assert list_files(root) == [*below[:2], f"{root}/notes.txt", below[2]]
    assert list_files(f"{root}/*.mp4") == [below[1]]
    found = read([root], default_question="What?")
    assert [entry.clip.video for entry in found] == below  # type: ignore[union-attr]
    batch = decode(below[0], Sampling(num_frames=3))
    assert numbers(batch.frames) == list(batch.indices)
    digest = content_digest(below[1])
    store.pipe("/bucket/videos/b.mp4", clip)
    assert content_digest(below[1]) != digest, "a file that was written again has another version"


@pytest.mark.parametrize("scheme", STORES)
def test_manifests_name_videos_of_every_scheme(scheme: str, store: Store, clip: bytes, tmp_path: Path) -> None:
    store.pipe("/bucket/clip.mp4", clip)
    rows = f'{{"video": "{scheme}://bucket/clip.mp4", "question": "q"}}\n{{"video": "clip.mp4", "question": "q"}}\n'
    (tmp_path / "here.jsonl").write_text(rows)
    store.pipe("/bucket/there.jsonl", rows.encode())
    for manifest, beside in ((tmp_path / "here.jsonl", tmp_path), (f"{scheme}://bucket/there.jsonl", None)):
        first, second = read([str(manifest)], default_question=None)
        assert first.clip.video == f"{scheme}://bucket/clip.mp4"  # type: ignore[union-attr]
        folder = beside or f"{scheme}://bucket"
        assert second.clip.video == f"{folder}/clip.mp4"  # type: ignore[union-attr]


def test_what_is_missing_in_a_store_is_not_found(store: Store) -> None:
    with pytest.raises(VideoError, match="no such file on the server") as error:
        decode("hf://datasets/org/none.mp4", Sampling())
    assert error.value.status == "not_found"
    with pytest.raises(UserError, match="holds no videos"):
        read(["az://bucket/nothing/"], default_question="q")


@pytest.mark.parametrize("scheme", ["s4", "gss", "odd+scheme"])
def test_an_unknown_scheme_says_which_are_known(scheme: str, tmp_path: Path) -> None:
    said = rf"scheme {scheme.replace('+', '.')}:// is not known; expected one of file, .*s3a, .*hf.*videollm\[EXTRA\]"
    with pytest.raises(VideoError, match=said) as error:
        decode(f"{scheme}://bucket/a.mp4", Sampling())
    assert error.value.status == "bad_request"
    with pytest.raises(UserError, match=said):
        read([f"{scheme}://bucket/a.mp4"], default_question="q")


@pytest.mark.parametrize(("scheme", "extra"), [(s, e) for s, e in SCHEMES.items() if e])
def test_a_store_without_its_package_names_the_extra(scheme: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("s3fs", "gcsfs", "adlfs", "huggingface_hub"):
        monkeypatch.setitem(sys.modules, package, None)
    for name in ("s3", "gs", "az", "abfs", "hf"):
        monkeypatch.delitem(_registry, name, raising=False)
    with pytest.raises(VideoError, match=rf"pip install 'videollm\[{extra}\]'") as error:
        decode(f"{scheme}://bucket/a.mp4", Sampling())
    assert error.value.status == "missing_dependency"


def test_every_extra_of_a_scheme_is_one_of_the_package() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    for extra in filter(None, SCHEMES.values()):
        assert f"\n{extra} = [" in text


@pytest.mark.parametrize(
    ("path", "remote", "end"),
    [
        ("a.mp4", False, ".mp4"),
        ("/x/y.MOV", False, ".mov"),
        ("a:b.mp4", False, ".mp4"),
        ("file:///x/a.mp4", False, ".mp4"),
        ("S3://bucket/what?#1.mp4", True, ".mp4"),
        ("https://host/a.MP4?token=x.y", True, ".mp4"),
        ("abfss://box@account.dfs.core.windows.net/a.webm", True, ".webm"),
        ("odd+scheme://x", True, ""),
    ],
)
def test_paths_and_urls(path: str, remote: bool, end: str) -> None:
    assert (is_remote(path), suffix(path)) == (remote, end)


def test_file_urls_are_paths(clip: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(clip)
    url = f"file://{tmp_path}/a.mp4"
    assert local_name(url) == local_name(str(tmp_path / "a.mp4")) == str(tmp_path / "a.mp4")
    assert decode(url, Sampling()).indices == decode(str(tmp_path / "a.mp4"), Sampling()).indices
    assert content_digest(url) == content_digest(str(tmp_path / "a.mp4"))
    (tmp_path / "m.jsonl").write_text(f'{{"video": "{url}", "question": "q"}}')
    entries = [*read([str(tmp_path / "m.jsonl")], default_question=None), *read([url], default_question="q")]
    assert [e.clip for e in entries] == [Clip(video=str(tmp_path / "a.mp4"))] * 2  # type: ignore[union-attr]


def test_a_fetched_file_is_gone_after_its_use(store: Store, clip: bytes) -> None:
    store.pipe("/bucket/clip.MP4", clip)
    with local_path("gs://bucket/clip.MP4") as path:
        assert Path(path).read_bytes() == clip
        assert path.endswith(".mp4")
    assert not Path(path).parent.exists()
    with open_file("gs://bucket/clip.MP4") as file:
        assert file.read() == clip


def test_what_a_store_throws_is_one_message(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Store, path: str, *args: object, **options: object) -> io.BytesIO:
        raise {"no": PermissionError("403"), "odd": RuntimeError("teapot")}[Path(path).stem]

    monkeypatch.setattr(Store, "_open", fail)
    for name, status, said in (("no", "permission_denied", "denies access"), ("odd", "fetch_error", "teapot")):
        with pytest.raises(VideoError, match=said) as error, open_file(f"az://bucket/{name}.mp4"):
            pass
        assert error.value.status == status


def test_a_store_tells_versions_apart(store: Store) -> None:
    store.pipe("/bucket/a.mp4", b"one")
    before = remote_version("s3a://bucket/a.mp4")
    assert remote_version("s3a://bucket/a.mp4") == before
    store.pipe("/bucket/a.mp4", b"other")
    assert remote_version("s3a://bucket/a.mp4") != before


def test_a_write_is_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    with atomic_write(path) as scratch:
        scratch.write_text("old")
        assert not path.exists()
    assert path.read_text() == "old"

    def fail() -> None:
        with atomic_write(path) as scratch:
            scratch.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("size", [0, 1000, 5 << 20])
def test_quick_hash_sees_the_size_and_both_ends(size: int, tmp_path: Path) -> None:
    path = tmp_path / "x"
    data = bytearray(size)
    hashes = set()
    for change in (None, 0, -1):
        if change is not None and size:
            data[change] ^= 1
        path.write_bytes(data)
        hashes.add(quick_hash(path))
    assert len(hashes) == (3 if size else 1)
    assert all(found.startswith(f"{size}-") for found in hashes)
