{{- /*
What no schema can say: values that contradict each other or cannot work. The operator would refuse such a timing as
well, but at every start, where few people look; and of two clusters of one name the second would silently win.
*/ -}}
{{- define "pve-evpn.validate" -}}
{{- if not .Values.enabled }}
{{- fail "enabled is false: it is for the `condition` of a parent chart (dependencies[].condition: pve-evpn-operator.enabled), which then leaves this chart out" }}
{{- end }}
{{- if not .Values.image.repository }}
{{- fail "image.repository is empty: this chart comes from the source and names no image. Install the chart of a release, which names its own (helm install pve-evpn-operator oci://ghcr.io/pve-evpn/charts/pve-evpn-operator), or build the image, push it, and set image.repository (docs/install.md)" }}
{{- end }}
{{- with .Values.leaderElection }}
{{- if le (float64 .leaseDurationSeconds) (float64 .renewDeadlineSeconds) }}
{{- fail (printf "leaderElection: leaseDurationSeconds (%v) must be longer than renewDeadlineSeconds (%v)" .leaseDurationSeconds .renewDeadlineSeconds) }}
{{- end }}
{{- if le (float64 .renewDeadlineSeconds) (mulf .retryPeriodSeconds 1.2) }}
{{- fail (printf "leaderElection: renewDeadlineSeconds (%v) must be longer than 1.2 times retryPeriodSeconds (%v)" .renewDeadlineSeconds .retryPeriodSeconds) }}
{{- end }}
{{- end }}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) }}
{{- fail "serviceAccount.create is false: set serviceAccount.name to the ServiceAccount that is there" }}
{{- end }}
{{- include "pve-evpn.validateBudget" . }}
{{- with .Values.serviceMonitor }}
{{- if .scrapeTimeout }}
{{- if gt (include "pve-evpn.milliseconds" .scrapeTimeout | int64) (include "pve-evpn.milliseconds" .interval | int64) }}
{{- fail (printf "serviceMonitor: scrapeTimeout (%s) must not be longer than interval (%s)" .scrapeTimeout .interval) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.tables.enabled (eq (int .Values.tables.port) (int .Values.service.port)) }}
{{- fail (printf "tables.port (%d) must not be service.port" (int .Values.tables.port)) }}
{{- end }}
{{- range $value := list "commonLabels" "podLabels" }}
{{- range $label := list "app.kubernetes.io/name" "app.kubernetes.io/instance" }}
{{- if hasKey (get $.Values $value) $label }}
{{- fail (printf "%s: %s is how the chart's objects find each other: nameOverride changes the name" $value $label) }}
{{- end }}
{{- end }}
{{- end }}
{{- range .Values.extraEnv }}
{{- if or (eq .name "POD_NAME") (hasPrefix "PVE_EVPN_" .name) }}
{{- fail (printf "extraEnv: %s is set by the chart itself (service.port, tables, logLevel, logFormat and leaderElection are the values)" .name) }}
{{- end }}
{{- end }}
{{- $volumes := list "tmp" }}
{{- if and .Values.tables.enabled .Values.tables.tlsSecret }}
{{- $volumes = append $volumes "tables-tls" }}
{{- end }}
{{- range .Values.extraVolumes }}
{{- if has .name $volumes }}
{{- fail (printf "extraVolumes: there are two volumes %s (the chart itself has tmp and, with tables.tlsSecret, tables-tls)" .name) }}
{{- end }}
{{- $volumes = append $volumes .name }}
{{- end }}
{{- range .Values.extraVolumeMounts }}
{{- if not (has .name $volumes) }}
{{- fail (printf "extraVolumeMounts: %s is none of extraVolumes" .name) }}
{{- end }}
{{- if eq .mountPath "/tmp" }}
{{- fail "extraVolumeMounts: /tmp is the chart's own volume" }}
{{- end }}
{{- end }}
{{- $names := list }}
{{- range .Values.clusters }}
{{- if has .name $names }}
{{- fail (printf "clusters: %s is there twice" .name) }}
{{- end }}
{{- $names = append $names .name }}
{{- if has (toString (.credentials).token) (list "..." "00000000-0000-0000-0000-000000000000") }}
{{- fail (printf "clusters: the token of %s is the placeholder of the documentation: set credentials.token to the secret that `pveum user token add` printed" .name) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "pve-evpn.validateBudget" -}}
{{- $replicas := int .Values.replicas }}
{{- with .Values.podDisruptionBudget }}
{{- if and .enabled (gt $replicas 1) }}
{{- $least := toString .minAvailable }}
{{- $most := toString .maxUnavailable }}
{{- if and (ne $least "") (ne $most "") }}
{{- fail "podDisruptionBudget: set only one of minAvailable and maxUnavailable" }}
{{- end }}
{{- if or (eq $least "100%") (and (regexMatch "^[0-9]+$" $least) (ge (int $least) $replicas)) }}
{{- fail (printf "podDisruptionBudget: minAvailable (%s) of %d replicas would let no node be drained" $least $replicas) }}
{{- end }}
{{- if or (eq $most "0%") (eq $most "0") }}
{{- fail (printf "podDisruptionBudget: maxUnavailable (%s) would let no node be drained" $most) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
