import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.support.tiny_llms import tokenizer
from videollm.engines.streaming import Text, decode

LINE = "é 漢字 🎬👩‍👧 end. Naïve  café\n"


def words(kind):
    """A tokenizer whose tokens are words; their spaces depend on the words before."""
    vocab = {w: i for i, w in enumerate(["▁red" if kind == "metaspace" else "red", "▁ball", "ball", "s", "."])}
    made = Tokenizer(models.WordLevel(vocab, unk_token="."))
    if kind == "metaspace":
        made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=made)


def test_characters_arrive_whole():
    tok = tokenizer()
    text, seen = Text(tok), ""
    for token in tok(LINE)["input_ids"]:
        text.add(token)
        assert text.ready().startswith(seen)
        assert "\ufffd" not in text.ready()
        seen = text.ready()
    assert seen == text.final() == LINE


def test_unfinished_character_shows_at_the_end_only():
    tok = tokenizer()
    text = Text(tok)
    for token in tok("a🎬")["input_ids"][:-1]:
        text.add(token)
    assert text.ready() == "a"
    assert text.final().startswith("a\ufffd")


@pytest.mark.parametrize("kind", ["metaspace", "plain"])
def test_spaces_between_words_survive(kind):
    tok = words(kind)
    text = Text(tok)
    for token in (0, 1, 3, 4, 0, 0):
        text.add(token)
    assert text.final() == decode(tok, [0, 1, 3, 4, 0, 0])


def test_stop_string_over_several_tokens_is_held_back():
    tok = tokenizer()
    text, ready = Text(tok, ("STOP", "é!")), []
    for token in tok("a STOb é SéSTOP x")["input_ids"]:
        text.add(token)
        ready.append(text.ready())
        if text.end is not None:
            break
    assert ready[4] == "a "  # "STO" may still become a stop string
    assert "a STOb" in ready
    assert text.final() == ready[-1] == "a STOb é Sé"


def test_first_of_two_stop_strings_wins():
    tok = tokenizer()
    text = Text(tok, ("b", "ab"))
    for token in tok("xab")["input_ids"]:
        text.add(token)
    assert text.final() == "x"
