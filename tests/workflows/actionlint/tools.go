//go:build tools

// Package tools pins the actionlint that the tests run.
package tools

import _ "github.com/rhysd/actionlint/cmd/actionlint"
