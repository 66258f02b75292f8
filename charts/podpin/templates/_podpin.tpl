{{/* On every object. What selects Pods is app.kubernetes.io/name alone. */}}
{{- define "podpin.labels" -}}
app.kubernetes.io/name: podpin
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* By digest, always. */}}
{{- define "podpin.image" -}}
{{- with .Values.image }}
{{- $repository := required "image.repository is empty: say where your cluster finds podpin's image, such as registry.example.com/podpin" .repository }}
{{- $digest := required "image.digest is empty: say which image exactly, as sha256:… (podpin choose REPOSITORY --tag TAG tells)" .digest }}
{{- $repository }}{{ with .tag }}:{{ . }}{{ end }}@{{ $digest }}
{{- end }}
{{- end }}

{{/* Settings by the names that podpin run has for them; what is empty is left to podpin. */}}
{{- define "podpin.environment" -}}
{{- $registries := .Values.registries }}
{{- $given := dict
  "PODPIN_CLOUD_CREDENTIALS" (join "," $registries.cloudCredentials)
  "PODPIN_INSECURE_REGISTRY" (join "," $registries.insecure)
  "PODPIN_LOG_FORMAT" .Values.log.format
  "PODPIN_LOG_LEVEL" .Values.log.level
  "PODPIN_METRICS_ADDRESS" "0.0.0.0:8081"
  "PODPIN_MIN_INTERVAL" $registries.minInterval
  "PODPIN_MIRROR" (join "," $registries.mirrors)
  "PODPIN_NAMESPACE" (join "," .Values.namespaces)
  "PODPIN_PRIVATE_RANGES" $registries.privateRanges
  "PODPIN_REACHABLE_HOST" (join "," $registries.reachableHosts)
  "PODPIN_TRUSTED_REALM" (join "," $registries.trustedRealms)
  "PODPIN_WORKERS" (int64 .Values.workers)
}}
{{- if .Values.hooks.enabled }}
{{- $_ := set $given "PODPIN_HOOK_ADDRESS" "0.0.0.0:8082" }}
{{- $_ := set $given "PODPIN_HOOK_SECRETS" "/etc/podpin/hooks/hooks.yaml" }}
{{- end }}
{{- if .Values.ha.enabled }}
{{- $_ := set $given "PODPIN_LEADER_ELECT" "true" }}
{{- end }}
{{- if .Values.sigstore.trustedRoot.configMap }}
{{- $_ := set $given "PODPIN_SIGSTORE_TRUSTED_ROOT" (printf "/etc/podpin/sigstore/%s" .Values.sigstore.trustedRoot.key) }}
{{- end }}
{{- if $registries.ca.configMap }}
{{- $_ := set $given "SSL_CERT_FILE" (printf "/etc/podpin/ca/%s" $registries.ca.key) }}
{{- end }}
{{- $lines := list }}
{{- range $name, $value := $given }}
{{- with $value }}
{{- $lines = append $lines (printf "- {name: %s, value: %s}" $name (. | toString | quote)) }}
{{- end }}
{{- end }}
{{- join "\n" $lines }}
{{- end }}

{{/* What podpin may do; manifests/rbac.yaml has the reason for each. Nodes belong to no namespace. */}}
{{- define "podpin.rules" -}}
- apiGroups: [podpin.dev]
  resources: [imagerollouts]
  verbs: [get, list, watch]
- apiGroups: [podpin.dev]
  resources: [imagerollouts/status]
  verbs: [patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, patch, create, delete]
- apiGroups: [apps]
  resources: [statefulsets, daemonsets]
  verbs: [get, list, watch, patch]
- apiGroups: [batch]
  resources: [cronjobs]
  verbs: [get, list, watch, patch]
- apiGroups: [apps]
  resources: [controllerrevisions]
  verbs: [get, list, watch, patch, create, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods/eviction]
  verbs: [create]
- apiGroups: [""]
  resources: [events]
  verbs: [list, create]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
{{- if not .Values.namespaces }}
- apiGroups: [""]
  resources: [nodes]
  verbs: [list]
{{- end }}
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get]
{{- end }}
