{{/*
Templates for a chart of yours that has a pod with QEMU, and this chart as a dependency. All take
your chart's scope (`.`), or where the dependency has another name (an alias) the dependency's
scope: `(index .Subcharts "NAME")`.

qmp-exporter.sidecar              a container, for an entry of `containers`
qmp-exporter.sidecar.native       the same for `initContainers`, as a native sidecar, which starts
                                  before QEMU and ends after it
qmp-exporter.sidecar.volumes      entries for the pod's `volumes`; often none
qmp-exporter.sidecar.labels       labels of the pod, by which the PodMonitor finds it
qmp-exporter.sidecar.annotations  an annotation of the pod that changes with the configuration file
*/}}
{{- define "qmp-exporter.sidecar" -}}
{{- $root := get .Subcharts "qmp-exporter" | default . }}
{{- if not (hasKey $root.Values "sidecar") }}
{{- fail "qmp-exporter.sidecar: this scope is of no chart that depends on qmp-exporter; of an alias, give (index .Subcharts \"ALIAS\")" }}
{{- end }}
{{- include "qmp-exporter.container" (dict "root" $root "sidecar" true) | trim }}
{{- end }}

{{- define "qmp-exporter.sidecar.native" -}}
{{- include "qmp-exporter.sidecar" . }}
restartPolicy: Always
{{- end }}

{{- define "qmp-exporter.sidecar.volumes" -}}
{{- $root := get .Subcharts "qmp-exporter" | default . }}
{{- include "qmp-exporter.volumes" (dict "root" $root "sidecar" true) }}
{{- end }}

{{- define "qmp-exporter.sidecar.labels" -}}
qmp-exporter/sidecar: "true"
{{- end }}

{{- define "qmp-exporter.sidecar.annotations" -}}
{{- $root := get .Subcharts "qmp-exporter" | default . }}
{{- with $root.Values.config }}
checksum/qmp-exporter-config: {{ toYaml . | sha256sum }}
{{- end }}
{{- end }}
