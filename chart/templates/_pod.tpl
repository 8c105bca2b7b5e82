{{/*
The agent's pod, in the parts that the DaemonSet, the Deployment of what is done once in the cluster
and the tests share: whoever runs the test sees what the agent sees.
*/}}

{{- /* Whether the pod talks to the API server; empty is no. */ -}}
{{- define "hawsepipe.agent.usesApi" -}}
{{- if ne .Values.kubernetes.source "none" }}yes{{ end -}}
{{- end -}}

{{- /* Whether it talks to the node's kubelet. */ -}}
{{- define "hawsepipe.agent.usesKubelet" -}}
{{- if and .Values.metrics.enabled (include "hawsepipe.agent.usesApi" .) }}yes{{ end -}}
{{- end -}}

{{- /* What the collectors of the cluster's objects follow: the resources by their API groups, as agent/docs/METRICS.md has it. */ -}}
{{- define "hawsepipe.cluster.collectors" -}}
cluster_checks: {"": [nodes], apps: [deployments, statefulsets, daemonsets]}
cluster_heartbeats: {batch: [jobs, cronjobs], "": [pods]}
cluster_jobs: {batch: [jobs, cronjobs]}
cluster_namespaces: {"": [namespaces, resourcequotas]}
cluster_nodes: {"": [nodes]}
cluster_pods: {"": [pods]}
cluster_services: {"": [services], discovery.k8s.io: [endpointslices]}
cluster_volumes: {"": [persistentvolumes, persistentvolumeclaims]}
cluster_workloads:
  apps: [deployments, statefulsets, daemonsets, replicasets]
  "": [replicationcontrollers]
  autoscaling: [horizontalpodautoscalers]
{{- end -}}

{{- /* Those of them that are on. */ -}}
{{- define "hawsepipe.cluster.collectorsOn" -}}
{{- $on := dict -}}
{{- if .Values.metrics.enabled -}}
{{- range $name, $groups := (include "hawsepipe.cluster.collectors" . | fromYaml) -}}
{{- $chosen := get ($.Values.metrics.collectors | default dict) $name | default dict -}}
{{- if ne (get $chosen "enabled" | toString) "false" -}}
{{- $_ := set $on $name $groups -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $on -}}
{{- end -}}

{{- /* Where what is done once in the cluster runs: deployment, daemonset, or nowhere (empty). */ -}}
{{- define "hawsepipe.cluster.runIn" -}}
{{- $something := or .Values.events.enabled (include "hawsepipe.cluster.collectorsOn" . | fromYaml) -}}
{{- if and $something (include "hawsepipe.agent.usesApi" .) (ne .Values.cluster.runIn "none") -}}
{{- .Values.cluster.runIn -}}
{{- end -}}
{{- end -}}

{{- define "hawsepipe.cluster.name" -}}
{{- printf "%s-cluster" (include "hawsepipe.fullname" .) -}}
{{- end -}}

{{- /* The ServiceAccount of whoever does it: one of its own, so that node pods have no cluster-wide rights. */ -}}
{{- define "hawsepipe.cluster.serviceAccountName" -}}
{{- if eq (include "hawsepipe.cluster.runIn" .) "daemonset" -}}
{{- include "hawsepipe.serviceAccountName" . -}}
{{- else if .Values.serviceAccount.create -}}
{{- printf "%s-cluster" (include "hawsepipe.serviceAccountName" .) -}}
{{- else -}}
{{- default "default" .Values.cluster.serviceAccountName -}}
{{- end -}}
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

{{- /* What the configuration and the agent ask the environment for, on whatever node. */ -}}
{{- define "hawsepipe.env" -}}
- name: NODE_NAME
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: POD_UID
  valueFrom: {fieldRef: {fieldPath: metadata.uid}}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "hawsepipe.agent.env" -}}
{{- include "hawsepipe.env" . }}
{{- if include "hawsepipe.agent.usesKubelet" . }}
- name: NODE_IP
  valueFrom: {fieldRef: {fieldPath: status.hostIP}}
{{- end }}
{{- end -}}

{{- /* The configuration, and the keys and CAs that it names. */ -}}
{{- define "hawsepipe.volumeMounts" -}}
- {name: config, mountPath: /etc/hawsepipe/config, readOnly: true}
{{- range $name, $destination := (include "hawsepipe.destinations" . | fromYaml) }}
{{- if include "hawsepipe.destination.secretName" (list $ $name $destination) }}
- {name: key-{{ $name }}, mountPath: /etc/hawsepipe/keys/{{ $name }}, readOnly: true}
{{- end }}
{{- if ($destination.tls | default dict).ca }}
- {name: ca-{{ $name }}, mountPath: /etc/hawsepipe/ca/{{ $name }}, readOnly: true}
{{- end }}
{{- end }}
- {name: spool, mountPath: {{ .Values.spool.path | quote }}}
{{- if include "hawsepipe.agent.usesApi" . }}
- {name: api-access, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
{{- end }}
{{- end -}}

{{- define "hawsepipe.agent.volumeMounts" -}}
{{ include "hawsepipe.volumeMounts" . }}
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
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Secrets and CAs are mounted as folders, never by subPath: only a folder follows a changed Secret. */ -}}
{{- define "hawsepipe.volumes" -}}
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
{{- end -}}

{{- define "hawsepipe.agent.volumes" -}}
{{ include "hawsepipe.volumes" . }}
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

{{- /* Nothing of the node: any user does. fsGroup lets it read the keys. */ -}}
{{- define "hawsepipe.cluster.podSpec" -}}
serviceAccountName: {{ include "hawsepipe.cluster.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- mergeOverwrite (dict "runAsUser" 65532 "runAsGroup" 65532 "fsGroup" 65532 "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault")) (deepCopy (.Values.cluster.podSecurityContext | default dict)) | toYaml | nindent 2 }}
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
{{- with .Values.cluster.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.cluster.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.cluster.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "hawsepipe.cluster.securityContext" -}}
privileged: false
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- /* Its spool lives and dies with the pod: what was not delivered is read from the API server again. */ -}}
{{- define "hawsepipe.cluster.volumes" -}}
{{ include "hawsepipe.volumes" . }}
- name: spool
  emptyDir: {}
{{- end -}}
