{{- /* What all pods have in common. */}}

{{- /*
Without the chart's version: an upgrade of the chart alone replaces no pod. Arguments: root, component, settings (the
component's values).
*/}}
{{- define "tidegate.pod.metadata" -}}
labels:
  {{- include "tidegate.selector" . | nindent 2 }}
  tidegate.dev/metrics: "true"
  {{- with .settings.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .settings.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* The names of Services must not become variables: a Service tidegate-router would set TIDEGATE_ROUTER_PORT. */}}
{{- define "tidegate.pod.security" -}}
enableServiceLinks: false
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "tidegate.container.security" -}}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- end }}

{{- /* Where the pods may run. Arguments: root, component, settings. */}}
{{- define "tidegate.pod.placement" -}}
{{- with .settings.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .settings.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .settings.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .settings.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .settings.topologyKeys }}
topologySpreadConstraints:
  {{- range .settings.topologyKeys }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "tidegate.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}
{{- end }}

{{- /* The credentials of the pod's account as a volume, so that only the container that needs them gets them. */}}
{{- define "tidegate.account.volume" -}}
- name: account
  projected:
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3607}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
      - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
{{- end }}

{{- define "tidegate.account.mount" -}}
- name: account
  mountPath: /var/run/secrets/kubernetes.io/serviceaccount
  readOnly: true
{{- end }}

{{- /* Arguments: root, component, settings. */}}
{{- define "tidegate.podDisruptionBudget" -}}
{{- if .settings.podDisruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "tidegate.fullname" .root }}-{{ .component }}
  labels:
    {{- include "tidegate.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ .settings.podDisruptionBudget.maxUnavailable }}
  # A pod that is not ready serves nobody, and must not keep a node from being drained.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "tidegate.selector" . | nindent 6 }}
{{- end }}
{{- end }}
