"""A real browser to look at pages with."""

from tests.support.browser import browser

__all__ = ["browser"]
