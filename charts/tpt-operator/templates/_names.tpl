{{/* Name of everything, by release. */}}
{{- define "tpt.name" -}}
{{- $chart := .Values.nameOverride | default .Chart.Name -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" -}}
{{- else if contains $chart .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $chart | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What the operator's pods are chosen by. */}}
{{- define "tpt.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tpt.labels" -}}
{{ include "tpt.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{/* The labels of something, and those that a value adds: called with the root and the value. */}}
{{- define "tpt.labelsAnd" -}}
{{ merge (include "tpt.labels" (index . 0) | fromYaml) (index . 1) | toYaml }}
{{- end -}}

{{- define "tpt.account" -}}
{{ .Values.serviceAccount.name | default (ternary (include "tpt.name" .) "default" .Values.serviceAccount.create) }}
{{- end -}}

{{- define "tpt.tag" -}}
{{ .Values.images.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "tpt.operatorImage" -}}
{{ .Values.images.operator | default (printf "%s/tpt-operator:%s" .Values.images.registry (include "tpt.tag" .)) }}
{{- end -}}

{{/* The image of a role's steps: called with the root and the role. */}}
{{- define "tpt.stepImage" -}}
{{- $root := index . 0 -}}
{{- $role := index . 1 -}}
{{- $made := printf "%s/tpt-%s:%s-%s" $root.Values.images.registry $role (include "tpt.tag" $root) $root.Values.images.variant -}}
{{ get $root.Values.images $role | default $made }}
{{- end -}}
