"""Captions against references: CIDEr-D, BLEU-4 and ROUGE-L as pycocoevalcap defines them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from pipelines.evals.metrics.ptb import tokenise

MAX_ORDER: Final = 4
"""Longest n-grams counted, in words."""
SIGMA: Final = 6.0
"""Width of CIDEr-D's penalty on lengths that differ, in words."""
BETA: Final = 1.2
"""Weight of recall against precision in ROUGE-L."""

Ngrams = Counter[tuple[str, ...]]


@dataclass(frozen=True)
class BleuCounts:
    """Counts of one caption for corpus BLEU; sums over any sample of captions give that sample's BLEU."""

    num_words: int
    num_reference_words: int
    """Length of the reference closest in length; of two equally close ones, the shorter."""
    num_matched: tuple[int, ...]
    """N-grams matched in a reference, each at most as often as there, for orders 1 to 4."""
    num_ngrams: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class CaptionScores:
    """Scores of captions of one corpus, in the order given."""

    cider_d: list[float]
    """0 to 10 each; the corpus score is their mean."""
    rouge_l: list[float]
    """0 to 1 each; the corpus score is their mean."""
    bleu_counts: list[BleuCounts]

    @cached_property
    def mean_cider_d(self) -> float:
        """CIDEr-D of the corpus."""
        return sum(self.cider_d) / len(self.cider_d)

    @cached_property
    def mean_rouge_l(self) -> float:
        """ROUGE-L of the corpus."""
        return sum(self.rouge_l) / len(self.rouge_l)

    @cached_property
    def bleu_4(self) -> float:
        """BLEU-4 of the corpus."""
        return bleu_4(self.bleu_counts)


def score_captions(
    captions: Sequence[str], references: Sequence[Sequence[str]], split: Callable[[str], list[str]] = tokenise
) -> CaptionScores:
    """Score each caption against its references; references of the whole corpus weigh the words of CIDEr-D.

    So a score of CIDEr-D belongs to its corpus: a part of the captions scored alone gives other values, and one video
    alone gives 0, as every word is in every document.

    Args:
        captions: one per video.
        references: at least one per video, in the same order.
        split: text -> words.
    Raises:
        ValueError: no captions, not one list of references per caption, or a video without a reference.
    """
    _check(captions, references)
    words = [split(caption) for caption in captions]
    right = [[split(reference) for reference in group] for group in references]
    return CaptionScores(
        cider_d=_cider_d(words, right),
        rouge_l=[_rouge_l(said, group) for said, group in zip(words, right, strict=True)],
        bleu_counts=[_bleu_counts(said, group) for said, group in zip(words, right, strict=True)],
    )


def _check(captions: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    if len(captions) != len(references) or not captions:
        raise ValueError(
            f"{len(captions)} captions and {len(references)} lists of references; give one list a caption."
        )
    for index, group in enumerate(references):
        if isinstance(group, str) or not group:
            raise ValueError(f"References of caption {index} are {group!r}, expected a list of at least one text.")


def bleu_4(counts: Sequence[BleuCounts]) -> float:
    """Compute BLEU-4 of a corpus, 0 to 1: the geometric mean of n-gram precisions, times the brevity penalty.

    Source: Papineni et al., 2002, as in pycocoevalcap's BleuScorer with option "closest"; its guards against division
    by zero (1e-9 and 1e-15) are kept, so that a corpus without a common n-gram scores nearly 0.
    """
    score = 1.0
    for order in range(MAX_ORDER):
        matched = sum(count.num_matched[order] for count in counts)
        score *= (matched + 1e-15) / (sum(count.num_ngrams[order] for count in counts) + 1e-9)
    score = math.pow(score, 1 / MAX_ORDER)
    ratio = (sum(count.num_words for count in counts) + 1e-15) / (
        sum(count.num_reference_words for count in counts) + 1e-9
    )
    return score * math.exp(min(0.0, 1 - 1 / ratio))


def _bleu_counts(said: list[str], references: list[list[str]]) -> BleuCounts:
    best: Ngrams = Counter()
    for reference in references:
        best |= _ngrams(reference)
    ngrams = _ngrams(said)
    matched = [0] * MAX_ORDER
    for ngram, count in (ngrams & best).items():
        matched[len(ngram) - 1] += count
    return BleuCounts(
        num_words=len(said),
        num_reference_words=min((abs(len(words) - len(said)), len(words)) for words in references)[1],
        num_matched=tuple(matched),
        num_ngrams=tuple(max(0, len(said) - order) for order in range(MAX_ORDER)),
    )


def _ngrams(words: list[str]) -> Ngrams:
    return Counter(
        tuple(words[at : at + order]) for order in range(1, MAX_ORDER + 1) for at in range(len(words) - order + 1)
    )


def _rouge_l(said: list[str], references: list[list[str]]) -> float:
    """Compute the F-measure of the longest common subsequence, 0 to 1: best precision and best recall over references.

    Source: Lin, 2004, as in pycocoevalcap's Rouge; there an empty text counts as one empty word, and so here.
    """
    said = said or [""]
    references = [reference or [""] for reference in references]
    common = [_longest_common_subsequence(said, reference) for reference in references]
    precision = max(common) / len(said)
    recall = max(length / len(reference) for length, reference in zip(common, references, strict=True))
    if precision == 0 or recall == 0:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def _longest_common_subsequence(one: list[str], other: list[str]) -> int:
    row = [0] * (len(other) + 1)
    for word in one:
        diagonal = 0
        for at, candidate in enumerate(other, 1):
            above = row[at]
            row[at] = diagonal + 1 if word == candidate else max(above, row[at - 1])
            diagonal = above
    return row[-1]


def _cider_d(captions: list[list[str]], references: list[list[list[str]]]) -> list[float]:
    """Compute CIDEr-D of each caption, 0 to 10.

    Source: Vedantam et al., 2015, as in pycocoevalcap's CiderScorer, which counts lengths in bigrams.
    """
    documents = [[_ngrams(reference) for reference in group] for group in references]
    num_documents_with: Counter[tuple[str, ...]] = Counter()
    for group in documents:
        num_documents_with.update(set().union(*group))

    def weight(ngram: tuple[str, ...]) -> float:
        return math.log(len(documents)) - math.log(max(1, num_documents_with[ngram]))

    def vector(ngrams: Ngrams) -> _Vector:
        return _Vector({ngram: count * weight(ngram) for ngram, count in ngrams.items()}, ngrams)

    scores = []
    for caption, group in zip(captions, documents, strict=True):
        said = vector(_ngrams(caption))
        scores.append(10 * sum(_similarity(said, vector(reference)) for reference in group) / len(group))
    return scores


class _Vector:
    """N-grams of a text by weight: term frequency times inverse document frequency."""

    def __init__(self, weights: Mapping[tuple[str, ...], float], ngrams: Ngrams) -> None:
        self.weights = weights
        self.num_bigrams = sum(count for ngram, count in ngrams.items() if len(ngram) == 2)
        squares = [0.0] * MAX_ORDER
        for ngram, weight in weights.items():
            squares[len(ngram) - 1] += weight**2
        self.norms = [math.sqrt(square) for square in squares]


def _similarity(said: _Vector, reference: _Vector) -> float:
    """Compute the mean over orders of the clipped cosine, times the penalty on unequal lengths."""
    products = [0.0] * MAX_ORDER
    for ngram, weight in said.weights.items():
        right = reference.weights.get(ngram, 0.0)
        products[len(ngram) - 1] += min(weight, right) * right
    cosines = [
        product / (one * other) if one and other else product
        for product, one, other in zip(products, said.norms, reference.norms, strict=True)
    ]
    difference = said.num_bigrams - reference.num_bigrams
    return sum(cosines) / MAX_ORDER * math.exp(-(difference**2) / (2 * SIGMA**2))
