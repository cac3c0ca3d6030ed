{{- define "tidegate.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- /* The beginning of all names: a release `tidegate` has tidegate-router, a release `a` has a-tidegate-router. */}}
{{- define "tidegate.fullname" -}}
{{- $name := include "tidegate.name" . }}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- .Values.fullnameOverride | default $full | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- /* Labels that find the pods of a component, and never change. Arguments: root, component. */}}
{{- define "tidegate.selector" -}}
app.kubernetes.io/name: {{ include "tidegate.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "tidegate.labels" -}}
{{ include "tidegate.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- /* Arguments: root, image (control or serving). */}}
{{- define "tidegate.image" -}}
{{- $image := get .root.Values.image .image }}
{{- if $image.digest -}}
image: {{ printf "%s@%s" $image.repository $image.digest }}
{{- else -}}
image: {{ printf "%s:%s" $image.repository ($image.tag | default .root.Chart.AppVersion) }}
{{- end }}
imagePullPolicy: {{ $image.pullPolicy }}
{{- end }}

{{- /* The name of the Secret with a token. Arguments: root, part (ray or monitor). */}}
{{- define "tidegate.tokenSecret" -}}
{{- (get .root.Values .part).token.existingSecret | default (printf "%s-%s-token" (include "tidegate.fullname" .root) .part) }}
{{- end }}

{{- /* A Secret's key as the file `token` of a volume. Arguments: name, secret, key. */}}
{{- define "tidegate.secret.volume" -}}
- name: {{ .name }}
  secret:
    secretName: {{ .secret }}
    items: [{key: {{ .key }}, path: token}]
    defaultMode: 0440
{{- end }}

{{- /* The token as a volume, and where it is mounted. Arguments: root, part. */}}
{{- define "tidegate.token.volume" -}}
{{- include "tidegate.secret.volume" (dict "name" (printf "%s-token" .part) "secret" (include "tidegate.tokenSecret" .) "key" (get .root.Values .part).token.key) }}
{{- end }}

{{- define "tidegate.token.mount" -}}
- {name: {{ .part }}-token, mountPath: /etc/tidegate/{{ .part }}, readOnly: true}
{{- end }}

{{- define "tidegate.monitorAddress" -}}
{{- include "tidegate.fullname" . }}-monitor:8090
{{- end }}

{{- define "tidegate.rayUrl" -}}
{{- $name := include "tidegate.fullname" . }}
{{- if eq .Values.ray.mode "external" }}
{{- .Values.ray.external.url }}
{{- else if eq .Values.ray.mode "kuberay" }}
{{- /* KubeRay names the Service after the RayCluster. */}}
{{- printf "http://%s-ray-head-svc:8265" $name }}
{{- else }}
{{- printf "http://%s-ray-head:8265" $name }}
{{- end }}
{{- end }}

{{- /* The namespaces whose rollouts are followed, as JSON; none means all. */}}
{{- define "tidegate.watched" -}}
{{- if .Values.operator.watchAllNamespaces }}[]
{{- else }}
{{- .Values.operator.watchNamespaces | default (list .Release.Namespace) | uniq | toJson }}
{{- end }}
{{- end }}

{{- /*
Where accounts get their Roles, as JSON: in the release's own namespace, or in the whole cluster ("") when others are
followed. A Role in another namespace goes with it when somebody deletes it, before the operator has let go of the
rollouts there, and both would wait for each other forever.
*/}}
{{- define "tidegate.roleNamespaces" -}}
{{- $own := list .Release.Namespace }}
{{- $watched := include "tidegate.watched" . | fromJsonArray }}
{{- eq (toJson $watched) (toJson $own) | ternary $own (list "") | toJson }}
{{- end }}

{{- /* What operator and routers both need to know. */}}
{{- define "tidegate.env" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: TIDEGATE_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: TIDEGATE_WATCH_NAMESPACES
  value: {{ include "tidegate.watched" . | fromJsonArray | join "," | quote }}
{{- end }}

{{- /* What no schema can say. */}}
{{- define "tidegate.validate" -}}
{{- $ray := .Values.ray }}
{{- if eq $ray.mode "external" }}
{{- if not $ray.external.url }}
{{- fail "ray.external.url is empty: with ray.mode=external, say where the cluster's dashboard answers, such as http://ray.example:8265" }}
{{- end }}
{{- if not $ray.token.existingSecret }}
{{- fail "ray.token.existingSecret is empty: with ray.mode=external, name the Secret with the cluster's token" }}
{{- end }}
{{- end }}
{{- if and (eq $ray.mode "kuberay") $ray.kuberay.gcsFaultTolerance.enabled (not $ray.kuberay.gcsFaultTolerance.redisAddress) }}
{{- fail "ray.kuberay.gcsFaultTolerance.redisAddress is empty: say where Redis answers, such as redis:6379" }}
{{- end }}
{{- if and .Values.operator.watchAllNamespaces .Values.operator.watchNamespaces }}
{{- fail "operator.watchNamespaces names namespaces although operator.watchAllNamespaces is true: set only one of them" }}
{{- end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
{{- fail "httpRoute.parentRefs is empty: name the Gateway that the route belongs to, such as [{name: gateway}]" }}
{{- end }}
{{- if and .Values.artifacts.signatures.required (not .Values.artifacts.signatures.publicKeys) }}
{{- fail "artifacts.signatures.publicKeys is empty: with artifacts.signatures.required, name at least one key" }}
{{- end }}
{{- with .Values.router.autoscaling }}
{{- if gt (int .minReplicas) (int .maxReplicas) }}
{{- fail (printf "router.autoscaling.minReplicas is %v, more than maxReplicas, which is %v" .minReplicas .maxReplicas) }}
{{- end }}
{{- end }}
{{- end }}
