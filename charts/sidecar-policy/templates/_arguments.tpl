{{/* The command line of the server. */}}
{{- define "sidecar-policy.arguments" -}}
{{- with .Values.server -}}
- serve
- --port={{ .port }}
- --health-port={{ .healthPort }}
- --policy=/etc/sidecar-policy/policy
- --on-error={{ .onError }}
- --drain={{ .drainSeconds }}s
- --log-format={{ .logFormat }}
- --log-level={{ .logLevel }}
{{- if .strict }}
- --strict
{{- end }}
{{- end }}
{{- if eq .Values.tls.mode "self-managed" }}
- --cert-secret={{ .Release.Namespace }}/{{ include "sidecar-policy.secret" . }}
- --service={{ .Release.Namespace }}/{{ include "sidecar-policy.fullname" . }}
- --webhook-configuration={{ include "sidecar-policy.webhooks" . }}
{{- else }}
- --cert=/etc/sidecar-policy/tls/tls.crt
- --key=/etc/sidecar-policy/tls/tls.key
{{- end }}
{{- range .Values.server.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}
