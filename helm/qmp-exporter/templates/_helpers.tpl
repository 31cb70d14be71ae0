{{/* Names. */}}
{{- define "qmp-exporter.name" -}}
{{- default "qmp-exporter" .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* At most 50 characters, so that there is room for what follows it. */}}
{{- define "qmp-exporter.fullname" -}}
{{- $name := include "qmp-exporter.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "qmp-exporter.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "qmp-exporter.serviceAccountName" -}}
{{- $made := ternary (include "qmp-exporter.fullname" .) "default" .Values.serviceAccount.create }}
{{- default $made .Values.serviceAccount.name }}
{{- end }}

{{- define "qmp-exporter.image" -}}
{{- $image := .Values.image }}
{{- with $image.registry }}{{ . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default .Chart.AppVersion $image.tag }}{{ end }}
{{- end }}

{{/* Labels. Those of selectors never change: no version and no chart. */}}
{{- define "qmp-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "qmp-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "qmp-exporter.testLabels" -}}
app.kubernetes.io/name: {{ include "qmp-exporter.name" . | trunc 58 | trimSuffix "-" }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Takes a list: the chart's scope, and maps of labels that come before the common ones. */}}
{{- define "qmp-exporter.labels" -}}
{{- $root := first . }}
{{- $labels := dict
  "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63)
  "app.kubernetes.io/version" $root.Chart.AppVersion
  "app.kubernetes.io/managed-by" $root.Release.Service }}
{{- range concat (list $root.Values.commonLabels) (rest . | reverse) }}
{{- $labels = mergeOverwrite $labels (deepCopy (default dict .)) }}
{{- end }}
{{- $own := include "qmp-exporter.selectorLabels" $root | fromYaml }}
{{- toYaml (mergeOverwrite $labels $own) }}
{{- end }}

{{- define "qmp-exporter.podLabels" -}}
{{- $own := include "qmp-exporter.selectorLabels" . | fromYaml }}
{{- $labels := mergeOverwrite (deepCopy .Values.commonLabels) .Values.podLabels $own }}
{{- toYaml $labels }}
{{- end }}

{{/* Where the metrics are. */}}
{{- define "qmp-exporter.telemetryPath" -}}
{{- $web := default dict .Values.config.web }}
{{- default "/metrics" $web.telemetry_path }}
{{- end }}

{{/* What the configuration file says itself, "true" or nothing. */}}
{{- define "qmp-exporter.ownTargets" -}}
{{- $qmp := default dict .Values.config.qmp }}
{{- if or $qmp.socket $qmp.listen }}true{{ end }}
{{- end }}

{{- define "qmp-exporter.listens" -}}
{{- $qmp := default dict .Values.config.qmp }}
{{- if or $qmp.listen .Values.sockets.listen }}true{{ end }}
{{- end }}

{{/* Arguments of the exporter. Takes a dict: root, and whether it is a sidecar. */}}
{{- define "qmp-exporter.args" -}}
{{- $values := .root.Values }}
{{- $args := list }}
{{- if $values.config }}
{{- $args = append $args "--config.file=/etc/qmp-exporter/config.yml" }}
{{- end }}
{{- range $values.sockets.paths }}
{{- $args = append $args (printf "--qmp.socket=%s" .) }}
{{- end }}
{{- if not (include "qmp-exporter.ownTargets" .root) }}
{{- if .sidecar }}
{{- with $values.sidecar.glob }}
{{- $args = append $args (printf "--qmp.socket=%s/%s" (trimSuffix "/" $values.sidecar.mountPath) .) }}
{{- end }}
{{- else if eq $values.mode "daemonset" }}
{{- range $values.sockets.hostPaths }}
{{- $glob := ternary .glob "*.qmp" (hasKey . "glob") }}
{{- if $glob }}
{{- $args = append $args (printf "--qmp.socket=%s/%s" (trimSuffix "/" (default .path .mountPath)) $glob) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- range $values.sockets.listen }}
{{- $args = append $args (printf "--qmp.listen=%s" .) }}
{{- end }}
{{- $args = append $args (printf "--web.listen-address=:%d" (int $values.port)) }}
{{- if $values.webConfig.existingSecret }}
{{- $args = append $args (printf "--web.config.file=/etc/qmp-exporter-web/%s" $values.webConfig.key) }}
{{- end }}
{{- toYaml (concat $args $values.extraArgs) }}
{{- end }}

{{/* Environment of the exporter. */}}
{{- define "qmp-exporter.env" -}}
{{- $otel := .Values.otel }}
{{- $env := .Values.extraEnv }}
{{- with $otel.endpoint }}
{{- $env = append $env (dict "name" "OTEL_EXPORTER_OTLP_ENDPOINT" "value" .) }}
{{- end }}
{{- with $otel.protocol }}
{{- $env = append $env (dict "name" "OTEL_EXPORTER_OTLP_PROTOCOL" "value" .) }}
{{- end }}
{{- if $otel.metrics }}
{{- $env = append $env (dict "name" "OTEL_METRICS_EXPORTER" "value" "otlp") }}
{{- end }}
{{- with $otel.headersSecret }}{{- if .name }}
{{- $ref := dict "name" .name "key" .key }}
{{- $env = append $env (dict "name" "OTEL_EXPORTER_OTLP_HEADERS" "valueFrom" (dict "secretKeyRef" $ref)) }}
{{- end }}{{- end }}
{{- if $otel.resourceAttributes }}
{{- $pairs := list }}
{{- range $name, $value := $otel.resourceAttributes }}
{{- $coded := $value | replace "%" "%25" | replace "," "%2C" | replace ";" "%3B" | replace "=" "%3D" | replace " " "%20" | replace "\"" "%22" | replace "\\" "%5C" }}
{{- $pairs = append $pairs (printf "%s=%s" $name $coded) }}
{{- end }}
{{- $env = append $env (dict "name" "OTEL_RESOURCE_ATTRIBUTES" "value" (join "," $pairs)) }}
{{- end }}
{{- if $env }}{{ toYaml $env }}{{ end }}
{{- end }}

{{/* A probe. Takes a dict: root, path and timing. */}}
{{- define "qmp-exporter.probe" -}}
{{- $values := .root.Values }}
{{- if $values.probes.tcp }}
tcpSocket:
  port: qmp-metrics
{{- else }}
httpGet:
  path: {{ .path }}
  port: qmp-metrics
  scheme: {{ ternary "HTTPS" "HTTP" $values.webConfig.tls }}
  {{- with $values.probes.httpHeaders }}
  httpHeaders: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- with .timing }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The exporter's container, in all modes. Takes a dict: root, and whether it is a sidecar. */}}
{{- define "qmp-exporter.container" -}}
{{- $values := .root.Values }}
{{- $readOnly := not (include "qmp-exporter.listens" .root) -}}
name: {{ ternary $values.sidecar.name "qmp-exporter" .sidecar }}
image: {{ include "qmp-exporter.image" .root | quote }}
imagePullPolicy: {{ $values.image.pullPolicy }}
args: {{- include "qmp-exporter.args" . | nindent 2 }}
{{- with include "qmp-exporter.env" .root }}
env: {{- . | nindent 2 }}
{{- end }}
ports:
  - name: qmp-metrics
    containerPort: {{ $values.port }}
    protocol: TCP
livenessProbe:
  {{- include "qmp-exporter.probe" (dict "root" .root "path" "/-/healthy" "timing" $values.livenessProbe) | trim | nindent 2 }}
readinessProbe:
  {{- include "qmp-exporter.probe" (dict "root" .root "path" "/-/ready" "timing" $values.readinessProbe) | trim | nindent 2 }}
securityContext: {{- toYaml $values.securityContext | nindent 2 }}
{{- with $values.resources }}
resources: {{- toYaml . | nindent 2 }}
{{- end }}
{{- $mounts := list }}
{{- if .sidecar }}
{{- $mounts = append $mounts (dict "name" $values.sidecar.volume "mountPath" $values.sidecar.mountPath "readOnly" $readOnly) }}
{{- else if eq $values.mode "daemonset" }}
{{- range $number, $one := $values.sockets.hostPaths }}
{{- $mount := dict "name" (printf "sockets-%d" $number) "mountPath" (default .path .mountPath) }}
{{- $mounts = append $mounts (set $mount "readOnly" (ternary .readOnly $readOnly (hasKey . "readOnly"))) }}
{{- end }}
{{- end }}
{{- if $values.config }}
{{- $mounts = append $mounts (dict "name" "qmp-exporter-config" "mountPath" "/etc/qmp-exporter" "readOnly" true) }}
{{- end }}
{{- if $values.webConfig.existingSecret }}
{{- $mounts = append $mounts (dict "name" "qmp-exporter-web" "mountPath" "/etc/qmp-exporter-web" "readOnly" true) }}
{{- end }}
{{- with concat $mounts $values.extraVolumeMounts }}
volumeMounts: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The volumes of that container. Takes a dict: root, and whether it is a sidecar. */}}
{{- define "qmp-exporter.volumes" -}}
{{- $values := .root.Values }}
{{- $volumes := list }}
{{- if and (not .sidecar) (eq $values.mode "daemonset") }}
{{- range $number, $one := $values.sockets.hostPaths }}
{{- $hostPath := dict "path" .path "type" (ternary .type "DirectoryOrCreate" (hasKey . "type")) }}
{{- $volumes = append $volumes (dict "name" (printf "sockets-%d" $number) "hostPath" $hostPath) }}
{{- end }}
{{- end }}
{{- if $values.config }}
{{- $map := dict "name" (include "qmp-exporter.fullname" .root) }}
{{- $volumes = append $volumes (dict "name" "qmp-exporter-config" "configMap" $map) }}
{{- end }}
{{- if $values.webConfig.existingSecret }}
{{- $sources := list }}
{{- range prepend $values.webConfig.additionalSecrets $values.webConfig.existingSecret }}
{{- $sources = append $sources (dict "secret" (dict "name" .)) }}
{{- end }}
{{- $volumes = append $volumes (dict "name" "qmp-exporter-web" "projected" (dict "sources" $sources)) }}
{{- end }}
{{- with concat $volumes $values.extraVolumes }}{{ toYaml . }}{{ end }}
{{- end }}

{{/* The pod of the DaemonSet and the Deployment. */}}
{{- define "qmp-exporter.pod" -}}
metadata:
  labels: {{- include "qmp-exporter.podLabels" . | nindent 4 }}
  {{- $annotations := deepCopy .Values.podAnnotations }}
  {{- with .Values.config }}
  {{- $annotations = set $annotations "checksum/config" (toYaml . | sha256sum) }}
  {{- end }}
  {{- with $annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "qmp-exporter.serviceAccountName" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  securityContext: {{- toYaml .Values.podSecurityContext | nindent 4 }}
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints: {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - {{ include "qmp-exporter.container" (dict "root" . "sidecar" false) | nindent 6 | trim }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with include "qmp-exporter.volumes" (dict "root" . "sidecar" false) }}
  volumes: {{- . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* The part of a monitor that PodMonitor and ServiceMonitor have in common. Takes a list: the
chart's scope, and the values of the monitor. */}}
{{- define "qmp-exporter.endpoint" -}}
{{- $root := first . }}
{{- $monitor := last . -}}
port: qmp-metrics
path: {{ include "qmp-exporter.telemetryPath" $root }}
scheme: {{ default (ternary "https" "http" $root.Values.webConfig.tls) $monitor.scheme }}
{{- if $monitor.honorLabels }}
honorLabels: true
{{- end }}
{{- range $key := list "interval" "scrapeTimeout" }}
{{- with get $monitor $key }}
{{ $key }}: {{ . }}
{{- end }}
{{- end }}
{{- range $key := list "tlsConfig" "basicAuth" "relabelings" "metricRelabelings" }}
{{- with get $monitor $key }}
{{ $key }}: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}
