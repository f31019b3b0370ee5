{{- define "pve-evpn.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "pve-evpn.fullname" -}}
{{- $name := include "pve-evpn.name" . }}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "pve-evpn.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "pve-evpn.fullname" .) }}
{{- end }}

{{- /* The Job's: its own, or the user's where the chart may make none. */}}
{{- define "pve-evpn.clustersServiceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ include "pve-evpn.fullname" . }}-clusters
{{- else }}{{ include "pve-evpn.serviceAccount" . }}
{{- end }}
{{- end }}

{{- define "pve-evpn.selector" -}}
app.kubernetes.io/name: {{ include "pve-evpn.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "pve-evpn.labels" -}}
{{ include "pve-evpn.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: pve-evpn
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /*
An object's metadata. Takes a dict: root, name, component; optional namespace (default: the release's), clusterScoped,
labels and annotations. The object's own labels win over commonLabels, and both over the chart's.
*/}}
{{- define "pve-evpn.metadata" -}}
{{- $chart := merge (dict "app.kubernetes.io/component" .component) (include "pve-evpn.labels" .root | fromYaml) -}}
{{- $labels := merge (dict) (.labels | default dict) .root.Values.commonLabels $chart -}}
{{- $annotations := merge (dict) (.annotations | default dict) .root.Values.commonAnnotations -}}
name: {{ .name }}
{{- if not .clusterScoped }}
namespace: {{ .namespace | default .root.Release.Namespace }}
{{- end }}
labels: {{- toYaml $labels | nindent 2 }}
{{- with $annotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "pve-evpn.image" -}}
{{- $registry := .Values.global.imageRegistry | default .Values.image.registry -}}
{{- with .Values.image -}}
{{- $name := ternary (printf "%s/%s" (trimSuffix "/" $registry) .repository) .repository (ne $registry "") -}}
{{- if .digest }}{{ $name }}@{{ .digest }}
{{- else }}{{ $name }}:{{ .tag | default $.Chart.AppVersion }}
{{- end }}
{{- end }}
{{- end }}

{{- /* What both pods have in common: how they are pulled, what they may do, where they run, which names they know. */}}
{{- define "pve-evpn.pod" -}}
{{- $secrets := list -}}
{{- range concat .Values.global.imagePullSecrets .Values.imagePullSecrets -}}
{{- $secrets = append $secrets (ternary (dict "name" .) . (kindIs "string" .)) -}}
{{- end -}}
{{- with uniq $secrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- include "pve-evpn.podSecurity" . | nindent 2 }}
{{- range $field := list "nodeSelector" "tolerations" "priorityClassName" "dnsPolicy" "dnsConfig" "hostAliases" }}
{{- with get $.Values $field }}
{{ $field }}: {{ toJson . }}
{{- end }}
{{- end }}
{{- end }}

{{- /* OpenShift assigns each namespace its uids and refuses others, so the chart's own are left out there. */}}
{{- define "pve-evpn.podSecurity" -}}
{{- $context := deepCopy .Values.podSecurityContext -}}
{{- if .Capabilities.APIVersions.Has "security.openshift.io/v1" -}}
{{- range list "runAsUser" "runAsGroup" "fsGroup" -}}
{{- if eq (toString (get $context .)) "65532" -}}
{{- $_ := unset $context . -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $context }}
{{- end }}

{{- /* A Prometheus duration of one unit in milliseconds. */}}
{{- define "pve-evpn.milliseconds" -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- mul (trimSuffix $unit . | int64) (get (dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000) $unit) -}}
{{- end }}

{{- /* Ports on the way to Proxmox, as a YAML list: the values' own, and what `clusters` say. */}}
{{- define "pve-evpn.proxmoxPorts" -}}
{{- $ports := list }}
{{- range .Values.networkPolicy.proxmoxPorts }}{{ $ports = append $ports (int .) }}{{ end }}
{{- range .Values.clusters }}
{{- range compact (concat (.spec.endpoints | default list) (list .spec.proxyUrl)) }}
{{- $port := regexFind ":[0-9]+$" (urlParse .).host | trimPrefix ":" }}
{{- $ports = append $ports (int ($port | default (ternary "443" "80" (hasPrefix "https:" .)))) }}
{{- end }}
{{- $observe := .spec.observe | default dict }}
{{- range list $observe.ssh $observe.frrExporter }}
{{- with . }}{{ with .port }}{{ $ports = append $ports (int .) }}{{ end }}{{ end }}
{{- end }}
{{- end }}
{{- toYaml (uniq $ports) }}
{{- end }}
