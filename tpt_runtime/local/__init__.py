"""`tpt run`: the planner's backend of subprocesses on one machine."""
