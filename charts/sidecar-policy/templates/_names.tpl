{{- define "sidecar-policy.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The release's name, followed by the chart's unless it contains it. 50 leaves room for suffixes. */}}
{{- define "sidecar-policy.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- $name := include "sidecar-policy.name" . }}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "sidecar-policy.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "sidecar-policy.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* The API server calls webhooks in the order of these names, and has to call this one before Istio's. */}}
{{- define "sidecar-policy.webhooks" -}}
{{- $name := default (printf "0-%s" (include "sidecar-policy.fullname" .)) .Values.webhooks.name }}
{{- if not (lt $name "istio-") }}
{{- fail (printf "webhooks.name: %q does not sort before istio-, so Istio would inject before anything is decided" $name) }}
{{- end }}
{{- $name }}
{{- end }}

{{- define "sidecar-policy.secret" -}}
{{- if and (eq .Values.tls.mode "provided") (not .Values.tls.secretName) }}
{{- fail "tls.secretName: the mode `provided` needs the name of your Secret" }}
{{- end }}
{{- default (printf "%s-certificates" (include "sidecar-policy.fullname" .)) .Values.tls.secretName }}
{{- end }}

{{- define "sidecar-policy.policy" -}}
{{- default (printf "%s-policy" (include "sidecar-policy.fullname" .)) .Values.policy.existingConfigMap }}
{{- end }}

{{- define "sidecar-policy.image" -}}
{{- with .Values.image }}
{{- .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}
