"""A language model as judge of open-ended answers, as Video-ChatGPT uses GPT.

A judgement is kept beside the run under a hash of all it depends on, so that scoring again asks nothing anew. What
cannot be read as a verdict is no verdict: it counts as wrong, and its rate is a metric of its own.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipelines.evals.benchmark import Sample
from videollm.checkpoints import Options as LoadOptions
from videollm.checkpoints import adapter_of, load_with
from videollm.checkpoints.hub import CONFIGURATION, SAFE, find_folder
from videollm.errors import UserError
from videollm.types import Clip

if TYPE_CHECKING:
    from videollm.engines.builtin import BuiltinEngine
    from videollm.models.protocol import VideoModel
    from videollm.prompts.chat import ChatPrompt

JUDGEMENTS: Final = "judgements.jsonl"
MAX_NEW_TOKENS: Final = 64
ENDPOINT: Final = "openai:"
"""Begins the name of a judge behind a server."""
ENDPOINT_MAX_NEW_TOKENS: Final = 1024
"""Such a judge may think before it judges."""
NOT_TAKEN: Final = frozenset({400, 413, 422})
"""HTTP statuses that mean one prompt alone (too long, filtered)."""
PROMPTS_PER_BATCH: Final = 16
SYSTEM: Final = (
    "You are an intelligent chatbot designed for evaluating the correctness of generative outputs for question-answer "
    "pairs. Your task is to compare the predicted answer with the correct answer and determine if they match "
    "meaningfully. Here's how you can accomplish the task:------##INSTRUCTIONS: "
    "- Focus on the meaningful match between the predicted answer and the correct answer.\n"
    "- Consider synonyms or paraphrases as valid matches.\n"
    "- Evaluate the correctness of the prediction compared to the answer."
)
ASK: Final = (
    "Please evaluate the following video-based question-answer pair:\n\n"
    "Question: {question}\nCorrect Answer: {answer}\nPredicted Answer: {prediction}\n\n"
    "Provide your evaluation only as a yes/no and score where the score is an integer value between 0 and 5, with 5 "
    "indicating the highest meaningful match. Please generate the response in the form of a Python dictionary string "
    "with keys 'pred' and 'score', where value of 'pred' is  a string of 'yes' or 'no' and value of 'score' is in "
    "INTEGER, not STRING.DO NOT PROVIDE ANY OTHER OUTPUT TEXT OR EXPLANATION. Only provide the Python dictionary "
    "string. For example, your response should look like this: {{'pred': 'yes', 'score': 4.8}}."
)
"""Both from https://github.com/mbzuai-oryx/Video-ChatGPT, quantitative_evaluation/evaluate_activitynet_qa.py."""
_FENCE: Final = re.compile(r"```(?:python|json)?\s*(.*?)\s*```", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A judgement of an answer."""

    right: bool | None
    """None: the judge's output could not be read."""
    score: float | None
    """0 to 5."""
    raw: str
    """The judge's output, or why the judge could not be asked."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """Question, right answer and given answer, as the judge sees them."""

    question: str
    answer: str
    prediction: str


class Judge:
    """A causal LM in a local folder, or a hub id pinned to a revision; greedy, without code of its own.

    Args:
        model: a folder with config.json, a tokenizer with a chat template, and safetensors; or org/name@revision.
    Raises:
        UserError: there is no such model, or its revision is not given.
    """

    def __init__(self, model: str) -> None:
        name, _, revision = model.partition("@")
        if not Path(model).is_dir() and model.count("/") == 1 and not revision:
            raise UserError(
                f"Judge {model!r} is no folder, and as a hub id it is not pinned: expected {name}@REVISION."
            )
        try:
            self.folder = find_folder(model, patterns=[*CONFIGURATION, *SAFE])
        except ValueError as error:
            raise UserError(f"Judge: {error}") from error
        self.model = model

    @cached_property
    def identity(self) -> str:
        """Hash of the model's files and of the prompt; where the files lie does not matter."""
        found = hashlib.sha256(json.dumps([SYSTEM, ASK, MAX_NEW_TOKENS]).encode())
        for file in sorted(f for pattern in (*CONFIGURATION, *SAFE) for f in self.folder.glob(pattern)):
            found.update(file.name.encode())
            with file.open("rb") as opened:
                while block := opened.read(1 << 20):
                    found.update(block)
        return found.hexdigest()

    def key(self, case: Case) -> str:
        """Return the name under which a judgement is stored."""
        return hashlib.sha256(json.dumps([self.identity, *asdict(case).values()]).encode()).hexdigest()

    def __call__(self, cases: Sequence[Case]) -> Iterator[Verdict]:
        """Yield a verdict on each case, in order."""
        for i in range(0, len(cases), PROMPTS_PER_BATCH):
            yield from self._batch(cases[i : i + PROMPTS_PER_BATCH])

    def _batch(self, cases: Sequence[Case]) -> Iterable[Verdict]:
        import torch

        from videollm.types import Generation

        engine, prompt = self._loaded
        no_video = torch.empty(0, engine.embedding.embedding_dim)
        rows, refused = [], {}
        for case in cases:
            ids, _ = prompt(ASK.format(**asdict(case)), 0)
            try:
                engine.check(ids, MAX_NEW_TOKENS)
                rows.append((no_video, [ids]))
            except ValueError as error:
                refused[case] = Verdict(right=None, score=None, raw=str(error))
        written = iter(engine.generate(rows, Generation(max_new_tokens=MAX_NEW_TOKENS)))
        return [refused[case] if case in refused else read_verdict(next(written)[0].text) for case in cases]

    @cached_property
    def _loaded(self) -> tuple[BuiltinEngine, ChatPrompt]:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from videollm.engines.builtin import BuiltinEngine
        from videollm.prompts.chat import ChatPrompt

        on_gpu = torch.cuda.is_available()
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True, trust_remote_code=False)
            llm = AutoModelForCausalLM.from_pretrained(
                self.folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                attn_implementation="sdpa",
                dtype=torch.bfloat16 if on_gpu else torch.float32,
            )
            llm = llm.eval().to("cuda" if on_gpu else "cpu")
            return BuiltinEngine(llm, tokenizer), ChatPrompt(tokenizer=tokenizer, system=SYSTEM)
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"Judge {self.model} cannot be loaded: {error}") from error


class EndpointJudge(Judge):
    """A model behind an OpenAI-compatible server; the key is that of OPENAI_API_KEY, where it is set.

    Args:
        model: openai:NAME@URL, as `openai:qwen3@http://localhost:8000/v1`.
    Raises:
        UserError: the name or the address is missing, or no address.
    """

    def __init__(self, model: str) -> None:
        name, _, url = model.partition("@")
        if not url:
            raise UserError(f"Judge {model!r} has no address: expected {name}@http://HOST:PORT/v1.")
        self.model, self._options = model, LoadOptions(name=name, engine_config={"base_url": url})
        adapter = adapter_of(self._options)
        assert adapter is not None
        adapter.describe(self._options)

    @cached_property
    def identity(self) -> str:
        """Hash of name, address and prompt; what lies behind the name is the server's to say."""
        known = [SYSTEM, ASK, ENDPOINT_MAX_NEW_TOKENS, self.model]
        return hashlib.sha256(json.dumps(known).encode()).hexdigest()

    def _batch(self, cases: Sequence[Case]) -> Iterator[Verdict]:
        """Ask for all verdicts at once.

        Raises:
            UserError: the server cannot be asked; what was judged before is kept.
        """
        import numpy as np

        from videollm.adapters.transport import EndpointError
        from videollm.types import FrameBatch, Generation, Request

        nothing = FrameBatch(frames=np.empty((0, 1, 1, 3), np.uint8), indices=(), seconds=())
        (no_video,) = self._endpoint.encode([nothing])
        under_way = self._endpoint.start(Generation(max_new_tokens=ENDPOINT_MAX_NEW_TOKENS))
        asked = [
            Request(id=self.key(case), clip=Clip(video=""), question=ASK.format(**asdict(case)), system=SYSTEM)
            for case in cases
        ]
        under_way.add("cases", no_video, asked)
        while not (ended := under_way.advance()):
            pass
        for outcome in ended[0].outcomes:
            if not isinstance(outcome, Exception):
                yield read_verdict(outcome.text)
            elif isinstance(outcome, EndpointError) and outcome.code in NOT_TAKEN:
                yield Verdict(right=None, score=None, raw=str(outcome))
            else:
                again = "What was judged is kept; score again."
                raise UserError(f"Judge {self.model} cannot be asked: {outcome} {again}") from outcome

    @cached_property
    def _endpoint(self) -> VideoModel:
        return load_with(self._options)


def find_judge(model: str) -> Judge:
    """Find a judge by its name.

    Args:
        model: as `Judge` and `EndpointJudge` take it.
    Raises:
        UserError: there is no such judge, or it is not named in full.
    """
    return EndpointJudge(model) if model.startswith(ENDPOINT) else Judge(model)


def judge_answers(
    folder: Path,
    model: str,
    asked: Sequence[tuple[Sample, str | None]],
    *,
    on_judged: Callable[[int, int], None] | None = None,
) -> list[dict[str, float]]:
    """Judge answers; verdicts known from an earlier scoring come from judgements.jsonl.

    Args:
        folder: the run's output; new judgements are added there as they come.
        model: see `find_judge`.
        asked: questions with the raw output, None where there is none.
        on_judged: called after every new judgement with their number so far, and how many there will be.
    Returns:
        For each question `judge` (1 for yes), `judge score` (its 0 to 5 as 0 to 1) and `unparsed judge` (1: no verdict,
        which counts as no and 0); {} where no right answer is published.
    """
    judge = find_judge(model)
    cases = [None if t is None else _case(s, t) for s, t in asked]
    known = _known(folder / JUDGEMENTS)
    new = {judge.key(case): case for case in cases if case is not None}
    new = {key: case for key, case in new.items() if key not in known}
    if new:
        with (folder / JUDGEMENTS).open("a") as file:
            file.write("\n")  # a line that was cut off stays one of its own
            for i, ((key, case), verdict) in enumerate(zip(new.items(), judge(list(new.values())), strict=True), 1):
                file.write(json.dumps({"key": key, "judge": model, **asdict(case), **asdict(verdict)}) + "\n")
                file.flush()
                known[key] = verdict
                if on_judged is not None:
                    on_judged(i, len(new))
    return [
        {} if sample.answer is None else _metrics(None if case is None else known[judge.key(case)])
        for (sample, _), case in zip(asked, cases, strict=True)
    ]


def read_verdict(text: str) -> Verdict:
    """Read a judge's output, which must be only a dictionary of `pred` (yes, no) and `score` (0 to 5)."""
    fenced = _FENCE.fullmatch(text.strip())
    try:
        found = ast.literal_eval(fenced[1] if fenced else text.strip())
        pred, score = str(found["pred"]).strip().lower(), found["score"]
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError):
        return Verdict(right=None, score=None, raw=text)
    if (
        pred not in ("yes", "no")
        or isinstance(score, bool)
        or not isinstance(score, int | float)
        or not 0 <= score <= 5
    ):
        return Verdict(right=None, score=None, raw=text)
    return Verdict(right=pred == "yes", score=float(score), raw=text)


def _case(sample: Sample, text: str) -> Case | None:
    """Return the case for the judge; None where no right answer is published."""
    if not isinstance(sample.answer, tuple):
        return None
    return Case(question=sample.question, answer=" or ".join(sample.answer), prediction=text)


def _metrics(verdict: Verdict | None) -> dict[str, float]:
    unparsed = verdict is not None and verdict.right is None
    right, score = (verdict.right, verdict.score) if verdict is not None else (False, 0.0)
    return {"judge": float(bool(right)), "judge score": (score or 0.0) / 5, "unparsed judge": float(unparsed)}


def _known(file: Path) -> dict[str, Verdict]:
    """Read earlier judgements, without a last line that was cut off."""
    found = {}
    for line in file.read_text().split("\n")[:-1] if file.is_file() else []:
        try:
            row = json.loads(line)
            found[row["key"]] = Verdict(right=row["right"], score=row["score"], raw=row["raw"])
        except (ValueError, KeyError, TypeError):
            continue
    return found
