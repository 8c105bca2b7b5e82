{{- /* What agents need, on a node or once in the cluster. */ -}}
{{- define "hawsepipe.networkPolicy" -}}
{{- $destinations := include "hawsepipe.destinations" . | fromYaml -}}
{{- $own := ternary (include "hawsepipe.receiver.endpoint" .) "" .Values.receiver.enabled -}}
policyTypes: [Ingress, Egress]
ingress:
  - ports: [{port: admin, protocol: TCP}]
    {{- with .Values.networkPolicy.adminFrom }}
    from:
      {{- toYaml . | nindent 6 }}
    {{- end }}
egress:
  - ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
  {{- if include "hawsepipe.agent.usesApi" . }}
  - ports:
      {{- range .Values.networkPolicy.apiServerPorts }}
      - {port: {{ . }}, protocol: TCP}
      {{- end }}
  {{- end }}
  # A policy knows no host names: a destination outside the cluster is its port, anywhere.
  {{- range $name, $destination := $destinations }}
  {{- if eq $destination.endpoint $own }}
  - ports: [{port: 4317, protocol: TCP}]
    to:
      - podSelector:
          matchLabels:
            {{- include "hawsepipe.selectorLabels" (list $ "receiver") | nindent 12 }}
  {{- else }}
  - ports: [{port: {{ include "hawsepipe.destination.port" $destination }}, protocol: TCP}]
  {{- end }}
  {{- end }}
  {{- with .Values.networkPolicy.extraEgress }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
