"""The console script `videollm`: a table of commands, each with options and a main(options), imported when used."""

from __future__ import annotations

import atexit
import errno
import gc
import inspect
import os
import select
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

COMMANDS: Final = {
    "demo": ("pipelines.cli.demo:DemoOptions", "draw clips, caption them, answer questions and score the answers"),
    "caption": ("pipelines.cli.caption:CaptionOptions", "describe every video of folders, globs and manifests"),
    "answer": ("pipelines.cli.answer:AnswerOptions", "answer the questions of a manifest"),
    "ask": ("pipelines.cli.ask:AskOptions", "ask one question about one video"),
    "eval": ("pipelines.cli.eval:EvalOptions", "ask a benchmark's questions and score the answers"),
    "score": ("pipelines.cli.score:ScoreOptions", "score an eval's answers again, without a model"),
    "compare-runs": ("pipelines.cli.compare_runs:CompareRunsOptions", "compare two evals question by question"),
    "report": ("pipelines.cli.report:ReportOptions", "show runs as one HTML page, with tables"),
    "watch": ("pipelines.cli.watch:WatchOptions", "serve the live page of a job on this machine"),
    "timeline": ("pipelines.cli.timeline:TimelineOptions", "write captions as subtitles, chapters and timed JSON"),
    "export": ("pipelines.cli.export:ExportCommandOptions", "write rows as JSON lines, sidecars, tars or a dataset"),
    "models": ("pipelines.cli.models:ModelsOptions", "list the models, or count what a video costs with one"),
    "fetch": ("pipelines.cli.fetch:FetchOptions", "download models and benchmarks from the hub"),
    "connectors": ("pipelines.cli.connectors:ConnectorsOptions", "list the connectors"),
    "make-clips": ("pipelines.cli.make_clips:MakeClipsOptions", "draw clips of moving shapes, with questions"),
    "eval-shapes": (
        "pipelines.cli.eval_shapes:EvalShapesOptions",
        "score a model on such clips, as they are, shuffled and blank",
    ),
    "train": ("pipelines.cli.train:TrainOptions", "train a connector, an LLM or a vision tower"),
}
"""Command -> its options, in a module with `main`, and what it does."""
OF_THE_MACHINE: Final = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)
"""Errors of the operating system that only the user can mend: no permission, or no space."""
TRACE: Final = "VIDEOLLM_TRACE"
"""Environment variable that shows where an error came from."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command; exit with 2 after an error that the user can mend, 1 after a bug, 130 after Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help"):
        print(_usage())
        return
    if name == "--version":
        from importlib.metadata import version

        print(f"videollm {version('videollm')}")
        return
    if name not in COMMANDS:
        _fail(f"Unknown command {name!r}; expected one of {', '.join(COMMANDS)}.")
    try:
        _run(name, arguments[1:])
        sys.stdout.flush()
    except BrokenPipeError as error:
        if not _reader_is_gone():
            _report_bug(error)
        # Whoever read the output wants no more of it: `videollm report ... | head`. Nothing is left to be said there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("\nStopped. What is finished is kept; run the same command to go on.", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if os.environ.get(TRACE):
            raise
        from videollm.errors import VideollmError

        if isinstance(error, VideollmError) or (isinstance(error, OSError) and error.errno in OF_THE_MACHINE):
            _fail(str(error))
        _report_bug(error)


def _run(name: str, arguments: list[str]) -> None:
    import tyro

    from pipelines.cli import config_file

    atexit.register(gc.freeze)  # else the interpreter looks through all of torch before it ends: two seconds
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # --connector mod:Class finds mod in the folder the user is in; workers get the path too
    path, _, options = COMMANDS[name][0].partition(":")
    module = import_module(path)
    cls, default = getattr(module, options), None
    file, arguments = config_file.split_flag(arguments)
    if file is not None:
        default, others = config_file.read_options(file, cls)
        if others:
            print(f"{file}: `{name}` has no {', '.join(others)}; left out.", file=sys.stderr)
    flat = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)
    about = f"{inspect.cleandoc(cls.__doc__)}\n\n{config_file.HELP}"
    module.main(tyro.cli(cls, prog=f"videollm {name}", description=about, args=arguments, default=default, config=flat))


def _reader_is_gone() -> bool:
    """Tell whether nobody reads stdout or stderr any more; another pipe that breaks is a bug."""
    poll = select.poll()
    for stream in (sys.stdout, sys.stderr):
        poll.register(stream, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(["usage: videollm COMMAND ...", "", *lines, "", "videollm COMMAND --help says more."])


def _fail(message: str) -> None:
    print(f"videollm: {message}", file=sys.stderr)
    sys.exit(2)


def _report_bug(error: Exception) -> None:
    """Print that the product itself failed, and the path of the trace: the job's log, or a file of its own."""
    place: Path | None = getattr(error, "trace_file", None)
    if place is None:
        place = Path(tempfile.mkdtemp(prefix="videollm-")) / "trace.txt"
        place.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    message = next(iter(str(error).splitlines()), "")
    print(f"videollm: internal error: {type(error).__name__}: {message}", file=sys.stderr)
    print(f"The trace is in {place}; please report it. ({TRACE}=1 shows it at once.)", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
