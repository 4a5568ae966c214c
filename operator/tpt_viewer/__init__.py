"""Shows a run, wherever it is carried out: `tpt status`, `watch`, `report` and `fetch`, and the same as `kubectl tpt`.

It reads only. What it makes in a cluster is one short-lived pod, where artifacts lie on a claim, under the user's own rights.
"""
