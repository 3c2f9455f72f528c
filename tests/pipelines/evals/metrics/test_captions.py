import random
import shutil
from importlib.util import find_spec

import pytest

from pipelines.evals.metrics.captions import bleu_4, score_captions
from pipelines.evals.metrics.java_captions import meteor, spice
from pipelines.evals.metrics.ptb import tokenise

CAPTIONS = (
    "a man rides a brown horse on the beach",
    "two dogs play with a red ball",
    "a woman is cooking",
    "the car drives down a street at night",
    "",
)
REFERENCES = (
    ("a man is riding a horse on the beach", "a person rides a horse by the sea", "man on horse"),
    ("two dogs are playing with a ball in the park", "dogs chase a red ball"),
    ("a woman is cooking in a kitchen", "the woman cooks food"),
    ("a car is driving on a road", "a vehicle drives down the street at night", "night street with a car"),
    ("a cat sleeps",),
)
# What pycocoevalcap 1.2 (Cider, Bleu(4), Rouge; PyPI) gives for the two tables above, split at spaces. On 200 random
# corpora of 1 to 30 captions the two agreed within 1e-15 in every corpus score and every caption's.
CIDER_D = (2.1290039543449115, 2.4213181906098273, 3.3895441797465016, 1.8651503009047468, 0.0)
ROUGE_L = (0.7777777777777778, 0.7625000000000001, 0.693181818181818, 0.625, 0.0)
BLEU_4 = 0.370613413176593


def test_equals_pycocoevalcap() -> None:
    scores = score_captions(CAPTIONS, REFERENCES, split=str.split)
    assert scores.cider_d == pytest.approx(CIDER_D, abs=1e-9)
    assert scores.mean_cider_d == pytest.approx(1.9610033251211973, abs=1e-9)
    assert scores.rouge_l == pytest.approx(ROUGE_L, abs=1e-9)
    assert scores.mean_rouge_l == pytest.approx(0.5716919191919192, abs=1e-9)
    assert scores.bleu_4 == pytest.approx(BLEU_4, abs=1e-9)


@pytest.mark.skipif(find_spec("pycocoevalcap") is None, reason="pycocoevalcap is not installed")
@pytest.mark.parametrize("seed", range(20))
def test_equals_pycocoevalcap_on_random_corpora(seed: int) -> None:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    chance = random.Random(seed)
    words = ["a", "man", "woman", "dog", "rides", "walks", "in", "on", "the", "red", "blue", "car"]
    num_captions = chance.randint(1, 20)
    captions = [" ".join(chance.choices(words, k=chance.randint(0, 12))) for _ in range(num_captions)]
    references = [
        [" ".join(chance.choices(words, k=chance.randint(1, 12))) for _ in range(chance.randint(1, 5))]
        for _ in captions
    ]
    said, right = {i: [text] for i, text in enumerate(captions)}, dict(enumerate(references))
    scores = score_captions(captions, references, split=str.split)
    assert scores.cider_d == pytest.approx(list(Cider().compute_score(right, said)[1]), abs=1e-6)
    assert scores.rouge_l == pytest.approx(list(Rouge().compute_score(right, said)[1]), abs=1e-6)
    assert scores.bleu_4 == pytest.approx(Bleu(4).compute_score(right, said, verbose=0)[0][3], abs=1e-6)


def test_bleu_of_a_sample_comes_from_its_counts() -> None:
    scores = score_captions(CAPTIONS, REFERENCES)
    sample = [1, 1, 3]
    again = score_captions([CAPTIONS[i] for i in sample], [REFERENCES[i] for i in sample])
    assert bleu_4([scores.bleu_counts[i] for i in sample]) == again.bleu_4


def test_a_caption_that_is_its_reference_scores_full() -> None:
    texts = ["A man rides a horse.", "Two dogs play in the park."]
    scores = score_captions(texts, [[text] for text in texts])
    assert scores.cider_d == pytest.approx([10.0, 10.0])
    assert scores.rouge_l == pytest.approx([1.0, 1.0])
    assert scores.bleu_4 == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("captions", "references"), [([], []), (["a"], []), (["a", "b"], [["a"], []]), (["a"], ["a reference"])]
)
def test_captions_and_references_must_match(captions: list[str], references: list[list[str]]) -> None:
    with pytest.raises(ValueError, match=r"give one list a caption|list of at least one text"):
        score_captions(captions, references)


# Output of pycocoevalcap 1.2's PTBTokenizer (Stanford CoreNLP 3.4.1 under Java 17).
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A man is riding a horse.", "a man is riding a horse"),
        ("A man's horse can't jump, doesn't it?", "a man 's horse ca n't jump does n't it"),
        ("The U.S. flag (red) is \"waving\" 'here'.", "the u.s. flag -lrb- red -rrb- is waving here"),
        ("Two-year-old boy's T-shirt costs $3.50 or 50% off!", "two-year-old boy 's t-shirt costs $ 3.50 or 50 % off"),
        ("I cannot, gonna: it's they'll I'd", "i can not gon na it 's they 'll i 'd"),
        ("Dr. Smith vs. Mr. Jones at 10:30 a.m. etc.", "dr. smith vs. mr. jones at 10:30 a.m. etc."),
        ("A man... walks -- slowly – and — stops; yes/no & more", "a man walks slowly and stops yes/no & more"),
        ("the dogs' bowls and rock 'n' roll", "the dogs bowls and rock 'n' roll"),
        ("3,000 people at 5-6 p.m.", "3,000 people at 5-6 p.m."),
        ("a woman,then a dog", "a woman then a dog"),
        ("café naïve “quoted” text’s", "café naïve quoted text 's"),
        ("", ""),
    ],
)
def test_tokenises_as_pycocoevalcap(text: str, words: str) -> None:
    assert " ".join(tokenise(text)) == words


def test_meteor_and_spice_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    for score in (meteor(CAPTIONS, REFERENCES), spice(CAPTIONS, REFERENCES)):
        assert score.mean is None
        assert "Java" in score.reason


@pytest.mark.skipif(shutil.which("java") is None, reason="Java is not installed")
@pytest.mark.skipif(find_spec("pycocoevalcap") is None, reason="pycocoevalcap is not installed")
def test_meteor() -> None:
    score = meteor(["A man rides a horse.", "two cats"], [["A man is riding a horse."], ["two cats"]])
    # pycocoevalcap 1.2's Meteor.
    assert score.per_caption == pytest.approx([0.41388921016683433, 1.0], abs=1e-6)
    assert score.mean == pytest.approx(0.4640436540035525, abs=1e-6)
