{{/* Where a run may be tried: where runs are carried out. */}}
{{- define "tpt.trialNamespace" -}}
{{ .Values.watchNamespace | default .Release.Namespace }}
{{- end -}}

{{- define "tpt.trialName" -}}
{{ include "tpt.name" . | trunc 48 | trimSuffix "-" }}-test
{{- end -}}

{{- define "tpt.trialClaim" -}}
{{ .Values.tests.storage.claimName | default (include "tpt.trialName" .) }}
{{- end -}}

{{/* Of everything that `helm test` makes: called with the root and the order in which it is made. */}}
{{- define "tpt.trialMetadata" -}}
name: {{ include "tpt.trialName" (index . 0) }}
namespace: {{ include "tpt.trialNamespace" (index . 0) }}
labels: {{- include "tpt.trialLabels" (index . 0) | nindent 2 }}
annotations: {{- include "tpt.trialHook" (index . 1) | nindent 2 }}
{{- end -}}

{{/* Not the operator's own, by which its Service finds its pods. */}}
{{- define "tpt.trialLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{/* What a trial left that failed stays to be looked at, until the next one. */}}
{{- define "tpt.trialHook" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* A run of one round: its artifacts are prepared, so that no step loads an engine. */}}
{{- define "tpt.trialRun" -}}
apiVersion: tpt.dev/v1alpha1
kind: SelfImprovementRun
metadata:
  name: {{ include "tpt.trialName" . }}
  namespace: {{ include "tpt.trialNamespace" . }}
spec:
  maxRounds: 1
  model: {uri: trial/model}
  dataset:
    train: {uri: trial/train.jsonl}
    validation: {uri: trial/validation.jsonl}
  sampling: {samplesPerPrompt: 2}
  pruning: {minExamples: 1}
  evaluation: {samplesPerPrompt: 1, k: [1]}
  storage:
    persistentVolumeClaim: {claimName: {{ include "tpt.trialClaim" . }}}
  {{- with .Values.tests.worker }}
  worker: {{- toYaml . | nindent 4 }}
  {{- end }}
  failurePolicy:
    maxAttempts: 2
    runDeadlineSeconds: {{ .Values.tests.timeoutSeconds }}
{{- end -}}

{{/* What the pods of `helm test` share with the operator's and the steps' pods: restricted, and placed as the steps are. */}}
{{- define "tpt.trialPod" -}}
restartPolicy: Never
securityContext:
  runAsNonRoot: true
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- range $field := list "nodeSelector" "tolerations" "affinity" "priorityClassName" }}
{{- with get $.Values.tests.worker $field }}
{{ $field }}: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with .Values.tests.worker.imagePullSecrets | default .Values.images.stepPullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "tpt.trialContainer" -}}
imagePullPolicy: {{ .Values.images.pullPolicy }}
env:
  - {name: HOME, value: /tmp}
  - {name: USER, value: tpt}
resources:
  requests: {cpu: 50m, memory: 128Mi}
  limits: {memory: 512Mi}
securityContext:
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL]}
  readOnlyRootFilesystem: true
{{- end -}}
