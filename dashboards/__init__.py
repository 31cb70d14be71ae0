"""Dashboards of Grafana, rules and alerts of Prometheus: the builders, and what they wrote."""
