"""Videos beside their rows in a real browser, on a page from disk: they seek, captions follow, and run nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import main as cli
from pipelines.cli import report
from tests.support.clips import write
from tests.support.split_rows import row, split_rows, write_output

NASTY = "--> </script> & <img src=x onerror=hacked=1>\n\n<script>hacked = 1</script> <00:01.000> &amp;"
NEAR_SECONDS = 0.1
"""How near to the place that was asked for a seek ends."""
PLAYED = "watched.player !== null && watched.player.readyState >= 2 && !watched.player.seeking"
CUES = "[...watched.cues.activeCues].map(cue => cue.getCueAsHTML().textContent)"


def texts(browser: Any, selector: str) -> list[str]:
    return list(browser.js(f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.textContent)"))


def seeks(browser: Any, act: str, seconds: float) -> None:
    """Do something; the player then stands at that time, and the frame that it shows is of that time."""
    watch = "(_, frame) => { shown = frame.mediaTime; player.requestVideoFrameCallback(watch) }"
    script = f"(player => {{ const watch = {watch}; player.requestVideoFrameCallback(watch) }})(watched.player)"
    browser.js(f"shown = null; {script}; {act}")
    browser.wait(f"{PLAYED} && shown !== null && Math.abs(shown - {seconds}) <= {NEAR_SECONDS}")
    assert browser.js("watched.player.currentTime") == pytest.approx(seconds, abs=NEAR_SECONDS)


@pytest.fixture(scope="module")
def watching(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Page of five videos of 40 s: H.264, VP9, one that is gone, one that is no video, and one with answers alone."""
    folder = tmp_path_factory.mktemp("watching")
    (folder / "videos").mkdir()
    names = ["a #1 100%.mp4", "b.webm", "gone.mp4", "no video.mp4", "<img src=x onerror=hacked=1>.mp4"]
    paths = [folder / "videos" / name for name in names]
    write(paths[0], 200, fps=5)
    write(paths[1], 200, fps=5, codec="libvpx-vp9", options={"cpu-used": "8", "deadline": "realtime"})
    paths[3].write_bytes(b"not a video")
    paths[4].hardlink_to(paths[0])
    chapters = ["[00:00:00-00:00:20] Begin\nmore", NASTY]
    rows = split_rows("a", str(paths[0]), ["First.", NASTY, None, "Last."], chapters=chapters)
    for i, path in enumerate(paths[1:4]):
        rows += split_rows(f"v{i}", str(path), ["One & two.", "Two.", "Three.", "Four."], overlap=2)
    asked = [
        row("q0", video=str(paths[4]), question=NASTY, answer=NASTY, strategy="mapreduce", num_looks=4,
            num_frames_scanned=32, evidence_start=(24.0, 8.0), evidence_end=(32.0, 16.0), evidence_scores=(11.25, 3.0)),
        row("q1", video=str(paths[4]), question="Any dog?", answer="no", strategy="mapreduce"),
    ]  # fmt: skip
    write_output(folder / "out", [*rows, *asked])
    report.main(report.ReportOptions(runs=(folder / "out",)))
    return folder / "out" / "report.html"


def opened(browser: Any, page: Path, video: int) -> None:
    browser.open(page)
    part = ("a #1", "b.webm", "gone", "no video", "<img")[video]
    browser.js(f"openVideo(VIDEOS.find(video => video.name.includes({part!r})))")


@pytest.mark.parametrize("video", [0, 1])
def test_clicks_and_enter_seek(browser: Any, watching: Path, video: int) -> None:
    opened(browser, watching, video)
    browser.wait(PLAYED)
    starts = browser.js("watched.segments.map(({ from }) => from)")
    assert starts == [0, 10, 20, 30]
    for place in (3, 1, 2):
        seeks(browser, f"document.querySelectorAll('.segments button')[{place}].click()", starts[place])
    seeks(browser, "document.querySelectorAll('#captions .row')[1].click()", 10)
    browser.js("document.querySelector('.segments [tabindex=\"0\"]').focus()")
    for key, place in (("Home", 0), ("ArrowRight", 1), ("End", 3), ("ArrowLeft", 2)):
        browser.press(key)
        assert browser.js("[...document.querySelectorAll('.segments button')].indexOf(document.activeElement)") == place
        browser.press("Enter")
        browser.wait(PLAYED)
        assert browser.js("watched.player.currentTime") == pytest.approx(starts[place], abs=NEAR_SECONDS)
    browser.js("document.getElementById('captions').focus()")
    for key in ("ArrowDown", "Enter"):
        browser.press(key)
    browser.wait(PLAYED)
    assert browser.js("watched.player.currentTime") == pytest.approx(30, abs=NEAR_SECONDS)
    assert len(texts(browser, ".lane [tabindex='0']")) == len(texts(browser, ".lane"))
    assert browser.complaints() == []


def test_captions_follow_the_film(browser: Any, watching: Path) -> None:
    opened(browser, watching, 0)
    browser.wait(PLAYED)
    for seconds, said, row_now in ((0, "First.", "0:00-0:10First."), (30, "Last.", "0:30-0:40Last.")):
        browser.js(f"watched.player.currentTime = {seconds}")
        browser.wait(f"JSON.stringify({CUES}) === {json.dumps(json.dumps([said]))}")
        browser.wait(f"document.querySelector('.caption.now')?.textContent === {json.dumps(row_now)}")
        assert texts(browser, "#video-now .said")[-1] == said
        assert texts(browser, ".segments [aria-current]") == [""]
    browser.js("watched.player.currentTime = 9.7; watched.player.muted = true; watched.player.play()")
    browser.wait("watched.segments.indexOf(watched.now) === 1 && watched.player.currentTime > 10")
    browser.js("watched.player.pause()")
    one_line = " ".join(NASTY.split())
    browser.wait(f"JSON.stringify({CUES}) === JSON.stringify([{json.dumps(one_line)}])")
    assert texts(browser, "#video-now .said") == ["[00:00:00-00:00:20] Begin\nmore", NASTY]
    assert texts(browser, ".chapters button")[0] == "Begin"


def test_failed_segments_are_seen_as_such(browser: Any, watching: Path) -> None:
    opened(browser, watching, 0)
    browser.wait(PLAYED)
    assert texts(browser, "#watch-warning") == ["1 segment of 4 failed: the summary is made of the others."]
    assert texts(browser, ".caption.has-failed .caption-text") == ["decode_error: the video is damaged there"]
    browser.js("document.querySelector('.segments .has-failed').click()")
    browser.wait(f"{PLAYED} && {CUES}.length === 0")
    assert texts(browser, "#video-now .error") == ["decode_errorthe video is damaged there"]
    assert texts(browser, "#video-list .row-failed") == ["1 failed"]


def test_evidence_is_marked_and_seeks(browser: Any, watching: Path) -> None:
    opened(browser, watching, 4)
    browser.wait(PLAYED)
    assert texts(browser, ".moment") == ["0:24-0:32 (11.3)", "0:08-0:16 (3.0)"]
    assert texts(browser, ".evidence button") == ["11.3", "3.0"]
    left = browser.js("document.querySelector('.evidence button').style.left")
    assert left == "60%"
    browser.js("document.querySelectorAll('.moment')[1].click()")
    browser.wait(PLAYED)
    assert browser.js("watched.player.currentTime") == pytest.approx(8, abs=NEAR_SECONDS)
    browser.js("document.querySelector('.evidence button').click()")
    browser.wait(PLAYED)
    assert browser.js("watched.player.currentTime") == pytest.approx(24, abs=NEAR_SECONDS)
    said = texts(browser, ".video-answer")
    assert NASTY in said[0]
    assert "mapreduce: 4 looks, 32 frames" in said[0]
    assert "No evidence was found." in said[1]


def test_what_captions_say_runs_nothing(browser: Any, watching: Path) -> None:
    for video in range(5):
        opened(browser, watching, video)
        browser.wait("watched.player === null || watched.player.readyState >= 2")
        browser.js("document.querySelectorAll('.lane button, .caption, .moment').forEach(element => element.click())")
    assert browser.js("typeof hacked") == "undefined"
    assert browser.js("document.querySelectorAll('#videos script, #videos img').length") == 0
    opened(browser, watching, 0)
    browser.wait(PLAYED)
    assert browser.complaints() == []
    asked = {url for url in browser.requests() if not url.startswith("data:")}
    assert asked == {watching.as_uri(), (watching.parent.parent / "videos").as_uri() + "/a%20%231%20100%25.mp4"}


def test_a_video_from_elsewhere_is_blocked(browser: Any, watching: Path) -> None:
    browser.open(watching)
    browser.js("document.body.append(h('video', { src: 'http://127.0.0.1:9/v.mp4', preload: 'auto' }))")
    browser.wait("document.querySelector('body > video').error !== null")
    assert "Content Security Policy" in " ".join(browser.complaints())


def test_a_file_that_is_away_or_does_not_play_leaves_its_rows(browser: Any, watching: Path) -> None:
    for video, said in ((2, "Not played. There was no file"), (3, "Not played. This browser cannot play the file")):
        opened(browser, watching, video)
        browser.wait("watched.player === null")
        assert texts(browser, "#screen .reason")[0].startswith(said)
        browser.js("document.querySelectorAll('.segments button')[2].click()")
        assert texts(browser, "#video-now .said") == ["Three."]
        assert texts(browser, ".caption.now") == ["0:19-0:31Three."]


def test_pictures_stand_in_for_a_file_that_does_not_play(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    write(tmp_path / "videos" / "clip.mkv", 60, codec="libx265", options={"preset": "ultrafast"})
    cli.main(["caption", str(tmp_path / "videos"), "-o", str(tmp_path / "out"), "--max-new-tokens", "8"])
    cli.main(["report", str(tmp_path / "out")])
    browser.open(tmp_path / "out" / "report.html")
    browser.js("openVideo(VIDEOS[0])")
    browser.wait("watched.player === null")
    browser.wait("document.images.length === 8 && [...document.images].every(i => i.naturalWidth > 0)")
    assert texts(browser, "#video-answers .said") == [browser.js("ITEMS[0].answers[0].output")] != [""]


def test_a_hundred_videos_are_browsable(browser: Any, watching: Path, tmp_path: Path) -> None:
    rows = []
    (tmp_path / "videos").mkdir()
    for number in range(100):
        path = tmp_path / "videos" / f"{number:03d}.mp4"
        os.link(watching.parent.parent / "videos" / "a #1 100%.mp4", path)
        captions = [f"Film {number}, scene #{i}. A square moves." for i in range(40)]
        rows += split_rows(f"v{number}", str(path), captions, chapters=["A chapter."] * 20)
    write_output(tmp_path / "out", rows)
    report.main(report.ReportOptions(runs=(tmp_path / "out",)))
    page = tmp_path / "out" / "report.html"
    assert page.stat().st_size < 2_000_000
    browser.open(page)
    assert browser.js("VIDEOS.length") == 100
    for number in (3, 97):
        browser.js(f"openVideo(VIDEOS.find(video => video.name.endsWith('{number:03d}.mp4')))")
        browser.wait(PLAYED)
        assert browser.js("document.querySelectorAll('video').length") == 1
        assert browser.js("document.querySelectorAll('.row').length") < 120
        assert browser.js("document.querySelectorAll('*').length") < 1500
        assert len(texts(browser, ".segments button")) == 40
    browser.press("Escape")
    browser.js("""(search => { search.value = 'MOVES 42, #7.'; search.dispatchEvent(new Event('input')) })
                  (document.getElementById('find'))""")
    assert texts(browser, "#video-count") == ["1 of 100"]
    browser.js("document.querySelector('#video-list .row').click()")
    marks = "[...document.querySelectorAll('.segments button')].map(button => button.classList.contains('hit'))"
    assert browser.js(marks) == [i == 7 for i in range(40)]
    browser.wait("location.hash.includes('042.mp4')")
    browser.open(page, browser.js("location.hash"))
    assert browser.js("watched.video.name").endswith("042.mp4")
    browser.js("document.getElementById('video-list').focus()")
    browser.press("Escape")
    assert browser.js("document.querySelectorAll('video').length") == 0


def test_it_fits_a_phone(browser: Any, watching: Path) -> None:
    browser.open(watching, width=400, height=800)
    browser.js("openVideo(VIDEOS[0])")
    browser.wait("watched.player === null || watched.player.readyState >= 1")
    assert browser.js("document.documentElement.scrollWidth") <= 400
    assert browser.js("document.getElementById('video').getBoundingClientRect().width") == 400
    assert browser.js("document.getElementById('video').scrollWidth") <= 400
    browser.js("document.querySelector('#video .back').click()")
    assert browser.js("getComputedStyle(document.getElementById('video')).display") == "none"
