"""What select leaves: reasons -> output (files), report (metrics and plots)."""
