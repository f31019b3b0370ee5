//go:build tools

// Package tools pins syft, which writes a release's SBOM.
package tools

import (
	_ "github.com/anchore/syft/cmd/syft"
)
