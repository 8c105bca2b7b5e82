{{/*
The agent's configuration. What the values leave empty is left out: the agent's own default holds.
*/}}
{{- define "hawsepipe.config" -}}
{{- $config := dict
      "logs" (omit .Values.logs "extraHostPaths")
      "metrics" (include "hawsepipe.config.metrics" . | fromYaml)
      "events" .Values.events
      "heartbeats" .Values.heartbeats
      "kubernetes" (merge (dict "nodeName" "${NODE_NAME}") .Values.kubernetes)
      "spool" .Values.spool
      "admin" .Values.admin
      "log" .Values.log
      "shutdownTimeout" .Values.shutdownTimeout -}}
{{- $cluster := dict -}}
{{- with .Values.cluster.name -}}
{{- $_ := set $cluster "name" . -}}
{{- end -}}
{{- if include "hawsepipe.cluster.runIn" . -}}
{{- $_ := set $cluster "lease" (dict "name" (include "hawsepipe.fullname" .)) -}}
{{- end -}}
{{- with $cluster -}}
{{- $_ := set $config "cluster" . -}}
{{- end -}}
{{- with .Values.resource.attributes -}}
{{- $_ := set $config "resource" (dict "attributes" .) -}}
{{- end -}}
{{- $destinations := dict -}}
{{- range $name, $destination := (include "hawsepipe.destinations" . | fromYaml) -}}
{{- $one := dict "type" "otlp" "protocol" "grpc" -}}
{{- range $key := list "type" "protocol" "endpoint" "compression" "timeout" "whenFull" "catchUp" "temporality" -}}
{{- with get $destination $key -}}
{{- $_ := set $one $key . -}}
{{- end -}}
{{- end -}}
{{- if include "hawsepipe.destination.secretName" (list $ $name $destination) -}}
{{- $auth := dict "keyFile" (printf "/etc/hawsepipe/keys/%s/key" $name) -}}
{{- range $key := list "header" "format" -}}
{{- with get $destination.auth $key -}}
{{- $_ := set $auth $key . -}}
{{- end -}}
{{- end -}}
{{- $_ := set $one "auth" $auth -}}
{{- end -}}
{{- $tls := dict -}}
{{- with $destination.tls -}}
{{- if .ca -}}
{{- $_ := set $tls "caFile" (printf "/etc/hawsepipe/ca/%s/ca.crt" $name) -}}
{{- end -}}
{{- with .serverName -}}
{{- $_ := set $tls "serverName" . -}}
{{- end -}}
{{- end -}}
{{- if $tls -}}
{{- $_ := set $one "tls" $tls -}}
{{- end -}}
{{- $_ := set $destinations $name $one -}}
{{- end -}}
{{- $_ := set $config "destinations" $destinations -}}
{{- toYaml $config -}}
{{- end -}}

{{- /* The node's own file systems are mounted below /host; what is not mounted must not be taken for the node's. */ -}}
{{- define "hawsepipe.config.metrics" -}}
{{- $metrics := omit .Values.metrics "mountHostRoot" -}}
{{- if .Values.metrics.enabled -}}
{{- $root := ternary "/host/root" "" .Values.metrics.mountHostRoot -}}
{{- $metrics = merge (dict "procPath" "/host/proc" "sysPath" "/host/sys" "rootPath" $root) $metrics -}}
{{- end -}}
{{- toYaml $metrics -}}
{{- end -}}
