"""Starting a stage: `python -m mygo.launch STAGE`, which reads `launch.*` when it runs.

So how a stage is launched is no part of the command that DVC knows: another number of processes re-runs nothing.
params.yaml -> preflight (what would fail later fails now) -> this process, several processes, or accelerate's launcher.
"""
