{{/* A dictionary as TOML: [name, dictionary]. What JSON has for texts, numbers and lists is TOML. */}}
{{- define "zonegate.toml" -}}
{{- $name := index . 0 -}}
{{- $sections := dict -}}
{{- if $name }}[{{ $name }}]
{{ end -}}
{{- range $key, $value := index . 1 -}}
{{- if kindIs "map" $value -}}
{{- $_ := set $sections $key $value -}}
{{- else if not (kindIs "invalid" $value) -}}
{{ $key }} = {{ toJson $value }}
{{ end -}}
{{- end -}}
{{- range $key, $value := $sections -}}
{{ include "zonegate.toml" (list (ternary (printf "%s.%s" $name $key) $key (ne $name "")) $value) }}
{{- end -}}
{{- end -}}
