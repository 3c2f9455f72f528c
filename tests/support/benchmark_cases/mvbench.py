"""MVBench."""

from __future__ import annotations

from dataclasses import replace

from tests.support.benchmark_cases.base import Cases, File, sample
from videollm.types import Clip

LAST = sample("", "", "What color comes last?", ("red", "green", "blue", "yellow"), 2)
DIRECTION = sample("", "", "In which direction does the green triangle move?", ("left", "right", "up", "down"), 1)
BECOMES = sample("", "", "What color does the cross turn into?", ("blue", "red", "green"), 0)
COUNT = sample("", "", "How many shapes are there?", ("one", "two", "three", "four"), 3)
ASKED = [
    ("action_sequence", Clip(video="video/data0613/star/Charades_v1_480/parade.mp4", start=0, end=4, cut_end=True),
     LAST),
    ("action_prediction", Clip(video="video/data0613/star/Charades_v1_480/motion.mp4", start=0, end=4, cut_end=True),
     DIRECTION),
    ("action_antonym", Clip(video="video/ssv2_video/change.mp4"), BECOMES),
    ("fine_grained_action", Clip(video="video/Moments_in_Time_Raw/videos/still.mp4"), COUNT),
    ("unexpected_action", Clip(video="video/FunQA_test/test/parade.mp4"), LAST),
    ("object_existence", Clip(video="video/clevrer/video_validation/motion.mp4"), DIRECTION),
    ("object_interaction", Clip(video="video/data0613/star/Charades_v1_480/change.mp4", start=0, end=4, cut_end=True),
     BECOMES),
    ("object_shuffle", Clip(video="video/perception/videos/still.mp4"), COUNT),
    ("moving_direction", Clip(video="video/clevrer/video_validation/parade.mp4"), LAST),
    ("action_localization", Clip(video="video/sta/sta_video/motion.mp4", start=0, end=4.7, cut_end=True), DIRECTION),
    ("scene_transition", Clip(video="video/scene_qa/video/change.mp4"), BECOMES),
    ("action_count", Clip(video="video/perception/videos/still.mp4"), COUNT),
    ("moving_count", Clip(video="video/clevrer/video_validation/parade.mp4"), LAST),
    ("moving_attribute", Clip(video="video/clevrer/video_validation/motion.mp4"), DIRECTION),
    ("state_change", Clip(video="video/perception/videos/change.mp4"), BECOMES),
    ("fine_grained_pose", Clip(video="video/nturgbd/still.mp4"), COUNT),
    ("character_order", Clip(video="video/perception/videos/parade.mp4"), LAST),
    ("egocentric_navigation", Clip(video="video/vlnqa/motion.mp4"), DIRECTION),
    ("episodic_reasoning",
     Clip(video="video/tvqa/frames_fps3_hq/castle_s03e05", start=0, end=3.5, cut_end=True, fps=3), BECOMES),
    ("counterfactual_inference", Clip(video="video/clevrer/video_validation/still.mp4"), COUNT),
]  # fmt: skip

CASES = Cases(
    samples={"test": [replace(asked, id=f"{task}/0", clip=clip, groups={"task": task}) for task, clip, asked in ASKED]},
    prompt="""\
Carefully watch the video and pay attention to the cause and sequence of events, the detail and movement of \
objects, and the action and pose of persons. \
Based on your observations, select the best option that accurately addresses the question.
Question: What color comes last?
Options:
(A) red
(B) green
(C) blue
(D) yellow
Only give the best option.""",
    rules=[
        (0, "(C) blue", True),
        (0, "C.", True),
        (0, "Answer: (C)", False),  # only the first word counts
        (0, "", True),  # is part of "(c)"
        (0, "(A) red", False),
    ],
    files=[
        File(
            path="json/object_existence.json",
            fields=[(0, field) for field in ("video", "question", "candidates", "answer")],
            wrong=[
                ((0, "answer"), "sideways", "answer is ", "expected one of its options"),
                ((0, "candidates"), "left or right", "candidates is ", "expected a list of texts"),
            ],
            empty=[],
            other=[
                ({"video": "a.mp4"}, "expected a list of questions"),
                (["a.mp4"], "entry 1", "expected a row of named fields"),
            ],
        )
    ],
)
