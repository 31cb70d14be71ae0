"""The only package that speaks QMP: one session for each monitor.

Source: QEMU's docs/interop/qmp-spec.rst.
"""
