"""Prepares the machine: checks it, then installs what TPT needs. Imports nothing but the standard library."""
