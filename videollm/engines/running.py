"""The running batch of the built-in engine.

SHAPES  r rows fed, m questions, s tokens of a row, k of its columns, d LLM width, v vocabulary.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from copy import deepcopy
from itertools import accumulate, chain
from typing import Any, Final

import torch
from torch import Tensor

from videollm.engines import packing, scoring
from videollm.engines.backbone import Backbone
from videollm.engines.base import Batch
from videollm.engines.cascade import Prefill, Step
from videollm.engines.forward import forward
from videollm.engines.graphs import Captured
from videollm.engines.layers import States, stack
from videollm.engines.memory import bytes_per_token
from videollm.engines.pools import Place, Pools, row_width
from videollm.engines.prompt import Prefix, Prompt
from videollm.engines.questions import Group, Question
from videollm.engines.sampler import Sampler
from videollm.errors import UserError
from videollm.types import Room

MAX_PREFILL_TOKENS: Final = 8192
"""Tokens of beginnings that go through the LLM at once, unless one alone has more."""
MAX_SCORES: Final = 2**26
"""Scores of queries and keys, of all heads of a layer, that are in memory at once."""
MAX_LOGITS: Final = 2**28
"""Logits that are in memory at once, where those of all tokens fed are wanted."""
MAX_PROMPTS: Final = 512
"""Prompts under way, where there is memory for more."""


class RunningBatch(Batch):
    """Prompts under way in one LLM.

    Args:
        backbone: the LLM.
        sampler: chooses tokens.
        end_ids: tokens that end an answer.
        max_tokens: tokens that there is memory for.
        max_prompts: most prompts under way.
        captured: recorded steps, if any are to be.
    """

    def __init__(
        self,
        backbone: Backbone,
        sampler: Sampler,
        end_ids: frozenset[int],
        *,
        max_tokens: int,
        max_prompts: int | None = None,
        captured: Captured | None = None,
    ) -> None:
        self.backbone, self.llm = backbone, backbone.llm
        self.device = backbone.embedding.weight.device
        self.sampler, self.end_ids = sampler, end_ids
        self.max_tokens, self.captured = max_tokens, captured
        self.max_prompts = min(max_prompts or MAX_PROMPTS, MAX_PROMPTS)
        self.waiting: deque[Group] = deque()
        self.active: list[Question] = []
        """In the order of their own rows, pool by pool."""
        self.shared_rows, self.own_rows = Pools(self.device), Pools(self.device)
        self.questions: dict[Place, Question] = {}
        """By own row."""
        self.users: Counter[Place] = Counter()
        """Questions under way on each shared row."""
        self.states: States | None = None
        """Of recurrent layers, its rows those of `active`."""
        self.latest: tuple[Sequence[Question], Step] | None = None
        """The last step in which each question of `active` was fed a token, and what `active` was."""

    @property
    def num_waiting(self) -> int:
        """Prompts that there is no room for yet."""
        return sum(len(group.prompts) for group in self.waiting)

    @property
    def num_tokens(self) -> int:
        """Tokens that memory was taken for."""
        return self.shared_rows.num_tokens + self.own_rows.num_tokens

    @property
    def num_prompts(self) -> int:
        """Prompts that wait, and those that are under way."""
        return self.num_waiting + len(self.active)

    def room(self, prompts: Sequence[Prompt]) -> Room:
        """Tell what the prompts of a clip would take, see `Batch.room`."""
        size = bytes_per_token(self.llm)
        needed = sum(group.num_tokens for group in self._groups(Prefix(tokens=torch.empty(0)), prompts))
        return Room(needed=needed * size, available=self.max_tokens * size, max_prompts=self.max_prompts)

    def join(self, visual: Prefix, prompts: Sequence[Prompt]) -> None:
        """Add the prompts of a clip: those that agree up to their last visual token share what they begin with."""
        self.waiting += self._groups(visual, prompts)

    def _groups(self, visual: Prefix, prompts: Sequence[Prompt]) -> Iterator[Group]:
        groups: dict[tuple[int, ...], list[Prompt]] = {}
        for prompt in prompts:
            groups.setdefault(packing.visual_prefix(prompt.ids), []).append(prompt)
        for alike in groups.values():
            # As many as there is memory for, should an answer take all the tokens that it may: where the limit is high,
            # the prompts of one clip come in turn.
            shared = packing.common([p.ids for p in alike])
            longest = max(row_width(len(p.ids) - shared + p.budget) * p.num_rows for p in alike)
            size = min(self.max_prompts, max(1, (self.max_tokens - row_width(shared)) // longest))
            for i in range(0, len(alike), size):
                some = alike[i : i + size]
                num_shared = packing.common([p.ids for p in some])
                yield Group(visual=visual, prompts=some, num_shared=num_shared)

    @torch.inference_mode()
    def advance(self) -> None:
        """Take in the prompts that there is room for, and generate a token of each that is under way."""
        if taken := list(self._take()):
            self._begin(taken)
        if not self.active:
            return
        # The newest token of every question goes in, and the next one comes out.
        prompts = [q.prompt for q in self.active]
        tokens, positions = [p.generated[-1] for p in prompts], [p.newest_position for p in prompts]
        self._choose(self.active, self._feed_each(tokens, positions))
        self._settle()

    def _feed_each(self, tokens: Sequence[int], positions: Sequence[packing.Position]) -> Tensor:
        """Feed a token to each question under way, and return logits (m v)."""
        if self.captured is not None and self.captured.capturing.works:
            places = [(q.shared, q.own) for q in self.active]
            logits = self.captured.feed(self.active, places, tokens, positions)
            if logits is not None:
                for question in self.active:
                    question.own.length += 1
                return logits
        return self._feed(self.active, [[t] for t in tokens], [[p] for p in positions], self.states, [1] * len(tokens))

    def _take(self) -> Iterator[Group]:
        """Take the groups that there is room for; one at least where nothing is under way."""
        number = len(self.active)
        shared, own = Counter[int](), Counter[int]()
        while self.waiting:
            group = self.waiting[0]
            number += len(group.prompts)
            shared[row_width(group.num_shared)] += group.num_shared > 0
            own.update(group.rows)
            growth = self.shared_rows.growth(shared) + self.own_rows.growth(own)
            full = number > self.max_prompts or self.num_tokens + growth > self.max_tokens
            if full and number > len(group.prompts):
                return
            yield self.waiting.popleft()

    def _begin(self, groups: Sequence[Group]) -> None:
        """Feed the prompts of groups, and choose the first token of each."""
        # 1. What the prompts of groups share, groups of one length together, as many tokens as are fed at once.
        begun: list[Question] = []
        together: list[Group] = []
        for group in sorted(groups, key=lambda g: g.num_shared):
            full = sum(g.num_shared for g in together) + group.num_shared > MAX_PREFILL_TOKENS
            if together and (full or self.backbone.recurrent or not together[0].num_shared):
                begun += self._share(together)
                together = []
            together.append(group)
        begun += self._share(together)
        # 2. What follows, questions with as much left together, as many tokens of each as memory allows; and behind
        #    prompts with continuations, the branches of these.
        config = self.llm.config.get_text_config(decoder=True)
        while left := sorted((q for q in begun if q.rest), key=lambda q: -len(q.rest)):
            widest = max(q.num_shared + q.own.pool.width for q in left)
            most = max(1, MAX_SCORES // (config.num_attention_heads * widest))
            if any(q.branch for q in left):
                most = min(most, max(1, MAX_LOGITS // config.vocab_size))
            s = min(most, len(left[0].rest))
            some = left[: 1 if self.backbone.recurrent else max(1, most // s)]
            ids = [q.rest[:s] for q in some]
            at = [q.next_positions(len(i)) for q, i in zip(some, ids, strict=True)]
            wanted = [q.num_wanted(len(i)) for q, i in zip(some, ids, strict=True)]
            logits = self._feed(some, ids, at, some[0].states, wanted)
            begun += self._take_up(some, wanted, logits)
        for prompt in (q.prompt for q in begun if q.prompt.scoring is not None):
            prompt.finish_reason = scoring.SCORED
        self.questions |= {q.own: q for q in begun}
        self._settle()

    def _share(self, groups: Sequence[Group]) -> list[Question]:
        """Feed what the prompts of groups share (all of them, or none, share something), and make their questions."""
        lengths = [g.num_shared for g in groups]
        places: list[Place] | list[None] = [None] * len(groups)
        states = States(config=self.llm.config) if self.backbone.recurrent else None
        if lengths[0]:
            taken = [self.shared_rows.of(n).take(number) for n, number in Counter(lengths).items()]
            places = rows = list(chain(*taken))
            ids = [torch.tensor([g.prompts[0].ids[: g.num_shared]], device=self.device) for g in groups]
            at = packing.pad_positions(
                [[p for g in groups for p in g.prompts[0].positions[: g.num_shared]]], self.device
            )
            visual = [g.visual.tokens.to(self.device) for g in groups]
            embeds = torch.cat(
                [packing.embed(i, [v], self.backbone.embedding) for i, v in zip(ids, visual, strict=True)], 1
            )
            fed = Prefill(rows, lengths, self.backbone.windows, self._windowed(at))
            further = packing.deepstack(torch.cat(ids, 1), [g.visual.deep for g in groups], embeds)
            forward(self.backbone, fed, embeds, at, states, None, **further)
            for row, length in zip(rows, lengths, strict=True):
                row.length = length
        made = []
        for group, place in zip(groups, places, strict=True):
            for prompt, own in zip(group.prompts, group.own_lengths, strict=True):
                (row,) = self.own_rows.of(own).take(1)
                question = Question(
                    prompt=prompt, num_shared=group.num_shared, shared=place, own=row, states=deepcopy(states)
                )
                made.append(question)
            if place is not None:
                self.users[place] = len(group.prompts)
        return made

    def _take_up(self, questions: Sequence[Question], wanted: Sequence[int], logits: Tensor) -> list[Question]:
        """Choose first tokens from the logits that were wanted of each question, or score; return new branches."""
        rows = [(q, q.depth - i) for q, n in zip(questions, wanted, strict=True) for i in reversed(range(n))]
        ended = [i for i, (q, _) in enumerate(rows) if q.prompt.scoring is None]
        if ended:
            self._choose([rows[i][0] for i in ended], logits if len(ended) == len(rows) else logits[ended])
        scored = [(s, q.branch, depth, i) for i, (q, depth) in enumerate(rows) if (s := q.prompt.scoring) is not None]
        if not scored:
            return []
        scoring.take([(s, branch, depth) for s, branch, depth, _ in scored], logits[[i for *_, i in scored]])
        made = [new for *_, depth, i in scored if depth == 0 for new in rows[i][0].fork()]
        self.users.update(new.shared for new in made if new.shared is not None)
        return made

    def _feed(
        self,
        questions: Sequence[Question],
        ids: Sequence[Sequence[int]],
        positions: Sequence[Sequence[packing.Position]],
        states: States | None,
        wanted: Sequence[int],
    ) -> Tensor:
        """Feed tokens to questions, and return the logits (k v) of as many of the last ones of each as are wanted."""
        lengths = [len(own) for own in ids]
        # All tokens lie in one row, for only attention tells questions apart; recurrent layers take a row for each.
        laid = ids if self.backbone.recurrent else [[token for own in ids for token in own]]
        tokens = torch.tensor(laid, device=self.device)
        at = packing.pad_positions(positions if self.backbone.recurrent else [list(chain(*positions))], self.device)
        if self.latest is not None and questions is self.latest[0]:
            fed = self.latest[1].again()
        else:
            fed = Step([(q.shared, q.own) for q in questions], lengths, self.backbone.windows, self._windowed(at))
        if questions is self.active and not any(self.backbone.windows):
            self.latest = questions, fed
        last = [*range(-max(wanted), 0)]  # in rows of their own, all want as many
        if not self.backbone.recurrent:
            last = [i for end, n in zip(accumulate(lengths), wanted, strict=True) for i in range(end - n, end)]
        keep = self._index(last) if last else None
        made = forward(self.backbone, fed, self.backbone.embedding(tokens), at, states, keep)
        for question, length in zip(questions, lengths, strict=True):
            question.own.length += length
        return made.flatten(0, 1)

    def _choose(self, questions: Sequence[Question], logits: Tensor) -> None:
        """Choose the next token of questions from logits (m v)."""
        prompts = [q.prompt for q in questions]
        chosen = self.sampler(logits, [p.generated for p in prompts], [p.key for p in prompts])
        for prompt, token in zip(prompts, chosen, strict=True):
            prompt.take(token, self.end_ids)

    def _windowed(self, positions: Tensor) -> Tensor | None:
        """Return positions where layers have windows: by position, not by index, do they reach back."""
        if not any(self.backbone.windows):
            return None
        if positions.dim() == 3:
            raise UserError("LLM has sliding windows and positions of three components, which do not go together.")
        return positions

    def _settle(self) -> None:
        """Give back the rows of finished questions, and those that no question shares any more."""
        for question in [q for q in self.questions.values() if q.prompt.finish_reason]:
            self.own_rows.give_back(question.own)
            del self.questions[question.own]
            if question.shared is not None:
                self.users[question.shared] -= 1
                if not self.users[question.shared]:
                    self.shared_rows.give_back(question.shared)
                    del self.users[question.shared]
        self._arrange()

    def _arrange(self) -> None:
        """List the questions in the order of their rows, and lay recurrent states in that order."""
        before, active = self.active, [self.questions[place] for place in self.own_rows.places()]
        if active == before:
            return
        self.active, self.latest = active, None
        if not self.backbone.recurrent or not active:
            return
        row_of = {q: i for i, q in enumerate(before)}
        kept, new = [q for q in self.active if q in row_of], [q for q in self.active if q not in row_of]
        parts = [q.states for q in new if q.states is not None]
        if kept and self.states is not None:
            self.states.reorder_cache(self._index([row_of[q] for q in kept]))
            parts.insert(0, self.states)
        self.states = stack(parts)
        place_of = {q: i for i, q in enumerate([*kept, *new])}
        self.states.reorder_cache(self._index([place_of[q] for q in self.active]))
        for question in new:
            question.states = None

    def _index(self, rows: Sequence[int]) -> Any:
        return torch.tensor(rows, dtype=torch.int64, device=self.device)
