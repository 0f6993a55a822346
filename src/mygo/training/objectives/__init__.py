"""What the warm-up trains the gates for: a function of a `Task` for each name that `warmup.objective` takes."""

from mygo.training.objectives.published import published
from mygo.training.objectives.task import Objective, Outcome, Task

__all__ = ["OBJECTIVES", "Objective", "Outcome", "Task"]

OBJECTIVES: dict[str, Objective] = {"published": published}
