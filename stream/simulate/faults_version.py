"""Faults that a version brings: new, worse or deprecated ones, shadows, experiments."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from stream.events import Action, Kind
from stream.simulate.deployment import Answers, Deployment
from stream.simulate.fault import Expected, Fault, Target
from stream.simulate.requests import Requests


class VersionFault(Fault):
    """Deploys versions from its onset to its end."""

    target: ClassVar[Target] = "way"
    options: ClassVar[tuple[str, ...]] = ("version",)

    @property
    def way(self) -> str:
        return self.text.target or self.ways[0]

    @property
    def version(self) -> str:
        """The one deployed: the champion's number and 1, unless named."""
        champion = self.champion.version
        following = str(int(champion) + 1) if champion.isdecimal() else f"{champion}-next"
        return self.text.options.get("version", following)

    @property
    def _control(self) -> str:
        return f"{self.key} control"

    def deployed(self, **more: Any) -> Deployment:
        return replace(
            self.champion,
            **{
                "version": self.version,
                "since_ms": self.onset_ms,
                "until_ms": self.end_ms,
                "name": self.key,
                **more,
            },
        )

    def facts(self) -> dict[str, Any]:
        return {"version": self.version}

    def answer(self, requests: Requests, answers: Answers) -> None:  # noqa: ARG002
        if answers.deployment.name in {self.key, self._control}:
            self.touch(answers.asked)


class Version(VersionFault):
    kind = "version"
    what = (
        "`new`: a version goes live, as good as the last; `worse`: it is not; "
        "`deprecated`: requests reach the version before the champion"
    )
    ways = ("new", "worse", "deprecated")
    unit = "a share of the requests"
    default = 1.0

    @property
    def version(self) -> str:
        champion = self.champion.version
        if self.way == "deprecated" and "version" not in self.text.options and champion.isdecimal():
            return str(int(champion) - 1)
        return super().version

    def expected(self) -> tuple[Expected, ...]:
        kinds: tuple[Kind, ...] = ("version",)
        actions: tuple[Action, ...] = ("investigate",)
        if self.way == "worse":
            kinds, actions = ("performance", "version"), ("rollback",)
        return (Expected(kinds, actions, version=self.version),)

    def deployments(self) -> list[Deployment]:
        ways: dict[str, dict[str, Any]] = {
            "new": {},
            "worse": {"skill": 0.0, "reversed": 1.0},
            "deprecated": {"skill": 0.3},
        }
        return [self.deployed(share=self.intensity, **ways[self.way])]


class Shadow(VersionFault):
    kind = "shadow"
    what = (
        "a shadow runs beside the champion and is as good (`agree`), errs more (`disagree`), "
        "is five times slower (`slow`), often does not answer (`missing`), or is not given a "
        "feature (`schema`)"
    )
    ways = ("agree", "disagree", "slow", "missing", "schema")

    def expected(self) -> tuple[Expected, ...]:
        kinds: dict[str, tuple[Kind, ...]] = {
            "agree": (),
            "disagree": ("version", "performance", "prediction_drift"),
            "slow": ("latency", "version"),
            "missing": ("version", "throughput", "silence"),
            "schema": ("schema", "data_quality", "version"),
        }
        found, lacking = kinds[self.way], self.lacking if self.way == "schema" else None
        if not found:
            return ()
        actions: tuple[Action, ...] = ("investigate", "fix_pipeline", "none")
        return (Expected(found, actions, lacking, version=self.version, role="shadow"),)

    @property
    def lacking(self) -> str:
        return self.model.relation.strongest(1)[0]

    def deployments(self) -> list[Deployment]:
        ways: dict[str, dict[str, Any]] = {
            "agree": {},
            "disagree": {"skill": 0.0, "reversed": 1.0},
            "slow": {"latency": 5.0},
            "missing": {"answers": 0.6},
            "schema": {"lacks": (self.lacking,)},
        }
        return [self.deployed(role="shadow", **ways[self.way])]


class Experiment(VersionFault):
    kind = "ab"
    what = (
        "customers are dealt to the roles control and treatment, half each; the treatment is equal "
        "(`none`), better (`winner`) or worse (`loser`), or gets fewer than planned (`mismatch`)"
    )
    ways = ("none", "winner", "loser", "mismatch")

    def facts(self) -> dict[str, Any]:
        decisions = {"none": "undecided", "winner": "treatment", "loser": "control"}
        return {
            **super().facts(),
            "decision": decisions.get(self.way, "sample ratio mismatch"),
            "planned_share": 0.5,
            "share": self.treated,
        }

    @property
    def treated(self) -> float:
        return 0.4 if self.way == "mismatch" else 0.5

    def expected(self) -> tuple[Expected, ...]:
        if self.way != "mismatch":
            return ()  # a decision on the topic of actions, not an alert
        kinds: tuple[Kind, ...] = ("data_quality", "version")
        actions: tuple[Action, ...] = ("fix_pipeline", "investigate")
        return (Expected(kinds, actions, version=self.version, role="treatment"),)

    def deployments(self) -> list[Deployment]:
        ways: dict[str, dict[str, Any]] = {
            "winner": {"skill": 0.95},
            "loser": {"skill": 0.0, "reversed": 0.5},
        }
        control = self.deployed(
            version=self.champion.version, role="control", share=1.0, name=self._control
        )
        treatment = self.deployed(
            role="treatment", share=self.treated, by_customer=True, **ways.get(self.way, {})
        )
        return [control, treatment]


KINDS: tuple[type[Fault], ...] = (Version, Shadow, Experiment)
