import pytest

from tests.support.official import Golden, read_golden


@pytest.fixture(scope="session", params=["videollama2_tiny", "minicpmv45_tiny"])
def golden(request: pytest.FixtureRequest) -> Golden:
    return read_golden(request.param)


@pytest.fixture(scope="session")
def videollama2() -> Golden:
    return read_golden("videollama2_tiny")


@pytest.fixture(scope="session")
def minicpmv() -> Golden:
    return read_golden("minicpmv45_tiny", choose_fps=3.0, force_packing=3)
