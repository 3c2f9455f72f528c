"""The contract of a connector, checked on anyone's class: `check_connector(MyConnector)`."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from connectors.base import Connector
from connectors.checks import CHECKS, Subject


class ContractError(Exception):
    """A connector breaks the contract; the message is the whole report."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Outcome of every check."""

    connector: str
    problems: dict[str, str]
    """For each check what is wrong, empty where it passed."""

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the checks that did not pass."""
        return tuple(name for name, problem in self.problems.items() if problem)

    def __str__(self) -> str:
        lines = [f"  {'FAIL' if p else 'ok  '} {name}{': ' if p else ''}{p}" for name, p in self.problems.items()]
        passed = len(self.problems) - len(self.failed)
        return "\n".join([f"{self.connector}: {passed} of {len(self.problems)} checks passed", *lines])


def check_connector(
    cls: type[Connector], config: Connector.Config | None = None, *, device: str | torch.device = "cpu"
) -> Report:
    """Run every check of the contract on a connector with fresh weights; takes seconds at small widths.

    Args:
        config: small hyper-parameters; left out, `cls.Config(d_vision=16, d_llm=32)`.
        device: where to run it.
    Returns:
        The report, `print`able.
    Raises:
        ContractError: a check failed; the message is the report.
    """
    subject = Subject(cls, config or cls.Config(d_vision=16, d_llm=32), torch.device(device))
    problems = {}
    with torch.random.fork_rng():
        for check in CHECKS:
            try:
                problems[(check.__doc__ or "").rstrip(".")] = check(subject)
            except Exception as error:  # a check must not hide the outcome of the others
                problems[(check.__doc__ or "").rstrip(".")] = f"raised {type(error).__name__}: {error}"
    report = Report(connector=f"{cls.__module__}:{cls.__qualname__}", problems=problems)
    if report.failed:
        raise ContractError(f"{len(report.failed)} checks of the connector contract failed.\n{report}")
    return report
