"""What an oracle is: a pure function of a case and what a target did with it, registered under a public id."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tcfuzz.errors import TcfuzzError
from tcfuzz.finding import Blame, Fail, Finding, NotApplicable, Severity, Unknown, Verdict
from tcfuzz.observation import Failed, Observation, Unasked
from tcfuzz.registry import Registry
from tcfuzz.targets.base import Capability

Group = Literal["parse", "render", "stream", "robust"]
Check = Callable[[Observation], Verdict]
RENDER: frozenset[Capability] = frozenset({"render"})
PARSE: frozenset[Capability] = frozenset({"parse"})
STREAM: frozenset[Capability] = frozenset({"stream"})


@dataclass(frozen=True, slots=True)
class Oracle:
    """A rule and its check.

    needs: sets of abilities, one of which the target must have. reference: whether a dialect is needed.
    revision: raised when the rule changes so that old crashers may be judged otherwise.
    """

    id: str
    rule: str
    severity: Severity
    group: Group
    needs: tuple[frozenset[Capability], ...]
    reference: bool
    revision: int
    why: str
    check: Check

    def left_out(self, observation: Observation) -> str | None:
        """Why it can say nothing about this target at all; None where it can."""
        capabilities = observation.target.capabilities
        if not any(capabilities.issuperset(need) for need in self.needs):
            wanted = " or ".join("+".join(sorted(need)) for need in self.needs)
            if any("grammar" in need for need in self.needs):
                return "the target constrains no model of ours"
            return f"the target cannot {wanted}" if wanted != "endpoints" else "the target has one interface only"
        if self.reference and observation.dialect is None:
            return "no reference dialect (--dialect)"
        return None

    def judge(self, observation: Observation) -> Verdict:
        """The verdict. A fault of the oracle itself is Unknown with its reason, never a pass."""
        try:
            return self._of_target(self.check(observation), observation)
        except TcfuzzError:
            raise
        except Exception as error:  # noqa: BLE001 - a broken oracle must not end the campaign
            return Unknown(f"{self.id} broke: {type(error).__name__}: {error}")

    def _of_target(self, verdict: Verdict, observation: Observation) -> Verdict:
        """The verdict without what a renderer only does because the template that it was given does it by itself."""
        if not isinstance(verdict, Fail) or not any(finding.blame == "renderer" for finding in verdict.findings):
            return verdict
        if observation.published is None:
            return verdict
        own = self.check(observation.published)
        faults = {_sort(finding.kind) for finding in own.findings} if isinstance(own, Fail) else set()
        kept = tuple(one for one in verdict.findings if one.blame != "renderer" or _sort(one.kind) not in faults)
        return Fail(kept) if kept else NotApplicable("the template does so by itself", limit=True)


def _sort(kind: str) -> str:
    """A kind without the error's name: one template raises errors of other names in other engines."""
    return "raised" if kind.startswith("raised:") else kind


registry: Registry[Oracle] = Registry("oracle")


def oracle(
    id: str,  # noqa: A002
    *,
    rule: str,
    group: Group,
    needs: tuple[frozenset[Capability], ...],
    severity: Severity = "must",
    reference: bool = False,
    revision: int = 1,
) -> Callable[[Check], Check]:
    """Register a check. Its docstring, which says why a user loses data when the rule breaks, is shown to users."""

    def register(check: Check) -> Check:
        if list(inspect.signature(check).parameters) != ["observation"] or not check.__doc__:
            raise TypeError(f"oracle {id}: a check takes (observation) and has a docstring that says why it matters")
        why = inspect.cleandoc(check.__doc__)
        registry.add(id, Oracle(id, rule, severity, group, needs, reference, revision, why, check))
        return check

    return register


def fail(*findings: Finding | None) -> Verdict | None:
    """A Fail with those findings that are not None; None where there are none."""
    real = tuple(finding for finding in findings if finding is not None)
    return Fail(real) if real else None


def no_answer(outcome: object) -> NotApplicable:
    """For oracles that need an answer where the target gave none: `accepts` or `total` reports that."""
    if isinstance(outcome, Unasked):
        return NotApplicable(outcome.reason)
    reason = f"no answer ({outcome})" if isinstance(outcome, Failed) else "the reply's place in the prompt is unknown"
    return NotApplicable(reason)


def unasked(outcomes: Sequence[object]) -> NotApplicable | None:
    """Why nothing was learnt from calls none of which could be made; None where one was."""
    reasons = [outcome.reason for outcome in outcomes if isinstance(outcome, Unasked)]
    return NotApplicable(reasons[0]) if reasons and len(reasons) == len(outcomes) else None


def failure_kind(failed: Failed) -> str:
    """The kind of a finding about a failed call: what happened and the error's type, without its text."""
    return f"{failed.kind}:{failed.error}" if failed.kind in ("raised", "died") else failed.kind


def out_of_domain() -> NotApplicable:
    """For a case that the format cannot carry."""
    return NotApplicable("out of the format's domain", limit=True)


def no_calls(observation: Observation) -> NotApplicable | None:
    """Why a rule about a reply's calls says nothing about this case; None where it does."""
    if observation.reply is None or not observation.reply.tool_calls:
        return NotApplicable("no call")
    return None if observation.in_domain else out_of_domain()


__all__ = [
    "PARSE",
    "RENDER",
    "STREAM",
    "Blame",
    "Oracle",
    "fail",
    "failure_kind",
    "no_answer",
    "no_calls",
    "oracle",
    "out_of_domain",
    "registry",
    "unasked",
]
