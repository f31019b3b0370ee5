//go:build tools

// Package tools pins the Argo CD that the tests run. The replacements in go.mod are those of its own go.mod.
package tools

import (
	_ "github.com/argoproj/argo-cd/v3/cmd"
)
