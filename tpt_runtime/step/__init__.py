"""What every step program shares: its configuration, log, progress, signals, live metrics, summary and exit code."""
