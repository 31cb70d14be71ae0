"""OpenTelemetry: nothing of this package is imported unless something is exported.

Its SDK makes spans and log records and speaks OTLP. What lies between is ours, as the SDK's cannot
be counted exactly, ignores its time limits and takes 30 s to shut down.
"""
