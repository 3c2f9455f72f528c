import pytest

from tests.support.families import CASES, FamilyCase
from tests.support.official import Golden, read_golden


@pytest.fixture(scope="session", params=CASES)
def case(request: pytest.FixtureRequest) -> FamilyCase:
    return CASES[request.param]


@pytest.fixture(scope="session")
def golden(case: FamilyCase) -> Golden:
    return read_golden(case.folder, **case.sampling)
