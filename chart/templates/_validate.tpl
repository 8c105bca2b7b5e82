{{/*
What the schema cannot say, or cannot say well: each `fail` names the value and the remedy.
*/}}
{{- define "hawsepipe.validate" -}}
{{- $destinations := include "hawsepipe.destinations" . | fromYaml -}}
{{- if empty $destinations -}}
{{- fail "\n\ndestinations: nowhere to ship to. Name one:\n  --set destinations.main.endpoint=https://ingest.example.com:4317 --set destinations.main.auth.existingSecret=NAME\nor, for a trial, run the receiving end in the cluster:\n  --set receiver.enabled=true\n" -}}
{{- end -}}

{{- range $name, $destination := $destinations -}}
{{- $at := printf "destinations.%s" $name -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$" $name) -}}
{{- fail (printf "\n\n%s: the name becomes part of paths and object names. Use lower-case letters, digits and '-', at most 40 characters.\n" $at) -}}
{{- end -}}
{{- if not $destination.endpoint -}}
{{- if eq $name "receiver" -}}
{{- fail (printf "\n\n%s.endpoint is missing. Set it, or set receiver.enabled=true: then this destination is the receiver in the cluster.\n" $at) -}}
{{- end -}}
{{- fail (printf "\n\n%s.endpoint is missing. Set it to a URL such as https://ingest.example.com:4317.\n" $at) -}}
{{- end -}}
{{- if not (regexMatch "^https?://" $destination.endpoint) -}}
{{- fail (printf "\n\n%s.endpoint: %q has no scheme. Write https://%s, or http:// for plain text.\n" $at $destination.endpoint $destination.endpoint) -}}
{{- end -}}
{{- if not (regexMatch "^https?://([^/:@\\[\\]]+|\\[[0-9a-fA-F:.]+\\])(:[0-9]+)?/?$" $destination.endpoint) -}}
{{- /* The value is not repeated: it may hold a key. */ -}}
{{- fail (printf "\n\n%s.endpoint is not SCHEME://HOST[:PORT]. OTLP/gRPC has no path, and keys belong into %s.auth.\n" $at $at) -}}
{{- end -}}
{{- with $destination.auth -}}
{{- if and .existingSecret .value -}}
{{- fail (printf "\n\n%s.auth: existingSecret and value are both set. Keep one; existingSecret leaves the key out of the release.\n" $at) -}}
{{- end -}}
{{- if not (or .existingSecret .value) -}}
{{- fail (printf "\n\n%s.auth has no key. Create a Secret and name it:\n  kubectl -n %s create secret generic ingest-key --from-literal=api-key=KEY\n  --set %s.auth.existingSecret=ingest-key\nor leave %s.auth out if the destination asks for no key.\n" $at $.Release.Namespace $at $at) -}}
{{- end -}}
{{- if and .format (not (contains "{key}" .format)) -}}
{{- fail (printf "\n\n%s.auth.format: %q does not contain {key}, so the key would never be sent. Write for instance \"Bearer {key}\".\n" $at .format) -}}
{{- end -}}
{{- end -}}
{{- with $destination.tls -}}
{{- if hasPrefix "http://" $destination.endpoint -}}
{{- fail (printf "\n\n%s.tls is set, but %s.endpoint is http://, which is plain text. Write https://, or remove tls.\n" $at $at) -}}
{{- end -}}
{{- with .ca -}}
{{- if and .existingConfigMap .existingSecret -}}
{{- fail (printf "\n\n%s.tls.ca: existingConfigMap and existingSecret are both set. Keep one.\n" $at) -}}
{{- end -}}
{{- if not (or .existingConfigMap .existingSecret) -}}
{{- fail (printf "\n\n%s.tls.ca names no source. Set existingConfigMap or existingSecret, or remove ca for the public CAs.\n" $at) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- $number := regexFind "^[0-9]+" .Values.shutdownTimeout | int -}}
{{- $unit := regexFind "[a-z]+$" .Values.shutdownTimeout -}}
{{- $seconds := get (dict "ms" (div (add $number 999) 1000) "s" $number "m" (mul 60 $number) "h" (mul 3600 $number) "d" (mul 86400 $number)) $unit -}}
{{- if le (int .Values.terminationGracePeriodSeconds) (int $seconds) -}}
{{- fail (printf "\n\nterminationGracePeriodSeconds: %v leaves no room for shutdownTimeout %s; the agent would be killed while it still sends. Set it to %v or more.\n" .Values.terminationGracePeriodSeconds .Values.shutdownTimeout (add $seconds 10)) -}}
{{- end -}}

{{- $surge := (.Values.updateStrategy.rollingUpdate | default dict).maxSurge | default 0 -}}
{{- if not (has (toString $surge) (list "0" "0%")) -}}
{{- fail (printf "\n\nupdateStrategy.rollingUpdate.maxSurge: %v would start a node's new agent beside the old one, and both want the folder %s. Leave it out; maxUnavailable says how many nodes are without an agent at a time, and their logs wait in their files.\n" $surge .Values.spool.path) -}}
{{- end -}}

{{- if and .Values.serviceAccount.create (eq .Values.serviceAccount.name "default") -}}
{{- fail "\n\nserviceAccount.name: \"default\" exists in every namespace and cannot be created. Choose another name, or set serviceAccount.create=false.\n" -}}
{{- end -}}
{{- if and .Values.rbac.create (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) (ne .Values.kubernetes.source "none") -}}
{{- fail "\n\nserviceAccount.name is empty with serviceAccount.create=false: the rights would go to every pod that uses the ServiceAccount \"default\". Name one, or set rbac.create=false.\n" -}}
{{- end -}}
{{- if and .Values.rbac.create (not .Values.serviceAccount.create) (not .Values.cluster.serviceAccountName) (eq (include "hawsepipe.cluster.runIn" .) "deployment") -}}
{{- fail "\n\ncluster.serviceAccountName is empty with serviceAccount.create=false: the rights to read the cluster's events and objects would go to every pod that uses the ServiceAccount \"default\". Name one, set cluster.runIn to daemonset or none, or set rbac.create=false.\n" -}}
{{- end -}}
{{- if and .Values.receiver.auth.existingSecret (not .Values.receiver.enabled) -}}
{{- fail "\n\nreceiver.auth.existingSecret is set, but no receiver is installed. Set receiver.enabled=true, or name the Secret at destinations.<name>.auth.existingSecret.\n" -}}
{{- end -}}
{{- end -}}
