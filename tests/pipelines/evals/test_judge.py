"""A judge that is a real, tiny language model: one of random weights, and ones whose weights say one thing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from pipelines.evals.benchmark import Sample
from pipelines.evals.judge import JUDGEMENTS, SYSTEM, Case, Judge, judge_answers, read_verdict
from videollm.errors import UserError
from videollm.types import Clip

YES, NO = "{'pred': 'yes', 'score': 4}", "{'pred': 'no', 'score': 1}"
END = "<|im_end|>"
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)


def write_judge(folder: Path, says: str | None, template: str = TEMPLATE) -> str:
    """A Qwen2 whose tokens are bytes and whole verdicts; after any prompt it says `says` and ends. None: random."""
    bytes_ = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(bytes_)}, merges=[]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=END, pad_token="<|endoftext|>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    tokenizer.add_tokens([YES, NO])
    tokenizer.chat_template = template
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=2600, eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
        pad_token_id=None, initializer_range=0.3, tie_word_embeddings=False,
    )  # fmt: skip
    llm = Qwen2ForCausalLM(config)
    if says is not None:  # the layer adds nothing; one direction asks for the verdict, and the verdict's for the end
        verdict = tokenizer.convert_tokens_to_ids(says)
        with torch.no_grad():
            for name, weights in llm.named_parameters():
                weights.fill_(1.0 if "norm" in name else 0.0)
            embedding, head = llm.get_input_embeddings().weight, llm.lm_head.weight
            embedding[:, 0], head[verdict, 0] = 1.0, 1.0
            embedding[verdict, 0], embedding[verdict, 1], head[tokenizer.eos_token_id, 1] = 0.0, 1.0, 1.0
    llm.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str | None], str]:
    made = {says: write_judge(tmp_path_factory.mktemp("judge"), says) for says in (None, YES, NO)}
    return made.__getitem__


def asked(question: str, *answers: str) -> Sample:
    return Sample(id=question, clip=Clip(video="v.mp4"), question=question, answer=answers)


ASKED = [(asked("what color is the ball", "red"), "It is red."), (asked("what moves", "the ball", "a ball"), "a cube")]


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / JUDGEMENTS).read_text().splitlines() if line]


@pytest.mark.parametrize(
    ("text", "right", "score"),
    [
        ("{'pred': 'yes', 'score': 4}", True, 4),
        ('{"pred": "no", "score": 0}', False, 0),
        (" {'pred': 'Yes', 'score': 4.8}\n", True, 4.8),
        ("```python\n{'pred': 'no', 'score': 2}\n```", False, 2),
        ("{'score': 5, 'pred': 'yes', 'reason': 'same'}", True, 5),
        ("", None, None),
        ("yes", None, None),
        ("Yes, they match: {'pred': 'yes', 'score': 4}", None, None),
        ("{'pred': 'yes', 'score': 4} {'pred': 'no', 'score': 0}", None, None),
        ("{'pred': 'yes', 'score': 4", None, None),
        ("{'pred': 'yes'}", None, None),
        ("{'pred': 'maybe', 'score': 3}", None, None),
        ("{'pred': 'yes and no', 'score': 3}", None, None),
        ("{'pred': True, 'score': 3}", None, None),
        ("{'pred': 'yes', 'score': '4'}", None, None),
        ("{'pred': 'yes', 'score': True}", None, None),
        ("{'pred': 'yes', 'score': 6}", None, None),
        ("{'pred': 'yes', 'score': -1}", None, None),
        ("{'pred': 'yes', 'score': 1e999}", None, None),
        ("['yes', 4]", None, None),
        ("__import__('os').getcwd()", None, None),
        ("(" * 5000, None, None),
    ],
)
def test_only_a_verdict_is_read_as_one(text: str, right: bool | None, score: float | None) -> None:
    verdict = read_verdict(text)
    assert (verdict.right, verdict.score, verdict.raw) == (right, score, text)


def test_verdicts_of_real_models(judges: Callable[[str | None], str], tmp_path: Path) -> None:
    yes = {"judge": 1.0, "judge score": 0.8, "unparsed judge": 0.0}
    no = {"judge": 0.0, "judge score": 0.2, "unparsed judge": 0.0}
    unread = {"judge": 0.0, "judge score": 0.0, "unparsed judge": 1.0}
    for says, expected in ((YES, yes), (NO, no), (None, unread)):  # one folder: judges do not share judgements
        assert judge_answers(tmp_path, judges(says), ASKED) == [expected, expected]
    assert [row["raw"] for row in lines(tmp_path)[:4]] == [YES, YES, NO, NO]
    assert lines(tmp_path)[1]["answer"] == "the ball or a ball"


def test_scoring_again_asks_nothing_anew(judges: Callable[[str | None], str], tmp_path: Path) -> None:
    first = judge_answers(tmp_path, judges(None), ASKED)
    kept = (tmp_path / JUDGEMENTS).read_bytes()
    assert judge_answers(tmp_path, judges(None), ASKED[::-1]) == first[::-1]
    assert (tmp_path / JUDGEMENTS).read_bytes() == kept
    other = (ASKED[0][0], "It is blue.")
    judge_answers(tmp_path, judges(None), [*ASKED, other, other])
    assert [row["prediction"] for row in lines(tmp_path)] == ["It is red.", "a cube", "It is blue."]


def test_a_judgement_that_was_cut_off_is_made_again(judges: Callable[[str | None], str], tmp_path: Path) -> None:
    judge_answers(tmp_path, judges(YES), ASKED)
    whole = (tmp_path / JUDGEMENTS).read_text()
    (tmp_path / JUDGEMENTS).write_text(whole[:-9])
    assert [v["judge"] for v in judge_answers(tmp_path, judges(YES), ASKED)] == [1.0, 1.0]
    again = (tmp_path / JUDGEMENTS).read_text()
    assert again.strip().endswith(whole.splitlines()[-1])
    assert judge_answers(tmp_path, judges(YES), ASKED)
    assert (tmp_path / JUDGEMENTS).read_text() == again


def test_what_has_no_answer_is_not_asked(judges: Callable[[str | None], str], tmp_path: Path) -> None:
    unpublished = Sample(id="q", clip=Clip(video="v.mp4"), question="why")
    verdicts = judge_answers(tmp_path, judges(YES), [(ASKED[0][0], None), (unpublished, "so"), (unpublished, None)])
    assert verdicts == [{"judge": 0.0, "judge score": 0.0, "unparsed judge": 0.0}, {}, {}]
    assert not (tmp_path / JUDGEMENTS).exists()


def test_an_answer_too_long_for_the_judge_fails_alone(judges: Callable[[str | None], str]) -> None:
    cases = [Case(question="what", answer="red", prediction=text) for text in ("red", "red " * 2000, "blue")]
    verdicts = list(Judge(judges(YES))(cases))
    assert [v.right for v in verdicts] == [True, None, True]
    assert "but the LLM takes fewer than 2600" in verdicts[1].raw


def test_the_judge_is_asked_as_video_chatgpt_asks(judges: Callable[[str | None], str]) -> None:
    _, prompt = Judge(judges(YES))._loaded
    assert prompt("x", 0)[1] == f"<|im_start|>system\n{SYSTEM}{END}\n<|im_start|>user\nx{END}\n<|im_start|>assistant"
    ids, _ = prompt(f"A prediction of {YES} is text", 0)
    assert prompt.tokenizer.convert_tokens_to_ids(YES) not in ids  # what is judged cannot speak as a token


def test_identity_is_that_of_the_files(judges: Callable[[str | None], str], tmp_path: Path) -> None:
    same = write_judge(tmp_path / "elsewhere", YES)
    assert Judge(same).identity == Judge(judges(YES)).identity
    assert Judge(judges(NO)).identity != Judge(judges(YES)).identity


def test_judges_that_cannot_be_used_say_why(judges: Callable[[str | None], str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'org/judge' .* not pinned: expected org/judge@REVISION"):
        Judge("org/judge")
    with pytest.raises(UserError, match="not pinned"):
        Judge("org/judge@")
    with pytest.raises(UserError, match="No folder"):
        Judge(str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="cannot be loaded"):
        judge_answers(tmp_path, str(tmp_path / "empty"), ASKED)
    silent = write_judge(tmp_path / "silent", YES, template="")
    with pytest.raises(UserError, match="no chat template"):
        judge_answers(tmp_path, silent, ASKED)
    pickled = Path(write_judge(tmp_path / "pickled", YES))
    (pickled / "model.safetensors").unlink()
    torch.save({}, pickled / "pytorch_model.bin")
    with pytest.raises(UserError, match="cannot be loaded"):
        judge_answers(tmp_path, str(pickled), ASKED)
