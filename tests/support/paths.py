"""Places that tests read from."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
CLIPS = ROOT.parent / "shared" / "clips"
"""Real clips, beside the repository; tests that need them skip where they are absent."""
