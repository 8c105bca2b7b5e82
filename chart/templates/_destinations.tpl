{{/*
Destinations as they are meant: what the values say, and the receiver where it stands in for them.
Every reader of .Values.destinations goes through here.
*/}}

{{- /* YAML: name -> destination. A name set to null is left out, so that one file of values can take back another's. */ -}}
{{- define "hawsepipe.destinations" -}}
{{- $all := dict -}}
{{- range $name, $destination := (.Values.destinations | default dict) -}}
{{- if not (kindIs "invalid" $destination) -}}
{{- $_ := set $all $name (deepCopy $destination) -}}
{{- end -}}
{{- end -}}
{{- if .Values.receiver.enabled -}}
{{- if empty $all -}}
{{- $_ := set $all "receiver" dict -}}
{{- end -}}
{{- $given := get $all "receiver" -}}
{{- if and (hasKey $all "receiver") (not (get ($given | default dict) "endpoint")) -}}
{{- $own := dict
      "endpoint" (include "hawsepipe.receiver.endpoint" .)
      "auth" (dict "existingSecret" (include "hawsepipe.receiver.secretName" .) "key" .Values.receiver.auth.key) -}}
{{- $_ := set $all "receiver" (mergeOverwrite $own ($given | default dict)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{- /* The Secret that holds a destination's key; empty without one. Takes (list $ name destination). */ -}}
{{- define "hawsepipe.destination.secretName" -}}
{{- $auth := (index . 2).auth | default dict -}}
{{- if $auth.existingSecret -}}
{{- $auth.existingSecret -}}
{{- else if $auth.value -}}
{{- printf "%s-key-%s" (include "hawsepipe.fullname" (index . 0)) (index . 1) -}}
{{- end -}}
{{- end -}}

{{- /* The port that an endpoint is reached at. */ -}}
{{- define "hawsepipe.destination.port" -}}
{{- $url := urlParse .endpoint -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- default (ternary "443" "80" (eq $url.scheme "https")) $port -}}
{{- end -}}

{{- define "hawsepipe.receiver.name" -}}
{{- printf "%s-receiver" (include "hawsepipe.fullname" .) -}}
{{- end -}}

{{- define "hawsepipe.receiver.endpoint" -}}
{{- printf "http://%s.%s.svc:%v" (include "hawsepipe.receiver.name" .) .Release.Namespace .Values.receiver.service.grpcPort -}}
{{- end -}}

{{- /* Whether this release ships to its own receiver; empty is no. */ -}}
{{- define "hawsepipe.receiver.isDestination" -}}
{{- $receiver := get (include "hawsepipe.destinations" . | fromYaml) "receiver" | default dict -}}
{{- if and .Values.receiver.enabled (eq (get $receiver "endpoint" | default "") (include "hawsepipe.receiver.endpoint" .)) }}yes{{ end -}}
{{- end -}}

{{- define "hawsepipe.receiver.secretName" -}}
{{- default (include "hawsepipe.receiver.name" .) .Values.receiver.auth.existingSecret -}}
{{- end -}}
