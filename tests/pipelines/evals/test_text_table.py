import csv
import io
import unicodedata

import pytest

from pipelines.evals.text_table import TextTable, hundredths, interval, p_value, signed_hundredths

SCORES = TextTable(
    title="Scores",
    columns=["task", "questions", "score", "95% interval"],
    rows=[["count", 1200, "61.3", "[59.3, 63.3]"], ["where it is", 80, "9.0", "-"]],
)


def test_text_aligns_numbers_right() -> None:
    assert SCORES.text().splitlines() == [
        "Scores",
        "task         questions  score  95% interval",
        "-----------  ---------  -----  ------------",
        "count             1200   61.3  [59.3, 63.3]",
        "where it is         80    9.0             -",
    ]


def test_markdown() -> None:
    assert SCORES.markdown().splitlines() == [
        "### Scores",
        "",
        "| task | questions | score | 95% interval |",
        "| --- | ---: | ---: | ---: |",
        "| count | 1200 | 61.3 | [59.3, 63.3] |",
        "| where it is | 80 | 9.0 | - |",
    ]


def test_csv() -> None:
    assert SCORES.csv() == 'task,questions,score,95% interval\ncount,1200,61.3,"[59.3, 63.3]"\nwhere it is,80,9.0,-\n'


@pytest.mark.parametrize(
    "cell",
    ["7", "-1.5", "+1.3", "94.0%", "1,234", "[-0.2, +2.4]", "44.2 (46.6)", "90.5 / 94.0", "<0.0001", "1e-05", "±2"],
)
def test_numbers_go_right(cell: str) -> None:
    line = TextTable(title="", columns=["wide header"], rows=[[cell], ["-"], [""]]).text().splitlines()[3]
    assert line == cell.rjust(len("wide header"))


@pytest.mark.parametrize("cell", ["a", "B", "3 shapes", "10 s", "NaN", "2nd"])
def test_text_goes_left(cell: str) -> None:
    line = TextTable(title="", columns=["wide header"], rows=[["1"], [cell]]).text().splitlines()[4]
    assert line == cell


def test_empty_tables_and_columns() -> None:
    assert TextTable(title="None", columns=["a", "b"], rows=[]).text() == "None\na  b\n-  -"
    assert TextTable(title="None", columns=["a"], rows=[]).markdown().endswith("| a |\n| --- |")
    assert TextTable(title="None", columns=["a", "b"], rows=[["", 1]]).text().splitlines()[3] == "   1"


def test_text_keeps_rows_on_lines_and_terminals_still() -> None:
    table = TextTable(title="T\x1b[2J", columns=["raw"], rows=[["a\nb\tc"], ["\x1b[31mred\x07"], ["right\u202eleft"]])
    assert table.text().splitlines() == [
        "T\\x1b[2J",
        "raw",
        "---------------",
        "a b c",
        "\\x1b[31mred\\x07",
        "right\\x202eleft",
    ]


def test_wide_characters_take_two_columns() -> None:
    rows = [["動画", "x"], ["é", "x"], ["e\u0301", "x"], ["abcd", "x"]]
    lines = TextTable(title="T", columns=["v", "y"], rows=rows).text().splitlines()[3:]
    columns = [
        sum(2 if unicodedata.east_asian_width(c) == "W" else unicodedata.category(c) != "Mn" for c in line[:-1])
        for line in lines
    ]
    assert lines[0] == "動画  x"
    assert columns == [6] * 4


def test_markdown_shows_cells_as_they_are() -> None:
    cells = [
        "a|b",
        "a\\|b",
        "two\nlines\r\nthree",
        "<b>&amp;",
        "*x*",
        "`x`",
        "_x_",
        "task_type",
        "[a](http://b)",
        "\x1b[",
    ]
    table = TextTable(title="x|y", columns=["a|b"], rows=[[cell] for cell in cells])
    assert table.markdown().splitlines() == [
        "### x\\|y",
        "",
        "| a\\|b |",
        "| --- |",
        "| a\\|b |",
        "| a\\\\\\|b |",
        "| two<br>lines<br>three |",
        "| &lt;b>&amp;amp; |",
        "| \\*x\\* |",
        "| \\`x\\` |",
        "| \\_x\\_ |",
        "| task_type |",
        "| [a]\\(http://b) |",
        "| \\x1b[ |",
    ]


def test_csv_reads_back() -> None:
    rows = [["a,b", 'he said "no"', "two\nlines"], ["ü 動画", "", "|"]]
    text = TextTable(title="T", columns=["x", "y", "z"], rows=rows).csv()
    assert list(csv.reader(io.StringIO(text, newline=""))) == [["x", "y", "z"], *rows]


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'T' has 2 columns and a row of 1 cells: \['a'\]"):
        TextTable(title="T", columns=["x", "y"], rows=[["a"]])


def test_figures() -> None:
    assert [hundredths(v) for v in (0.6134, 1.0, 0.0, None)] == ["61.3", "100.0", "0.0", "-"]
    assert [signed_hundredths(v) for v in (0.0134, -0.2, 0.0, -0.0001)] == ["+1.3", "-20.0", "0.0", "0.0"]
    assert interval(0.1, 0.25) == "[10.0, 25.0]"
    assert interval(-0.1, 0.25, signed_hundredths) == "[-10.0, +25.0]"
    assert interval(None, None) == "-"
    assert [p_value(p) for p in (1.0, 0.0312, 0.0001, 0.00002, 0.0, None)] == [
        "1.0000",
        "0.0312",
        "0.0001",
        "<0.0001",
        "<0.0001",
        "-",
    ]
