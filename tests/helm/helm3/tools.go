//go:build tools

// Package tools pins Helm 3, with which many people still install charts.
package tools

import (
	_ "helm.sh/helm/v3/cmd/helm"
)
