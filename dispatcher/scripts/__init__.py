"""What a job runs: its script as text."""
