//go:build tools

// Package tools pins crane, whose registry the dry run of a release pushes to.
package tools

import (
	_ "github.com/google/go-containerregistry/cmd/crane"
)
