"""Prometheus exporter of QEMU's QMP events."""

__version__ = "0.1.0"
