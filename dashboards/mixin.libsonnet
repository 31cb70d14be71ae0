// The files of this folder for those who gather mixins.
{
  grafanaDashboards+:: {
    'qmp-exporter.json': import 'grafana/exporter.json',
    'qmp-fleet.json': import 'grafana/fleet.json',
    'qmp-migrations.json': import 'grafana/migrations.json',
    'qmp-storage.json': import 'grafana/storage.json',
    'qmp-vm.json': import 'grafana/vm.json',
  },
  prometheusAlerts+:: { groups+: std.parseYaml(importstr 'prometheus/alerts.yaml').groups },
  prometheusRules+:: { groups+: std.parseYaml(importstr 'prometheus/rules.yaml').groups },
}
