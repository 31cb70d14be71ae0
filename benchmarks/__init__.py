"""What qmp-exporter costs, measured beside others: ``python -m benchmarks`` runs it."""
