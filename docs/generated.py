"""Pages of the site that are made from the code: commands, columns, statuses, tables, Python API; a hook of MkDocs."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final
from unittest import mock

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT: Final = Path(__file__).parents[1]
CONFIGS: Final = ROOT / "tests" / "golden" / "configs"
"""What config.json of published models says of their structure: NAME.json, or a folder for several files."""
TOKENIZER: Final = ROOT / "tests" / "golden" / "qwen25vl_tiny"
"""Whose tokenizer stands for all: it does not change a count."""
TABLES: Final = (
    "connectors:CONNECTORS",
    "videollm.video.sampling:POLICIES",
    "videollm.video.decoding.base:DECODERS",
    "videollm.video.cues:CUES",
    "videollm.video.preprocessing:PREPROCESSINGS",
    "videollm.vision:TOWERS",
    "videollm.prompts.positions:POSITIONS",
    "videollm.checkpoints:FAMILIES",
    "videollm.adapters:ADAPTERS",
    "videollm.engines:ENGINES",
    "pipelines.executors.base:EXECUTORS",
    "pipelines.timelines.splitters:SPLITTERS",
    "pipelines.timelines.strategies.base:STRATEGIES",
    "pipelines.evals.benchmarks:BENCHMARKS",
    "pipelines.timelines.track_formats:TRACK_FORMATS",
    "pipelines.timelines.exports.base:EXPORTS",
)
"""Every table of classes by name."""
INTERFACES: Final = ("pipelines.evals.benchmark", "pipelines.stages.base", "pipelines.executors.base")
"""Modules of `pipelines` that are written for people who extend it."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to the site, before its links are checked."""
    from mkdocs.structure.files import File

    for path, make in PAGES.items():
        files.append(File.generated(config, path, content=make()))
    for path in sorted((ROOT / "examples").glob("*.py")):
        files.append(File.generated(config, f"examples/{path.name}", content=path.read_text()))
    return files


def quickstart() -> str:
    """Make the first page: the README, its links as seen from the site."""
    return _from_root("README.md")


def contributing() -> str:
    """Make the page of CONTRIBUTING.md."""
    return _from_root("CONTRIBUTING.md")


def changelog() -> str:
    """Make the page of CHANGELOG.md."""
    return _from_root("CHANGELOG.md")


def commands() -> str:
    """Make the page of commands: what each prints for `--help`."""
    from pipelines.cli.main import COMMANDS

    text = "# Commands\n\nWhat `videollm COMMAND --help` prints.\n"
    for name in COMMANDS:
        text += f"\n## {name}\n\n```text\n{help_of(name)}\n```\n"
    return text


def help_of(command: str) -> str:
    """Return what a command prints for `--help`."""
    from pipelines.cli.main import main

    printed = io.StringIO()
    wide = mock.patch.dict(os.environ, {"COLUMNS": "100", "NO_COLOR": "1"})
    with wide, contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([command, "--help"])
    return printed.getvalue().strip()


def columns() -> str:
    """Make the page of result columns."""
    from pipelines.results.schema import COLUMNS, column_descriptions

    rows = ((f"`{name}`", f"`{COLUMNS[name]}`", what) for name, what in column_descriptions().items())
    return "# Result columns\n\nEvery row of a job has these columns, in Parquet and in JSON lines.\n\n" + _table(
        ("column", "Arrow type", "what it holds"), rows
    )


def statuses() -> str:
    """Make the page of statuses."""
    from pipelines.results.schema import status_descriptions

    return (
        "# Statuses\n\nEvery row has a `status`; all but `ok` come with an `error` that says more. A job ends well "
        "whatever statuses its rows have, and `--retry-errors` runs those that are not `ok` again.\n\n"
        + _table(("status", "what happened"), ((f"`{name}`", what) for name, what in status_descriptions().items()))
    )


def tables() -> str:
    """Make the page of the tables: what goes by name, and how one more is added from outside."""
    text = (
        "# Names and extension points\n\nClasses that go by name. Each table also takes the classes that installed "
        "packages name in its entry-point group, and `pkg.mod:Class` or `path/to/file.py:Class`.\n"
    )
    for target in TABLES:
        module, _, name = target.partition(":")
        table = getattr(import_module(module), name)
        classes = {known: table[known] for known in table.builtin}
        rows = ((f"`{known}`", f"`{c.__module__}`", summary(c)) for known, c in classes.items())
        text += (
            f"\n## {name}\n\nA {table.noun} derives from `{table.base.replace(':', '.')}`; entry points: "
            f"`{table.group}`.\n\n{_table((table.noun, 'module', 'what it is'), rows)}"
        )
    return text


def families() -> str:
    """Make the table of families: what they are, their licences, what is proven of them."""
    from pipelines.cli.models import families, told_proofs

    rows = (
        (family.title, ", ".join(f"`{name}`" for name in names), family.parts, family.licence,
         told_proofs(family, names))
        for family, names in families().items()
        if family.published
    )  # fmt: skip
    return _table(("family", "`model_type`", "tower; connector; LLM", "licence (check the model card)", "proven"), rows)


def costs() -> str:
    """Make the table of what a video costs with published models, as `videollm models` counts it."""
    from pipelines.cli.models import ModelsOptions, cost
    from videollm.checkpoints import Options, outline

    options, rows = ModelsOptions(), []
    for source in sorted(CONFIGS.iterdir(), key=lambda path: path.name.lower()):
        with TemporaryDirectory() as scratch:
            folder = model_folder(source, Path(scratch))
            model = outline(Options(name=str(folder), device="cpu"))
        counted = [cost(model, seconds, options) for seconds in options.seconds]
        most = "≤ " if model.connector.varies else ""
        cells = [f"{frames:,} / {most}{tokens:,}" for frames, tokens in counted]
        rows.append((source.name.removesuffix(".json"), *cells))
    return _table(("frames / visual tokens", "10 s", "1 min", "10 min", "1 h"), rows)


def model_folder(source: Path, folder: Path) -> Path:
    """Lay out a model's configuration, a file or a folder of CONFIGS, as a folder that can be outlined."""
    if source.is_dir():
        shutil.copytree(source, folder, dirs_exist_ok=True)
    else:
        shutil.copy(source, folder / "config.json")
    for file in (*TOKENIZER.glob("tokenizer*"), TOKENIZER / "chat_template.jinja"):
        for place in (folder, folder / "llm"):
            if place.is_dir():
                shutil.copy(file, place)
    return folder


def with_tables(text: str) -> str:
    """Make the tables of a written page anew: those between marks that name one of MARKED."""

    def made(found: re.Match[str]) -> str:
        return f"{found[1]}\n\n{MARKED[found[2]]()}\n{found[3]}"

    return MARKS.sub(made, text)


def summary(documented: object) -> str:
    """Return the first sentence of a docstring, on one line."""
    paragraph = (inspect.getdoc(documented) or "").partition("\n\n")[0]
    return " ".join(paragraph.split())


def package_page(package: str) -> Callable[[], str]:
    """Return the maker of a package's API page: all that `__all__` names."""

    def make() -> str:
        module = import_module(package)
        text = f"# {package}\n\n{summary(module)}\n"
        return text + "".join(f"\n::: {package}.{name}\n" for name in module.__all__)

    return make


def pipelines_page() -> str:
    """Make the API page of the modules by which `pipelines` is extended."""
    text = "# pipelines\n\nWhat benchmarks, stages and executors of your own derive from.\n"
    return text + "".join(f"\n::: {module}\n    options: {{show_root_full_path: true}}\n" for module in INTERFACES)


def main() -> None:
    """Write the marked tables of all pages anew."""
    for page in (ROOT / "docs").rglob("*.md"):
        if (made := with_tables(text := page.read_text())) != text:
            page.write_text(made)


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = tuple(header)
    lines = [head, ("---",) * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _from_root(name: str) -> str:
    """Read a page of the root folder, its links as seen from docs/."""
    pages = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}

    def moved(link: re.Match[str]) -> str:
        target = link[1].removeprefix("docs/")
        return f"]({pages.get(target, target)}{link[2]})"

    return re.sub(r"\]\(([\w./-]+)(#[\w-]*)?\)", moved, (ROOT / name).read_text())


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "index.md": quickstart,
    "contributing.md": contributing,
    "changelog.md": changelog,
    "statuses.md": statuses,
    "reference/commands.md": commands,
    "reference/columns.md": columns,
    "reference/tables.md": tables,
    "reference/videollm.md": package_page("videollm"),
    "reference/connectors.md": package_page("connectors"),
    "reference/pipelines.md": pipelines_page,
}
"""Path in the site -> maker of its text."""
MARKED: Final[Mapping[str, Callable[[], str]]] = {"families": families, "costs": costs}
"""Name of a table that lies in a written page -> its maker."""
MARKS: Final = re.compile(r"(<!-- (\w+), made by docs/generated.py -->)\n.*?(<!-- end -->)", re.DOTALL)

if __name__ == "__main__":
    main()
