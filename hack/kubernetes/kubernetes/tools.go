//go:build tools

package tools

// Pins what the programs that `hack/kubernetes-binaries` builds depend on.
import _ "k8s.io/kubernetes/test/e2e"
