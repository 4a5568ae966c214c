"""The pure heart of TPT: the schema, the planner, names, paths and step commands.

It imports the standard library and pydantic only, and does no input or output.
"""
