"""Requests about text alone, and for scores, to a server."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.openai_server import Body, OpenAIServer, Say
from tests.videollm.adapters.test_endpoint import KEY, load
from videollm.errors import UserError
from videollm.types import Clip, FrameBatch, Request


def test_requests_about_text_send_no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither where there is no clip, nor where the clip of others is there; scores are refused."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    bodies: list[Body] = []

    def answer(body: Body, number: int) -> Say:
        bodies.append(body)
        return Say(text="notes")

    noise = np.zeros((2, 16, 24, 3), np.uint8)
    frames = FrameBatch(frames=noise, indices=(0, 5), seconds=(0.0, 0.5))
    with OpenAIServer(answer) as server:
        model = load(server)
        visual = model.encode([frames])[0]
        text = Request(id="a", clip=Clip(video=""), question="Sum up.", seen=False, system="Be brief.")
        (alone,), (beside,) = (model.answer_batch([(v, [text])])[0] for v in (None, visual))
        assert bodies[0] == bodies[1]
        system, user = bodies[0]["messages"]
        assert system == {"role": "system", "content": "Be brief."}
        assert user == {"role": "user", "content": [{"type": "text", "text": "Sum up."}]}
        assert alone == beside
        assert (alone.prompt, alone.frames_sent, alone.frame_indices) == ("Be brief.\nSum up.", "none", ())
        with pytest.raises(UserError, match="it cannot score texts exactly"):
            model.score(frames, "What?", ["a"])
        lost = Request(id="b", clip=Clip(video=""), question="Who?")
        with pytest.raises(UserError, match="Request 'b' asks about a clip, and came without one"):
            model.answer_batch([(None, [lost])])
    assert len(bodies) == 2
