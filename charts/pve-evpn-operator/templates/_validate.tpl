{{- /*
What no schema can say: values that contradict each other. The operator would refuse such a timing as well, but at every
start, where nobody looks; and of two clusters of one name the second would silently win.
*/ -}}
{{- define "pve-evpn.validate" -}}
{{- with .Values.leaderElection }}
{{- if le (float64 .leaseDurationSeconds) (float64 .renewDeadlineSeconds) }}
{{- fail (printf "leaderElection: leaseDurationSeconds (%v) must be longer than renewDeadlineSeconds (%v)" .leaseDurationSeconds .renewDeadlineSeconds) }}
{{- end }}
{{- if le (float64 .renewDeadlineSeconds) (mulf .retryPeriodSeconds 1.2) }}
{{- fail (printf "leaderElection: renewDeadlineSeconds (%v) must be longer than 1.2 times retryPeriodSeconds (%v)" .renewDeadlineSeconds .retryPeriodSeconds) }}
{{- end }}
{{- end }}
{{- $names := list }}
{{- range .Values.clusters }}
{{- if has .name $names }}
{{- fail (printf "clusters: %s is there twice" .name) }}
{{- end }}
{{- $names = append $names .name }}
{{- end }}
{{- end }}
