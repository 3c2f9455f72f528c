import pytest
import torch

from tests.support.paths import ROOT


@pytest.fixture(autouse=True)
def one_thread_and_repository_on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))  # for examples.*, which is not installed
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
