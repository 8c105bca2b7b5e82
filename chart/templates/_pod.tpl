{{/*
The agent's pod, in the parts that the DaemonSet and the test share: whoever runs the test sees
what the agent sees.
*/}}

{{- /* Whether the pod talks to the API server; empty is no. */ -}}
{{- define "hawsepipe.agent.usesApi" -}}
{{- if ne .Values.kubernetes.source "none" }}yes{{ end -}}
{{- end -}}

{{- /* Whether it talks to the node's kubelet. */ -}}
{{- define "hawsepipe.agent.usesKubelet" -}}
{{- if and .Values.metrics.enabled (include "hawsepipe.agent.usesApi" .) }}yes{{ end -}}
{{- end -}}

{{- /* Container logs belong to root, mode 0640: uid 0 reads them without any capability. */ -}}
{{- define "hawsepipe.agent.podSecurityContext" -}}
{{- $profiles := dict "logs" (dict "runAsUser" 0 "runAsGroup" 0 "runAsNonRoot" false "seccompProfile" (dict "type" "RuntimeDefault")) -}}
{{- mergeOverwrite (get $profiles .Values.securityProfile) (deepCopy (.Values.podSecurityContext | default dict)) | toYaml -}}
{{- end -}}

{{- define "hawsepipe.agent.securityContext" -}}
{{- $profiles := dict "logs" (dict "privileged" false "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "capabilities" (dict "drop" (list "ALL"))) -}}
{{- mergeOverwrite (get $profiles .Values.securityProfile) (deepCopy (.Values.securityContext | default dict)) | toYaml -}}
{{- end -}}

{{- define "hawsepipe.agent.env" -}}
- name: NODE_NAME
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: POD_UID
  valueFrom: {fieldRef: {fieldPath: metadata.uid}}
{{- if include "hawsepipe.agent.usesKubelet" . }}
- name: NODE_IP
  valueFrom: {fieldRef: {fieldPath: status.hostIP}}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "hawsepipe.agent.volumeMounts" -}}
- {name: config, mountPath: /etc/hawsepipe/config, readOnly: true}
{{- range $name, $destination := (include "hawsepipe.destinations" . | fromYaml) }}
{{- if include "hawsepipe.destination.secretName" (list $ $name $destination) }}
- {name: key-{{ $name }}, mountPath: /etc/hawsepipe/keys/{{ $name }}, readOnly: true}
{{- end }}
{{- if ($destination.tls | default dict).ca }}
- {name: ca-{{ $name }}, mountPath: /etc/hawsepipe/ca/{{ $name }}, readOnly: true}
{{- end }}
{{- end }}
- {name: pod-logs, mountPath: {{ .Values.logs.podsPath | quote }}, readOnly: true}
{{- range $i, $path := .Values.logs.extraHostPaths }}
- {name: extra-logs-{{ $i }}, mountPath: {{ $path | quote }}, readOnly: true}
{{- end }}
{{- if .Values.metrics.enabled }}
- {name: host-proc, mountPath: /host/proc, readOnly: true}
- {name: host-sys, mountPath: /host/sys, readOnly: true}
{{- if .Values.metrics.mountHostRoot }}
- {name: host-root, mountPath: /host/root, readOnly: true, mountPropagation: HostToContainer}
{{- end }}
{{- end }}
- {name: spool, mountPath: {{ .Values.spool.path | quote }}}
{{- if include "hawsepipe.agent.usesApi" . }}
- {name: api-access, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Secrets and CAs are mounted as folders, never by subPath: only a folder follows a changed Secret. */ -}}
{{- define "hawsepipe.agent.volumes" -}}
- name: config
  configMap: {name: {{ include "hawsepipe.fullname" . }}}
{{- range $name, $destination := (include "hawsepipe.destinations" . | fromYaml) }}
{{- with include "hawsepipe.destination.secretName" (list $ $name $destination) }}
- name: key-{{ $name }}
  secret:
    secretName: {{ . }}
    defaultMode: 0400
    items: [{key: {{ $destination.auth.key | default "api-key" | quote }}, path: key}]
{{- end }}
{{- with ($destination.tls | default dict).ca }}
- name: ca-{{ $name }}
  {{- if .existingSecret }}
  secret:
    secretName: {{ .existingSecret }}
  {{- else }}
  configMap:
    name: {{ .existingConfigMap }}
  {{- end }}
    items: [{key: {{ .key | default "ca.crt" | quote }}, path: ca.crt}]
{{- end }}
{{- end }}
- name: pod-logs
  hostPath: {path: {{ .Values.logs.podsPath | quote }}, type: Directory}
{{- range $i, $path := .Values.logs.extraHostPaths }}
- name: extra-logs-{{ $i }}
  hostPath: {path: {{ $path | quote }}, type: Directory}
{{- end }}
{{- if .Values.metrics.enabled }}
- name: host-proc
  hostPath: {path: /proc, type: Directory}
- name: host-sys
  hostPath: {path: /sys, type: Directory}
{{- if .Values.metrics.mountHostRoot }}
- name: host-root
  hostPath: {path: /, type: Directory}
{{- end }}
{{- end }}
- name: spool
  hostPath: {path: {{ .Values.spool.path | quote }}, type: DirectoryOrCreate}
{{- if include "hawsepipe.agent.usesApi" . }}
# What automountServiceAccountToken would mount, but only into the container that needs it.
- name: api-access
  projected:
    defaultMode: 0444
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3607}
      - configMap:
          name: kube-root-ca.crt
          items: [{key: ca.crt, path: ca.crt}]
      - downwardAPI:
          items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Where the agent runs and as whom, without what only the DaemonSet has. */ -}}
{{- define "hawsepipe.agent.podSpec" -}}
serviceAccountName: {{ include "hawsepipe.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- include "hawsepipe.agent.podSecurityContext" . | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
