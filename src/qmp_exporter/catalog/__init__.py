"""What the exporter knows of QEMU's events and of its own metrics, as data."""
