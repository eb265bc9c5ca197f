{{- define "hypersweep.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "hypersweep.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "hypersweep.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "hypersweep.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "hypersweep.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "hypersweep.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name must be set when serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "hypersweep.selectorLabels" -}}
app.kubernetes.io/name: {{ include "hypersweep.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "hypersweep.labels" -}}
{{ include "hypersweep.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The full reference of an image: takes a dict of the image's values and the tag to fall back on. */}}
{{- define "hypersweep.image" -}}
{{- with .image.registry }}{{ . }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .default }}{{ end }}
{{- end }}

{{- define "hypersweep.arguments" -}}
- --port={{ .Values.metrics.port }}
- --workers={{ .Values.operator.workers }}
- --log-level={{ .Values.operator.logLevel }}
- --lease-namespace={{ .Release.Namespace }}
- --lease-name={{ include "hypersweep.fullname" . }}-operator
- --trainer-image={{ include "hypersweep.image" (dict "image" .Values.trainer.image "default" .Chart.AppVersion) }}
{{- with .Values.store.url }}
- --store-url={{ . }}
{{- end }}
{{- with .Values.store.endpoint }}
- --store-endpoint={{ . }}
{{- end }}
{{- with .Values.store.region }}
- --store-region={{ . }}
{{- end }}
{{- with .Values.store.secretName }}
- --store-secret={{ . }}
{{- end }}
{{- range .Values.store.allowedPrefixes }}
- --allowed-prefix={{ . }}
{{- end }}
{{- range .Values.watchNamespaces }}
- --namespace={{ . }}
{{- end }}
{{- range .Values.operator.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{- /* What the operator may do in the namespaces of the sweeps. It reads no Secret: trials get theirs from the kubelet. */}}
{{- define "hypersweep.rules" -}}
- apiGroups: [hypersweep.io]
  resources: [hypersweeps]
  verbs: [get, list, watch]
- apiGroups: [hypersweep.io]
  resources: [hypersweeps/status]
  verbs: [patch]
# Where OwnerReferencesPermissionEnforcement is on, an owner that blocks deletion must be one whose finalizers we may set.
- apiGroups: [hypersweep.io]
  resources: [hypersweeps/finalizers]
  verbs: [update]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
- apiGroups: [""]
  resources: [services]
  verbs: [get, create]
# The journal of a sweep without a store.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, create, update]
- apiGroups: [""]
  resources: [events]
  verbs: [create, list]
{{- end }}
