{{/* The common part of both webhooks. */}}
{{- define "sidecar-policy.webhook" -}}
{{- $root := .root -}}
{{- $conditions := include "sidecar-policy.matchConditions" $root | trim -}}
{{- with $root.Values.webhooks -}}
name: pods.sidecar-policy.dev
admissionReviewVersions: [v1]
sideEffects: NoneOnDryRun
failurePolicy: {{ .failurePolicy }}
matchPolicy: Equivalent
timeoutSeconds: {{ .timeoutSeconds }}
clientConfig:
  service:
    namespace: {{ $root.Release.Namespace }}
    name: {{ include "sidecar-policy.fullname" $root }}
    path: {{ $.path }}
    port: 443
  {{- if and (eq $root.Values.tls.mode "provided") $root.Values.tls.caBundle }}
  caBundle: {{ b64enc $root.Values.tls.caBundle }}
  {{- end }}
rules:
- apiGroups: [""]
  apiVersions: [v1]
  resources: [pods]
  operations: [CREATE]
  scope: Namespaced
namespaceSelector:
  matchExpressions:
  # The release and the cluster must be able to start while the webhook is unavailable.
  - key: kubernetes.io/metadata.name
    operator: NotIn
    values: {{ concat (list "kube-system" $root.Release.Namespace) .exemptNamespaces | uniq | toJson }}
  {{- with .namespaceSelector.matchExpressions }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .namespaceSelector.matchLabels }}
  matchLabels:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- with .objectSelector }}
objectSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $conditions }}
matchConditions:
{{- . | nindent 0 }}
{{- end }}
{{- end }}
{{- end }}

{{/* In CEL. A pod that does not match all of them is never sent to the webhook. */}}
{{- define "sidecar-policy.matchConditions" -}}
{{- $policy := ternary (dict) (.Values.policy.spec) (not (empty .Values.policy.existingConfigMap)) -}}
{{- with .Values.webhooks.matchConditions -}}
{{- if .skipMirrorPods }}
- name: is-no-mirror-pod
  expression: '!("kubernetes.io/config.mirror" in object.metadata.?annotations.orValue({}))'
{{- end }}
{{- if .skipHostNetworkPods }}
- name: has-a-network-of-its-own
  expression: '!object.spec.?hostNetwork.orValue(false)'
{{- end }}
{{- /* A policy in an existing ConfigMap, which the chart cannot read, may override them. */}}
{{- if and .skipExplicitlySkippedPods (not $.Values.policy.existingConfigMap) (ne (get $policy "explicit") "override") }}
# The label overrides the annotation. Where this webhook set the label, the final pod is still checked.
- name: is-not-skipped-by-its-author
  expression: >-
    object.metadata.?labels[?"sidecar.istio.io/inject"].orValue(
    object.metadata.?annotations[?"sidecar.istio.io/inject"].orValue("")) != "false"
    || "sidecar-policy.dev/decision" in object.metadata.?annotations.orValue({})
{{- end }}
{{- end }}
{{- end }}

{{- define "sidecar-policy.webhookAnnotations" -}}
{{- if eq .Values.tls.mode "cert-manager" -}}
annotations:
  cert-manager.io/inject-ca-from: {{ .Release.Namespace }}/{{ include "sidecar-policy.fullname" . }}
{{- end }}
{{- end }}

{{/* Not empty if Secrets should be read. */}}
{{- define "sidecar-policy.readsSecrets" -}}
{{- $policy := ternary (dict) (.Values.policy.spec) (not (empty .Values.policy.existingConfigMap)) -}}
{{- if or .Values.rbac.secrets (dig "detection" "secrets" false $policy) }}yes{{ end }}
{{- end }}
