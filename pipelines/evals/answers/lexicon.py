"""The words by which answers are given, denied, doubted and corrected, in the languages models answer in.

Each constant is a piece of a regular expression, matched without regard to case. Repetitions are bounded: outputs are
long and may repeat one word for ever.
"""

from __future__ import annotations

from typing import Final


def any_of(words: str) -> str:
    """Match any of comma-separated alternatives; words in Latin, Greek and Cyrillic letters match as whole words."""
    return "(?:" + "|".join(_whole(" ".join(word.split())) for word in words.split(",")) + ")"


def _whole(word: str) -> str:
    return rf"\b{word}\b" if word[0].isalpha() and word[0] < "\u0590" else word


ANSWER: Final = any_of(
    r"""answer, option, choice, response, alternative, letter, selection, solution, candidate, statement, caption,
    sentence, conclusion, prediction, pick, respuesta, opci[oó]n, alternativa, letra, r[ée]ponse, choix,
    proposition, antwort, l[öo]sung, auswahl, risposta, opzione, scelta, resposta, op[çc][ãa]o, ответ, вариант,
    odpowied[źz], antwoord, optie, cevap, yan[ıi]t, seçenek, şık, đáp án, câu trả lời, lựa chọn, jawaban(?:nya)?,
    pilihan, الإجابة, الجواب, الخيار, उत्तर, विकल्प, 答案, 选项, 選項, 选择, 結論, 结论, 答え, 正解, 正答, 回答,
    解答, 選択肢, 정답, 답변, 답, 옵션, 선택지"""
)
"""What an answer is called."""

RIGHT: Final = any_of(
    r"""correct, right, best, true, accurate, appropriate, suitable, likely, better, probable, fitting, correcta,
    mejor, correcte, bonne, meilleure, richtige?, korrekte?, beste, stimmt, corretta, giusta, correta, certa,
    правильн(?:ый|о), верн(?:ый|о), верен, juiste?, poprawna, doğru, đúng, benar, الصحيحة, सही, 正确, 正確, 最佳,
    正しい"""
)
"""What a right answer is."""

GIVEN: Final = any_of("final, my, only, closest, finale, 最终, 最終")
"""What else is said of an answer that is given."""

MOST: Final = r"(?:\b(?:the|most|more|clearly|definitely|indeed|also|la|die|le|más|plus)\b\s*){0,4}"

IS: Final = any_of(
    r"""is, was, are, would be, should be, must be, will be, has to be, seems to be, appears to be, could be, might
    be, may be, es, ser[íi]a, est, serait, ist, wäre, lautet, è, é, seria, это, to, là, adalah, هي, هو, 应该是,
    应该选, 应为, 应是, 应选, 是, 为, 為, 选, 選, は, が, 은, 는, 이, 's, :, =>, =, ->, →, —, –, -, 】, \]"""
)

_FILLING: Final = any_of(
    r"""most likely, likely, probably, definitely, clearly, therefore, thus, simply, indeed, then, actually,
    obviously, certainly, the, la, le, el, die, den, das, o, l', option, choice, letter, answer, statement,
    caption, sentence, number, opci[oó]n, letra, alternativa, op[çc][ãa]o, antwort, r[ée]ponse, opzione,
    вариант, a(?= letra| alternativa| op), 选项, 選項, 选择, 選択肢, 옵션, :"""
)
FILLER: Final = rf"(?:,(?=\s*(?:therefore|thus|then)\b))?\s*(?:{_FILLING}\s*){{0,6}}"
"""Between "the answer is" and the answer."""

ABOUT: Final = (
    r"(?:\s+(?:to|for|that|which|based|given|from|in|among|of|here|describing|would)\b[^.:;\n=]{0,90}?"
    r"|\s*\([^)\n]{0,40}\))?"
)
"""Between "the answer" and "is": what it answers."""

CHOOSE: Final = any_of(
    r"""choose, select, pick, go(?:ing)? with, go(?:ing)? for, opt(?:ing)? for, vote for, settle on,
    lean(?:ing)? towards?, leav(?:es|ing), elijo, escojo, elegir[íi]a, selecciono, je choisis, wähle, scelgo,
    escolho, выбираю, wybieram, ik kies, tôi chọn, saya (?:me)?milih, 应该选, 应选, 故选, 所以选, 因此选, 我选择,
    我选, 选择, 选, 選ぶ, 選擇, 選"""
)

HEDGED: Final = any_of(
    r"""is, be, was, 's, say, think, believe, guess, maybe, perhaps, probably, definitely, likely, possibly,
    certainly, so, therefore, thus, hence, either, both, between, mean, wait, no, actually, options, answers,
    choices, whether, or, and, than, of, not, out, only, excluding, eliminate, exclude, nor, neither, rather,
    but, like, with, from, except, get, discard, reject, c'est, es, ist, è, é, это, nicht, sondern, sino, mais,
    ni, oder, und, ou, et, o, y, 是, 或, 和, 而是, 除, は, 、, =>, =, →, ->, :"""
)
"""Words before a bare letter that show it to be a label, not part of a name ("Vitamin C", "plan B")."""

JOINS: Final = r"(?:,|/|&|\+|、|\b(?:and|or|nor|y|o|et|ou|und|oder|или|и)\b|和|或者?|と|または|그리고|또는)"
"""Between names that stand in one list."""
DOUBT: Final = any_of(
    r"""maybe, perhaps, possibly, probably, potentially, conceivably, even, (?:less |more |most )?likely,
    (?:it )?(?:could|might|may)(?: also| well)? be, vielleicht, möglicherweise, eventuell, peut-être, quizás?, tal vez,
    a lo mejor, posiblemente, talvez, forse, может быть, возможно, 也许是?, 或许是?, 可能是?, もしかしたら,
    もしかすると, 아마도?"""
)
"""Words with which one more option is offered."""

REASON: Final = any_of("because, since, as, due, porque, ya que, car, parce, weil, denn, perché, pois, потому")
FITS: Final = any_of("seems, appears, best, matches, describes, corresponds, fits, accurately, correctly")
GOES_ON: Final = any_of(
    r"""and, or, nor, but, и, или, et, ou, o, y, oder, und, 和, 或, 与, と, is, was, are, would, which, can, could,
    cannot, can't, isn't, doesn't, does, has, must, only, wait, no, then, es, est, da, ist, é, è, так, верен"""
)
"""Words that follow a label and would not follow the article "a" or the pronoun "I"."""

DENIES: Final = any_of(
    r"""\w*n't, not, never, neither, nor, cannot, no longer, rather than, instead of, except, excluding, unlike,
    other than, incorrect, wrong, eliminat\w+, exclud\w+, rul\w+ out, discard\w*, reject\w*, doubt(?:ful)?, no,
    nicht, kein\w*, n'est, pas, non, não, не, nie, niet, không, bukan, 不是, 不选, 不選, 并非, 排除, 而非, 错误"""
)
NOT_A_DENIAL: Final = (
    r"\b(?:no doubt|without (?:a )?doubt|not only|no question|not just|none other than|nothing but|why not"
    r"|if i (?:had to|must|have to|were to) (?:guess|choose|pick|answer|say))\b"
)
"""What looks like a denial or a condition and is none."""
CONDITIONAL: Final = r"\bif\b[^.\n]{0,200}\b(?:otherwise|else)\b[^.\n]{0,200}"
EXCEPT: Final = r"\b(?:except|other than|apart from|besides|but)\s+(?:for\s+)?(?:option\s+)?$"
HYPOTHETICAL: Final = any_of("whether, if, si, ob, если, 如果, 是否, unless, suppose, assuming")
BUT: Final = any_of(
    r"""but(?! (?:option|for)\b), however, therefore, because, since, while, whereas, although, though, which means,
    and (?:it|so|the|that), so, hence, thus, sondern, sino, mais, aber, pero, но, 而是, ma, mas"""
)
"""Words at which a denial ends."""

_AFTER: Final = r"\s*(?:选项|項|项)?\s*(?:\([^)\n]{0,60}\)\s*)?"
DENIED_AFTER: Final = _AFTER + any_of(
    r"""(?:is|was|are|were|does|do|did|can|could|would|has|should)(?:n't| not| never| neither), cannot, can't,
    (?:(?:is|are|was|were|seems|appears|looks|(?:would|can|could|should|must) be)\s+(?:\w+ly\s+|also\s+)?)?"""
    r"""(?:incorrect|wrong|false|inaccurate|ruled out|eliminated|excluded|dismissed|discarded|impossible),
    (?:is|are|can be|must be) (?:out|unlikely)\b, ist (?:falsch|nicht), no es, n'est pas, non è, não é,
    es incorrect[ao], est (?:incorrecte|fausse), неверн\w*, не, неправильн\w*, 不是, 不对, 不正确, 是错, 错,
    不符, ではな, じゃな, は違, 는 아니, 가 아니, 이 아니, ❌, ✗, ✘"""
)
RIGHT_AFTER: Final = (
    f"{_AFTER}(?:"
    + any_of("is, seems(?: to be)?, appears to be, looks, would be, must be, ist, es, est, è, é")
    + rf"\s*{MOST}(?:{RIGHT}|answer\b|it\b(?=[.!]|$))|[:—-]\s*{RIGHT}|верен|верно|是?(?:正确|对|最符合)|が正|✓|✔|✅)"
)
ITEM_WRONG: Final = (
    r"\b(?:incorrect|wrong|false|inaccurate|unlikely|ruled out|eliminated|no|contradict\w*|irrelevant|unsupported"
    r"|(?:not|n't) (?:\w+ )?(?:correct|right|accurate|supported|shown|mentioned|true|match\w*|the (?:answer|case|one)"
    r"|fit|seen|visible|describe\w*|present|happen\w*|occur\w*|apply))\b|错|不对|不正确|不符|❌|✗|✘"
)
ITEM_RIGHT: Final = r"\b(?:correct|right|matches|yes)\b|✓|✔|✅|正确|符合"
"""What is said of an option in a list that goes through them all."""

CORRECTS: Final = (
    r"(?:^|[.,;:!?\n—-])\s*(?:"
    r"(?:oh |hmm+,? |but )?(?:no,? )?wait\b|no,? (?=it|the|that|actually|i )|no[,—-]|actually\b|correction\b"
    r"|scratch that|on second thought|sorry,? (?:i meant?|it|the)|i mean\b|my mistake|or rather"
    r"|let me (?:re-?think|reconsider|correct)|不对|等等|等一下|更正|哦不|moment|attends|espera)"
)
FINALLY: Final = any_of(
    r"""final(?:ly)?, so, therefore, thus, hence, in conclusion, to conclude, overall, in summary, consequently, as
    a result, por lo tanto, por tanto, donc, daher, also, deshalb, quindi, portanto, итак, поэтому, 最终, 最終, 因此,
    所以, 综上, 故, したがって, よって, 따라서"""
)
REFUSES: Final = (
    r"\b(?:i (?:\w+ )?(?:can ?not|can't|could not|couldn't|do not|don't|am not able|am unable|won't)"
    r"|i'm (?:unable|not able|sorry)|unable to|sorry|as an ai|can't (?:determin|tell|see|view)\w*"
    r"|cannot (?:be )?(?:determin|answer|tell|identif|see|view|access|watch)\w*"
    r"|none of the (?:above|options|choices|given)|not (?:possible|enough information|sufficient|clear|sure|certain)"
    r"|insufficient|impossible to|unclear|no (?:answer|information|video)|unknown|n/a"
    r"|lo siento|no puedo|désolé|je ne peux pas|leider|kann ich nicht|не могу|извините)\b"
    r"|无法|抱歉|不能确定|看不到|申し訳|わかりません|分かりません|できません|죄송|알 수 없"
)
