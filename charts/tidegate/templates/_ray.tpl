{{- /* A Ray pod, for the StatefulSets and for KubeRay alike. */}}

{{- /*
Options of `ray start`. Ray's own ports are fixed, so that those above 32767, which the system hands out, are the
replicas' alone and can be opened for the routers. Arguments: root, component, settings.
*/}}
{{- define "tidegate.ray.options" -}}
num-cpus: {{ .settings.numCpus | toString | quote }}
# Requests do not pass through Ray's object store: the smallest that Ray accepts.
object-store-memory: "83886080"
node-manager-port: "6380"
object-manager-port: "6381"
runtime-env-agent-port: "6382"
dashboard-agent-grpc-port: "6383"
dashboard-agent-listen-port: "8266"
metrics-export-port: "8080"
min-worker-port: "10002"
max-worker-port: "19999"
include-log-monitor: "false"
log-color: "false"
{{- if eq .component "ray-head" }}
port: "6379"
dashboard-host: "0.0.0.0"
dashboard-port: "8265"
{{- end }}
{{- end }}

{{- /* Arguments: root, component, settings, drainSeconds. */}}
{{- define "tidegate.ray.env" -}}
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
- name: RAY_AUTH_MODE
  value: token
- name: RAY_AUTH_TOKEN_PATH
  value: /etc/tidegate/ray/token
- name: RAY_SERVE_ENABLE_DIRECT_INGRESS
  value: "1"
- name: RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S
  value: "5"
- name: RAY_SERVE_THROUGHPUT_OPTIMIZED
  value: "1"
- name: RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE
  value: "1"
# A head that stops takes Ray Serve along: there is nothing to wait for.
- name: RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S
  value: {{ .drainSeconds | quote }}
# A replica that finds no room says so after these seconds.
- name: RAY_SERVE_SLOW_STARTUP_WARNING_S
  value: "10"
- name: RAY_SERVE_SLOW_STARTUP_WARNING_PERIOD_S
  value: "10"
- name: RAY_USAGE_STATS_ENABLED
  value: "0"
- name: RAY_worker_niceness
  value: "0"
# How long a worker that starts waits for the head.
- name: RAY_NUM_REDIS_GET_RETRIES
  value: "120"
- name: DASHBOARD_METRIC_PORT
  value: "6384"
- name: RAY_START_HOOK
  value: serving.rayhook.without_client_server
{{- with .root.Values.artifacts }}
- name: TIDEGATE_ARTIFACTS
  value: {{ .cache.volume | empty | ternary "/tmp/tidegate-artifacts" "/var/cache/tidegate" }}
- name: TIDEGATE_ARTIFACT_HOSTS
  value: {{ join "," .hosts | quote }}
{{- with .schemes }}
- name: TIDEGATE_ARTIFACT_SCHEMES
  value: {{ join "," . | quote }}
{{- end }}
- name: TIDEGATE_ARTIFACT_MAX_SIZE
  value: {{ .maxSize }}
- name: TIDEGATE_ARTIFACT_TIMEOUT
  value: {{ .timeout }}
- name: TIDEGATE_ARTIFACT_CACHE_SIZE
  value: {{ .cache.size }}
- name: TIDEGATE_ARTIFACT_CODE
  value: {{ .code }}
{{- with .trustedTypes }}
- name: TIDEGATE_ARTIFACT_TYPES
  value: {{ join "," . | quote }}
{{- end }}
{{- if or .signatures.publicKeys .signatures.required }}
- name: TIDEGATE_ARTIFACT_KEYS
  value: /etc/tidegate/keys
- name: TIDEGATE_ARTIFACT_SIGNED
  value: {{ .signatures.required | ternary "always" "never" }}
{{- end }}
{{- end }}
{{- if .root.Values.models.claims }}
- name: TIDEGATE_ARTIFACT_CLAIMS
  value: /claims
{{- end }}
{{- if .root.Values.monitor.enabled }}
- name: TIDEGATE_RECORDS_URL
  value: http://{{ include "tidegate.monitorAddress" .root }}
- name: TIDEGATE_RECORDS_TOKEN_FILE
  value: /etc/tidegate/monitor/token
- name: TIDEGATE_RECORDS_RATE
  value: {{ .root.Values.monitor.records.rate | quote }}
{{- if ne (toString .root.Values.monitor.records.sample) "" }}
- name: TIDEGATE_RECORDS_SAMPLE
  value: {{ .root.Values.monitor.records.sample | quote }}
{{- end }}
{{- end }}
{{- with .root.Values.ray.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Arguments: root, component, settings, drainSeconds, and command unless KubeRay is to write it. */}}
{{- define "tidegate.ray.pod" -}}
{{- $name := include "tidegate.fullname" .root }}
metadata:
  {{- include "tidegate.pod.metadata" . | nindent 2 }}
spec:
  serviceAccountName: {{ $name }}-ray
  automountServiceAccountToken: false
  {{- include "tidegate.pod.security" .root | nindent 2 }}
  {{- include "tidegate.pod.placement" . | nindent 2 }}
  terminationGracePeriodSeconds: {{ add .drainSeconds 15 }}
  containers:
    - name: ray
      {{- include "tidegate.image" (dict "root" .root "image" "serving") | nindent 6 }}
      {{- with .command }}
      command:
        {{- range . }}
        - {{ . | quote }}
        {{- end }}
      {{- end }}
      env:
        {{- include "tidegate.ray.env" . | nindent 8 }}
      {{- with .root.Values.artifacts.existingSecret }}
      envFrom:
        - secretRef: {name: {{ . }}}
      {{- end }}
      ports:
        {{- if eq .component "ray-head" }}
        - {name: gcs, containerPort: 6379}
        - {name: dashboard, containerPort: 8265}
        {{- end }}
        - {name: agent, containerPort: 8266}
        - {name: metrics, containerPort: 8080}
      # The agent asks the raylet and, on the head, the GCS.
      startupProbe:
        httpGet: {path: /api/healthz, port: agent}
        periodSeconds: 1
        timeoutSeconds: 5
        failureThreshold: 180
      livenessProbe:
        httpGet: {path: /api/healthz, port: agent}
        periodSeconds: 10
        timeoutSeconds: 10
        failureThreshold: 6
      readinessProbe:
        {{- if eq .component "ray-head" }}
        httpGet: {path: /api/gcs_healthz, port: dashboard}
        {{- else }}
        httpGet: {path: /api/healthz, port: agent}
        {{- end }}
        periodSeconds: 5
        timeoutSeconds: 5
      resources:
        {{- toYaml .settings.resources | nindent 8 }}
      {{- include "tidegate.container.security" .root | nindent 6 }}
      volumeMounts:
        {{- include "tidegate.token.mount" (dict "root" .root "part" "ray") | nindent 8 }}
        {{- if .root.Values.monitor.enabled }}
        {{- include "tidegate.token.mount" (dict "root" .root "part" "monitor") | nindent 8 }}
        {{- end }}
        - {name: tmp, mountPath: /tmp}
        - {name: shm, mountPath: /dev/shm}
        {{- if .root.Values.models.volume }}
        - {name: models, mountPath: {{ .root.Values.models.mountPath }}, readOnly: true}
        {{- end }}
        {{- range $index, $claim := .root.Values.models.claims }}
        - {name: claim-{{ $index }}, mountPath: /claims/{{ $claim }}, readOnly: true}
        {{- end }}
        {{- with .root.Values.artifacts }}
        {{- if .cache.volume }}
        - {name: artifacts, mountPath: /var/cache/tidegate}
        {{- end }}
        {{- if .existingSecret }}
        - {name: artifacts-secret, mountPath: /etc/tidegate/artifacts, readOnly: true}
        {{- end }}
        {{- if .signatures.publicKeys }}
        - {name: artifacts-keys, mountPath: /etc/tidegate/keys, readOnly: true}
        {{- end }}
        {{- end }}
  volumes:
    {{- include "tidegate.token.volume" (dict "root" .root "part" "ray") | nindent 4 }}
    {{- if .root.Values.monitor.enabled }}
    {{- include "tidegate.token.volume" (dict "root" .root "part" "monitor") | nindent 4 }}
    {{- end }}
    - name: tmp
      emptyDir: {}
    - name: shm
      emptyDir: {medium: Memory, sizeLimit: 256Mi}
    {{- with .root.Values.models.volume }}
    - name: models
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- range $index, $claim := .root.Values.models.claims }}
    - name: claim-{{ $index }}
      persistentVolumeClaim: {claimName: {{ $claim }}, readOnly: true}
    {{- end }}
    {{- with .root.Values.artifacts }}
    {{- with .cache.volume }}
    - name: artifacts
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .existingSecret }}
    - name: artifacts-secret
      secret: {secretName: {{ . }}}
    {{- end }}
    {{- if .signatures.publicKeys }}
    - name: artifacts-keys
      configMap: {name: {{ $name }}-keys}
    {{- end }}
    {{- end }}
{{- end }}
