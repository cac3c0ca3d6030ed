"""`spec.strategy`: the ways in which a new version takes over, as a person writes them down."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field

from operators.api.block import DNS_LABEL, HEADER_NAME, Block
from operators.api.fields import Duration, Percent

FEATURE_PATH: Final = r"^[^.]+(\.[^.]+)*$"
CONTROL: Final = "control"
"""What the stable version is called in an experiment."""
CANDIDATE: Final = "candidate"
"""What the version of `spec.model` is called in an experiment without variants, while it is not stable yet."""


class Pause(Block):
    """A wait: for a person without `duration`, else for the time to pass."""

    duration: Duration | None = Field(default=None, description="How long; without it, until `promote`.")


class AnalysisStep(Block):
    """Waits until every check passes."""

    min_samples: int = Field(default=1, ge=1, description="Requests that the candidate must have answered before.")
    max_duration: Duration | None = Field(
        default=None, description="When this time is over and a check is still inconclusive, onInconclusive decides."
    )


class Step(Block):
    """One step of a canary: exactly one of its fields."""

    set_replicas: int | None = Field(
        default=None, ge=1, le=1000, description="Replicas of the candidate, until another step or the end."
    )
    set_weight: Percent | None = Field(default=None, description="Percent of the live requests for the candidate.")
    set_shadow: Percent | None = Field(
        default=None, description="Percent of the live requests copied to the candidate."
    )
    pause: Pause | None = Field(default=None, description="Waits, for a person or for the time to pass.")
    analysis: AnalysisStep | None = Field(default=None, description="Waits until every check passes.")


class Canary(Block):
    """The candidate gets more and more of the traffic, step by step, and becomes stable after the last one."""

    steps: tuple[Step, ...] = Field(default=(), max_length=100, description="The steps in order.")


class Condition(Block):
    """What one thing of a request must be: a header, or a value within a JSON body."""

    header: str | None = Field(
        default=None, pattern=HEADER_NAME, max_length=128, description="The request header's name."
    )
    feature: str | None = Field(
        default=None,
        pattern=FEATURE_PATH,
        max_length=256,
        description="Where the value stands in the JSON body: the keys that lead to it, with dots between.",
    )
    exact: str | float | bool | None = Field(default=None, description="It is exactly this.")
    in_: tuple[str | float | bool, ...] = Field(
        default=(), alias="in", min_length=1, max_length=100, description="It is one of these."
    )
    prefix: str | None = Field(default=None, min_length=1, max_length=256, description="It begins with this.")
    min: float | None = Field(default=None, description="It is a number of at least this much; features only.")
    below: float | None = Field(default=None, description="It is a number below this; features only.")


class Match(Condition):
    """Requests: those that fit the condition, or all of `allOf`. Without a value the thing only has to be there."""

    all_of: tuple[Condition, ...] = Field(
        default=(), max_length=10, description="Instead of one condition: several that must all hold."
    )

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """All that must hold."""
        return self.all_of or (self,)


class BlueGreen(Block):
    """Two full environments: the candidate is tried out beside stable, then all traffic changes over at once."""

    preview_match: tuple[Match, ...] = Field(
        default=(), max_length=20, description="Requests that the candidate answers before the switch: any of these."
    )
    pre_promotion_analysis: AnalysisStep | None = Field(
        default=None, description="Waits until every check passes on previewed requests, before the switch."
    )
    auto_promote: bool = Field(default=True, description="Whether it switches by itself; else it waits for promote.")
    post_promotion_analysis: AnalysisStep | None = Field(
        default=None, description="Watches the checks after the switch; a failed one switches back."
    )


class Shadow(Block):
    """The candidate gets copies of live requests only; its answers are dropped."""

    percent: Percent = Field(default=100, gt=0, description="Percent of the live requests that are copied.")
    min_samples: int = Field(
        default=1, ge=1, description="Copies that it must have answered before a check passes; 1 if unset."
    )
    max_duration: Duration | None = Field(
        default=None, description="When this time is over and a check is still inconclusive, onInconclusive decides."
    )
    max_concurrency: int = Field(
        default=64, ge=1, le=100_000, description="Copies under way at once; what is beyond is not copied."
    )
    then: Literal["hold", "promote"] = Field(
        default="hold", description="When every check passes: wait for promote, or go on by itself."
    )


GoalMetric = Literal["feedback-reward", "feedback-accuracy", "success-rate", "latency-within"]


class Goal(Block):
    """What an A/B test is about."""

    metric: GoalMetric = Field(
        description="feedback-reward: the mean reward; feedback-accuracy: the share of answers that agree with their "
        "label; success-rate: the share of answers below 500; latency-within: the share of them answered in time too."
    )
    within: Duration | None = Field(default=None, gt=0, description="latency-within only: how long is soon enough.")
    direction: Literal["increase", "decrease"] = Field(default="increase", description="Which way is better.")
    min_samples: int = Field(default=100, ge=1, description="Samples of each version without which nobody wins.")


class AbTest(Block):
    """Versions side by side with fixed shares, until one is surely better than all others."""

    weight: Percent | None = Field(
        default=None,
        gt=0,
        lt=100,
        description="Without variants: the candidate's percent of the requests; 50 if unset.",
    )
    shares: Mapping[Annotated[str, Field(pattern=DNS_LABEL)], Percent] = Field(
        default={}, max_length=10, description="With variants: everybody's percent, `control` included; 100 in all."
    )
    goal: Goal = Field(description="What is compared.")
    confidence: float = Field(
        default=0.95, ge=0.5, le=0.9999, description="The probability that a winner is one, however often one looks."
    )
    max_duration: Duration | None = Field(default=None, gt=0, description="After it the test waits for a person.")
    on_winner: Literal["hold", "promote"] = Field(
        default="hold", description="Wait for promote, or promote the winner."
    )


class Bandit(Block):
    """Versions side by side; the more a version seems to be the best, the more of the requests it gets."""

    reward: GoalMetric = Field(description="What a good answer is; see the metrics of an abTest's goal.")
    within: Duration | None = Field(default=None, gt=0, description="latency-within only: how long is soon enough.")
    algorithm: Literal["thompson"] = Field(default="thompson", description="Thompson sampling, in batches.")
    exploration_floor: Percent = Field(default=5, description="Percent that every version keeps.")
    interval: Duration = Field(default=60.0, gt=0, description="How often the shares are computed anew.")
    promote_at: float | None = Field(
        default=None, gt=0.5, lt=1, description="The probability of being the best at which a version is promoted."
    )
    min_samples: int = Field(default=100, ge=1, description="Samples of each version before anybody is promoted.")


class Strategy(Block):
    """How a new version takes over: exactly one of these."""

    canary: Canary | None = Field(default=None, description="Step by step.")
    blue_green: BlueGreen | None = Field(default=None, description="All traffic at once, after a preview.")
    shadow: Shadow | None = Field(default=None, description="Copies only.")
    ab_test: AbTest | None = Field(default=None, description="Fixed shares, until one version wins.")
    bandit: Bandit | None = Field(default=None, description="Shares that follow the rewards.")
