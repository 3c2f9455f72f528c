"""The page in a real browser: it asks for nothing, shows what the runs say, and runs nothing that they say."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.cli import main as cli
from pipelines.cli import report
from pipelines.evals.benchmark import Sample
from pipelines.evals.compare import compare_runs
from pipelines.evals.scores import score_run
from pipelines.evals.text_table import hundredths, signed_hundredths

FIRST_LIST_MS = 5000
"""Generous: 300 to 510 ms were measured for 2,000 questions of 700 clips, on two busy cores."""
KEY_MS = 1000
"""Generous: 15 to 35 ms were measured."""
FRAME = "new Promise(done => requestAnimationFrame(() => setTimeout(done)))"
TYPED = """(async search => { const began = performance.now(); search.value = 'TEXT';
    search.dispatchEvent(new Event('input')); await FRAME; return performance.now() - began
})(document.getElementById('search'))""".replace("FRAME", FRAME)
"""Milliseconds from a key to the list as it is shown after it."""


def listed(browser: Any) -> list[str]:
    return list(browser.js("listed.map(item => item.id)"))


def enter(browser: Any, selector: str, value: str, event: str = "change") -> None:
    browser.js(f"""(element => {{ element.value = {json.dumps(value)}; element.dispatchEvent(new Event({event!r})) }})
                   (document.querySelector({json.dumps(selector)}))""")


def texts(browser: Any, selector: str) -> list[str]:
    return list(browser.js(f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.textContent)"))


def test_it_opens_from_disk_and_asks_for_nothing(browser: Any, page: Path) -> None:
    browser.open(page)
    assert texts(browser, "h1") == ["mini.py:Mini test"]
    assert texts(browser, "h3 .run-name") == ["a-stc", "b-resampler"]
    browser.js("document.querySelectorAll('.row')[2].click()")
    browser.js(FRAME)
    assert browser.complaints() == []
    assert {u for u in browser.requests() if not u.startswith("data:image/jpeg")} == {page.as_uri()}


def test_the_policy_lets_nothing_else_run_or_load(browser: Any, page: Path) -> None:
    browser.open(page)
    browser.js("document.body.append(h('script', null, 'hacked = 1'), h('img', { src: 'http://127.0.0.1:9/x.png' }))")
    blocked = browser.js("fetch('http://127.0.0.1:9/').then(() => 'loaded', () => 'blocked')")
    assert (blocked, browser.js("typeof hacked")) == ("blocked", "undefined")
    assert "Content Security Policy" in " ".join(browser.complaints())


def test_scores_are_those_of_the_tables(browser: Any, page: Path, runs: tuple[Path, Path]) -> None:
    browser.open(page)
    rows = "[...body.querySelectorAll('tr:not(.kind)')].map(row => [...row.querySelectorAll('td')].map(CELL))"
    cell = "cell => [...cell.querySelectorAll('.value, .interval')].map(e => e.textContent)"
    tables = f"[...document.querySelectorAll('.headline tbody')].map(body => {rows.replace('CELL', cell)})"
    shown = browser.js(tables)
    for number, folder in enumerate(runs):
        overall = [s for s in score_run(folder).scores if s.grouping is None]
        for kind, metric in enumerate(("accuracy", "circular", "mean over rotations")):
            expected = []
            for rule in ("strict", "compat"):
                for part in ("over_all", "over_answered"):
                    found = [getattr(s, part) for s in overall if (s.metric, s.rule) == (metric, rule)]
                    expected += [
                        [hundredths(e.mean), f"{hundredths(e.low)} to {hundredths(e.high)}"] for e in found
                    ] or [[]]
            assert shown[kind][number] == expected
    groups = [
        s
        for s in score_run(runs[1]).scores
        if s.grouping == "duration" and (s.metric, s.rule) == ("accuracy", "strict")
    ]
    values = [
        v.removeprefix("b-resampler ")
        for v in texts(browser, "#groups figure:first-child .group-dot:nth-child(2) .value")
    ]
    assert values == [hundredths(s.over_all.mean) for s in groups]
    chips = texts(browser, ".status-row .chip")
    assert "timeout11.7%" in chips
    assert "connectorstcresampler3d" in texts(browser, "#differences tbody tr")
    _, _, found = compare_runs(*(score_run(folder) for folder in runs))[0]
    paired = texts(browser, "#scores .note")[-1]
    assert f"{signed_hundredths(found.difference.mean)}, 95% interval" in paired
    assert paired.endswith(f"{found.difference.gained} better, {found.difference.lost} worse.")


def test_search_and_filters_narrow_the_list(
    browser: Any, page: Path, runs: tuple[Path, Path], samples: list[Sample]
) -> None:
    a, b = (score_run(folder).items for folder in runs)

    def expected(keep: Callable[[int], bool | None]) -> list[str]:
        return [s.id for i, s in enumerate(samples) if keep(i)]

    browser.open(page)
    assert listed(browser) == [s.id for s in samples]
    enter(browser, "#search", " BOAT  middle", "input")
    assert (
        listed(browser) == expected(lambda i: "middle" in samples[i].question and "a boat" in samples[i].options) != []
    )
    assert texts(browser, "#count") == [f"{len(listed(browser))} of 60"]
    enter(browser, "#search", "damaged", "input")
    assert listed(browser) == [samples[9].id]
    enter(browser, "#search", "no such thing", "input")
    assert texts(browser, "#list .empty") == ["No question fits. Clear a filter or search for less."]
    browser.js("document.getElementById('reset').click()")
    assert len(listed(browser)) == 60
    enter(browser, "[data-filter=status]", "0:timeout")
    assert listed(browser) == [samples[8].id]
    browser.js("document.getElementById('reset').click()")
    enter(browser, "[data-filter=verdict]", "gained:0:1")
    assert listed(browser) == expected(lambda i: not a[i].right and b[i].right) != []
    enter(browser, "[data-filter='group.duration']", "short")
    assert listed(browser) == expected(
        lambda i: not a[i].right and b[i].right and samples[i].groups["duration"] == "short"
    )
    browser.js("document.getElementById('reset').click()")
    enter(browser, "[data-filter=rule]", f"0:{a[10].grade.rule}")
    assert listed(browser) == expected(lambda i: a[i].grade.rule == a[10].grade.rule)
    browser.js("document.getElementById('reset').click()")
    enter(browser, "[data-filter=sort]", "video")
    assert listed(browser) == [s.id for s in sorted(samples, key=lambda s: s.clip.video)]


def test_a_question_opens_with_its_frames_and_texts(browser: Any, page: Path, samples: list[Sample]) -> None:
    browser.open(page)
    assert browser.js("document.images.length") == 0
    browser.js("document.getElementById('list').focus()")
    for _ in range(4):
        browser.press("ArrowDown")
    browser.wait("document.images.length === 8 && [...document.images].every(i => i.naturalWidth > 0)")
    asked, shown = samples[3], " ".join(texts(browser, "#question"))
    assert asked.question in shown
    assert texts(browser, ".option-text") == list(asked.options)
    assert "✓ right" in texts(browser, ".options li")[int(asked.answer or 0)]  # type: ignore[call-overload]
    assert [t.replace("frame ", "#") for t in texts(browser, ".frames figcaption span")][:2] == ["#2", "#6"]
    assert texts(browser, ".frames figcaption b")[:2] == ["0.13 s", "0.38 s"]
    assert len(texts(browser, ".answer")) == 2
    assert len(texts(browser, ".rotations")) == 2
    assert browser.js("document.querySelectorAll('.prompt').length") == 0
    browser.js("document.querySelectorAll('.answer details summary').forEach(e => e.click())")
    browser.wait("document.querySelectorAll('.prompt').length === 2")
    assert texts(browser, ".prompt")[0].startswith(f"<s>[INST] <video>\n{asked.question}\nA. {asked.options[0]}\n")
    browser.press("j")
    assert samples[4].question in texts(browser, ".asked")
    browser.press("Escape")
    assert texts(browser, ".asked") == []
    browser.press("/")
    assert browser.js("document.activeElement.id") == "search"


def test_failures_say_why(browser: Any, page: Path, samples: list[Sample]) -> None:
    browser.open(page, f"#open={samples[8].id}")
    assert texts(browser, ".error") == ["timeouttimeout after 120.0s"]
    assert texts(browser, ".verdict")[0] == "timeout"


def test_what_the_data_say_is_only_text(browser: Any, page: Path, samples: list[Sample], hostile: str) -> None:
    browser.open(page, f"#open={samples[7].id}")
    browser.wait("document.images.length === 8")
    assert texts(browser, ".asked") == [hostile]
    assert texts(browser, ".option-text")[0] == hostile
    assert hostile in texts(browser, ".output")
    assert hostile in texts(browser, ".tags .tag")
    assert hostile in texts(browser, ".group-name")
    for other in (5, 9):
        browser.js(f"open(ITEMS[{other}])")
    assert hostile in texts(browser, ".error p")[0]
    browser.js("document.querySelectorAll('summary').forEach(e => e.click())")
    browser.js(FRAME)
    browser.js("open(ITEMS.find(item => item.video.includes('<')))")
    assert texts(browser, ".video") == ["<img src=x onerror=hacked=1>.mp4"]
    assert browser.js("[...document.images].every(i => i.src.startsWith('data:image/jpeg;base64,'))")
    assert browser.js("document.scripts.length") == 2 + browser.js(
        "document.querySelectorAll('[id^=pictures-]').length"
    )
    assert browser.js("typeof hacked") == "undefined"
    assert browser.complaints() == []


def test_the_address_keeps_the_view(browser: Any, page: Path, samples: list[Sample]) -> None:
    browser.open(page, f"#search=scene&verdict=right:1&open={samples[12].id}")
    before = listed(browser)
    assert texts(browser, ".asked") == [samples[12].question]
    assert 0 < len(before) < 60
    enter(browser, "#search", "scene 2", "input")
    browser.wait("location.hash.includes('scene+2')")
    address = browser.js("location.hash")
    after = listed(browser)
    browser.open(page, address)
    assert listed(browser) == after != before
    for bad in ("#verdict=gained:9:x", "#verdict=no", "#status=7", "#sort=no", "#open=nothing", "#%"):
        browser.open(page, bad)
        assert browser.complaints() == []


def test_it_fits_a_phone(browser: Any, page: Path, samples: list[Sample]) -> None:
    for width in (360, 400, 1600):
        browser.open(page, width=width, height=800)
        assert browser.js("document.documentElement.scrollWidth") <= width
    browser.open(page, width=400, height=800)
    browser.js("document.querySelectorAll('.row')[0].click()")
    browser.wait("location.hash.includes('open=')")
    assert browser.js("document.getElementById('question').getBoundingClientRect().width") == 400
    browser.js("history.back()")
    browser.wait("getComputedStyle(document.getElementById('question')).display === 'none'")


def test_two_thousand_questions_stay_responsive(
    browser: Any, tmp_path: Path, clips: Path, write_many: Callable[[Path, int], tuple[Path, ...]]
) -> None:
    folders = write_many(tmp_path, 2000)
    report.main(report.ReportOptions(runs=folders, output=tmp_path / "r.html"))
    browser.open(tmp_path / "r.html")
    loaded = browser.js("performance.getEntriesByType('navigation')[0].domInteractive")  # the list is drawn before this
    assert loaded < FIRST_LIST_MS
    assert len(listed(browser)) == 2000
    assert browser.js("document.images.length") == 0
    assert browser.js("document.querySelectorAll('.row').length") < 60
    took = [browser.js(TYPED.replace("TEXT", text)) for text in ("s", "sc", "scene 19", "scene 1999")]
    assert max(took) < KEY_MS
    assert len(listed(browser)) == 1
    enter(browser, "#search", "", "input")
    browser.js("document.getElementById('list').scrollTop = 1e6")
    browser.wait("[...document.querySelectorAll('.row')].some(r => r.getAttribute('aria-posinset') === '2000')")
    assert browser.js("document.querySelectorAll('.row').length") < 60


def test_answers_and_captions_get_the_same_page(browser: Any, clips: Path, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in ("000-00000.mp4", "000-00001.mp4"):
        shutil.copy(clips / name, videos)
    (videos / "broken.mp4").write_bytes(b"not a video")
    out = tmp_path / "captions"
    cli.main(["caption", str(videos), "-o", str(out), "--max-new-tokens", "8"])
    cli.main(["report", str(out)])
    browser.open(out / "report.html")
    assert sorted(texts(browser, ".chip")) == ["no_video133.3%", "ok266.7%"]
    assert browser.js("document.getElementById('scores').hidden")
    assert len(listed(browser)) == 3
    browser.js("open(ITEMS.find(item => item.video.endsWith('00001.mp4')))")
    browser.wait("document.images.length === 8 && [...document.images].every(i => i.naturalWidth > 0)")
    assert texts(browser, ".asked") == ["Describe the video."]
    assert texts(browser, ".output")[0] in texts(browser, ".row-title")
    browser.js("open(ITEMS.find(item => item.video.endsWith('broken.mp4')))")
    assert "no_video" in texts(browser, ".error")[0]
    assert browser.complaints() == []
    assert "| captions | no_video | 1 | 33.3 |" in (out / "report.md").read_text()


def test_captions_that_are_scored_show_how_well(browser: Any, runs: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "captions"
    shutil.copytree(runs[1], folder)
    record = json.loads((folder / "run.json").read_text())
    record["config"] |= {"benchmark": record["config"]["benchmark"].replace(":Mini", ":Captions"), "circular": False}
    (folder / "run.json").write_text(json.dumps(record))
    questions = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
    asked = [q | {"options": [], "answer": [f"a {q['options'][q['answer']]} <b>", "a red ball"]} for q in questions]
    (folder / "questions.jsonl").write_text("".join(json.dumps(q) + "\n" for q in asked))
    cli.main(["report", str(folder), "--thumbnail-megabytes", "0"])
    browser.open(folder / "report.html", "#sort=high")
    means = {s.metric: hundredths(s.over_all.mean) for s in score_run(folder).scores if s.grouping is None}
    assert len(means) == 3
    names = [t.partition(",")[0] for t in texts(browser, ".headline .kind th")]
    assert dict(zip(names, texts(browser, ".headline .main .value"), strict=True)) == means
    values = [int(t) for t in texts(browser, ".row .badge.graded")]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1]
    browser.js("document.querySelectorAll('.row')[0].click()")
    assert texts(browser, ".references li")[1] == "a red ball"
    assert "--thumbnail-megabytes 0" in texts(browser, ".reason")[0]
    assert browser.complaints() == []
