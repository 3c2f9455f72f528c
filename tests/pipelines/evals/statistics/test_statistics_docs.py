import re
import subprocess
import sys

from tests.support.paths import ROOT


def test_the_example_prints_what_the_docs_show() -> None:
    text = (ROOT / "docs" / "statistics.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (shown,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == shown.strip()
