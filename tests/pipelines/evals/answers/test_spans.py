"""Raw outputs and the seconds that a person reads in them."""

from __future__ import annotations

import pytest

from pipelines.evals.answers.spans import read_span

READ = [
    ("from 12.3 to 20 seconds", 12.3, 20),
    ("00:12 - 00:20", 12, 20),
    ("12.0-20.0", 12, 20),
    ("12.0 – 20.0", 12, 20),
    ("[12, 20]", 12, 20),
    ("(12.0, 20.0)", 12, 20),
    ("12, 20", 12, 20),
    ("12.3s - 20s", 12.3, 20),
    ("4 seconds to 6 seconds", 4, 6),
    ("The event happens between 3 and 9 seconds.", 3, 9),
    ("between 00:04 and 00:09", 4, 9),
    ("It happens from 12s to 20s in the video.", 12, 20),
    ("from second 4 to second 6", 4, 6),
    ("from 0:04 until 0:06", 4, 6),
    ("1:00:05-1:00:10", 3605, 3610),
    ("00:00:12,000 --> 00:00:20,500", 12, 20.5),
    ("Start: 3.0, End: 9.5", 3, 9.5),
    ("start time is 3 seconds and the end time is 9 seconds", 3, 9),
    ("{'start': 3, 'end': 7}", 3, 7),
    ("It starts at 4 and ends at 6.", 4, 6),
    ("3 to 5 seconds, i.e. 3 - 5", 3, 5),
    ("**12.0 to 20.0.**", 12, 20),
    ("<think>1-2</think> 5-9", 5, 9),
    ("The girl in 2 hats cooks from 24.3 - 30.4 seconds.", 24.3, 30.4),
]
NOT_READ = [
    ("", "none"),
    ("yellow", "none"),
    ("at 12 seconds", "number"),
    ("20 to 12", "backwards"),
    ("12 - 12", "backwards"),
    ("0-5 and 7-9", "several"),
    ("2 dogs and 3 cats", "number"),
    ("at 2, 3 and 5 seconds", "number"),
    ("Frames 3-9", "number"),
    ("from 5 to 6 minutes", "number"),
    ("1,200 - 1,300", "number"),
    ("-5 - 6", "number"),
    ("1.5-2.5-3.5", "number"),
    ("12:75 - 13:00", "number"),
    ("<think>it may be 1-2", "none"),
]


@pytest.mark.parametrize(("text", "start", "end"), READ)
def test_what_a_person_reads(text: str, start: float, end: float) -> None:
    assert read_span(text).span == (start, end)


@pytest.mark.parametrize(("text", "rule"), NOT_READ)
def test_what_names_no_span(text: str, rule: str) -> None:
    assert (read_span(text).span, read_span(text).rule) == (None, rule)
