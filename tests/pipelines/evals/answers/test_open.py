import pytest

from pipelines.evals.answers.open import exact_match, squad_normalise, token_f1


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("The  Red, car!", "red car"),
        ("a man and an umbrella", "man and umbrella"),
        ("it's the man's", "its mans"),
        ("well-known", "wellknown"),
        ("3.5", "35"),
        ("the", "the"),
        ("", ""),
    ],
)
def test_normalises_as_squad(text: str, bare: str) -> None:
    assert squad_normalise(text) == bare


@pytest.mark.parametrize(
    ("text", "answers", "right"),
    [
        ("Red.", ["red"], True),
        ("**The red car**", ["red car"], True),
        ("red car", ["red"], False),
        ("blue", ["red", "Blue"], True),
        ("Yes, he does.", ["yes"], True),
        ("yes", ["no"], False),
        ("No", ["no"], True),
        ("Yes and no", ["yes"], False),
        ("He says yes", ["yes"], False),
        ("not at all", ["no"], False),
        ("<think>blue?</think>red", ["red"], True),
        ("<think>red", ["red"], False),
        ("", ["red"], False),
        ("...", [""], False),
    ],
)
def test_exact_match(text: str, answers: list[str], right: bool) -> None:
    assert exact_match(text, answers) is right


@pytest.mark.parametrize(
    ("text", "answers", "f1"),
    [
        ("red car", ["the red car"], 1.0),
        ("red car", ["red"], 2 / 3),
        ("a big red car", ["red bus", "red car"], 0.8),
        ("red red", ["red"], 2 / 3),
        ("blue", ["red"], 0.0),
        ("", ["red"], 0.0),
        ("", [""], 0.0),
    ],
)
def test_token_f1_of_the_best_answer(text: str, answers: list[str], f1: float) -> None:
    assert token_f1(text, answers) == pytest.approx(f1)


@pytest.mark.parametrize("answers", [[], "red"])
def test_answers_are_a_list(answers: list[str]) -> None:
    with pytest.raises(ValueError, match="list of at least one text"):
        exact_match("red", answers)
    with pytest.raises(ValueError, match="list of at least one text"):
        token_f1("red", answers)
