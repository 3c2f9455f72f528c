"""Raw outputs, options, and the index that a person reads (None: no one option).

Each table was written down before the parser ran on it for the first time.
"""

from typing import Final

from tests.support.readings import alternatives, contradictions, forms, held_out, sentences
from tests.support.readings.options import ACTS, COLOURS

READINGS: Final = [
    *forms.READINGS,
    *sentences.READINGS,
    *contradictions.READINGS,
    *held_out.READINGS,
    *alternatives.READINGS,
]

__all__ = ["ACTS", "COLOURS", "READINGS"]
