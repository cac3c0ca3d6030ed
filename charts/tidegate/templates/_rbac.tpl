{{- /* What a component may do in a namespace whose rollouts are followed. */}}
{{- define "tidegate.rules.operator" -}}
- apiGroups: [tidegate.dev]
  resources: [modelrollouts]
  verbs: [get, list, watch, patch]
- apiGroups: [tidegate.dev]
  resources: [modelrollouts/status, modelroutes/status]
  verbs: [patch]
- apiGroups: [tidegate.dev]
  resources: [modelroutes]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end }}

{{- define "tidegate.rules.router" -}}
- apiGroups: [tidegate.dev]
  resources: [modelroutes]
  verbs: [get, list, watch]
- apiGroups: [tidegate.dev]
  resources: [modelroutes/status]
  verbs: [patch]
{{- end }}

{{- define "tidegate.rules.release" -}}
- apiGroups: [tidegate.dev]
  resources: [modelrollouts]
  verbs: [get, list, patch]
{{- end }}

{{- /*
A component's rules and who has them: in a namespace or, without one, in all.
Arguments: root, component, namespace, annotations (optional).
*/}}
{{- define "tidegate.role" -}}
{{- $name := printf "%s-%s" (include "tidegate.fullname" .root) .component }}
{{- if not .namespace }}
{{- $name = printf "%s-%s" .root.Release.Namespace $name }}
{{- end }}
{{- $kind := empty .namespace | ternary "ClusterRole" "Role" }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  name: {{ $name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "tidegate.labels" . | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
rules:
  {{- include (printf "tidegate.rules.%s" .component) . | nindent 2 }}
{{- include "tidegate.binding" (merge (dict "role" $name "kind" $kind) .) }}
{{- end }}

{{- /* Arguments: root, component (whose account), role, kind, namespace, annotations (optional). */}}
{{- define "tidegate.binding" }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}Binding
metadata:
  name: {{ .role }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "tidegate.labels" . | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ .role }}
subjects:
  - kind: ServiceAccount
    name: {{ include "tidegate.fullname" .root }}-{{ .component }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}
