{{/* Names, labels and the image. */}}

{{- define "hawsepipe.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- /* 50 characters leave room for suffixes such as -receiver within the 63 of a label. */ -}}
{{- define "hawsepipe.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* Cluster-wide objects also carry the namespace: two releases of one name do not collide. */ -}}
{{- define "hawsepipe.clusterName" -}}
{{- printf "%s.%s" (include "hawsepipe.fullname" .) .Release.Namespace -}}
{{- end -}}

{{- define "hawsepipe.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "hawsepipe.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* The only labels of selectors and pods: nothing that changes with a version. Takes (list $ component). */ -}}
{{- define "hawsepipe.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "hawsepipe.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- /* The metadata of every object but pods. Takes (list $ component). */ -}}
{{- define "hawsepipe.metadata" -}}
{{- $root := index . 0 -}}
labels:
  {{- include "hawsepipe.selectorLabels" . | nindent 2 }}
  app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
  app.kubernetes.io/managed-by: {{ $root.Release.Service }}
  helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
  {{- with $root.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "hawsepipe.image" -}}
{{- $registry := default .Values.image.registry (.Values.global | default dict).imageRegistry -}}
{{- $name := .Values.image.repository -}}
{{- if $registry -}}
{{- $name = printf "%s/%s" (trimSuffix "/" $registry) $name -}}
{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $name .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- /* "0.0.0.0:9464" and "[::]:9464" taken apart. */ -}}
{{- define "hawsepipe.admin.host" -}}
{{- regexReplaceAll ":[0-9]+$" .Values.admin.listen "" -}}
{{- end -}}

{{- define "hawsepipe.admin.port" -}}
{{- regexFind "[0-9]+$" .Values.admin.listen -}}
{{- end -}}

{{- define "hawsepipe.probes" -}}
startupProbe:
  {{- mergeOverwrite (dict "httpGet" (dict "path" "/healthz" "port" "admin") "periodSeconds" 2 "failureThreshold" 30) (deepCopy (.Values.probes.startup | default dict)) | toYaml | nindent 2 }}
readinessProbe:
  {{- mergeOverwrite (dict "httpGet" (dict "path" "/readyz" "port" "admin") "periodSeconds" 5 "timeoutSeconds" 3) (deepCopy (.Values.probes.readiness | default dict)) | toYaml | nindent 2 }}
livenessProbe:
  {{- mergeOverwrite (dict "httpGet" (dict "path" "/healthz" "port" "admin") "periodSeconds" 15 "timeoutSeconds" 5 "failureThreshold" 4) (deepCopy (.Values.probes.liveness | default dict)) | toYaml | nindent 2 }}
{{- end -}}
