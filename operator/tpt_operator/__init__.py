"""The backend of TPT on Kubernetes: Kopf watches, `core.plan` decides, and what it asks for becomes Jobs.

Nothing here decides what a run does next: that is the planner's, which `tpt run` asks as well.
"""
