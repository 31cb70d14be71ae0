"""What the exporter tells of itself: its own metrics and its log."""
