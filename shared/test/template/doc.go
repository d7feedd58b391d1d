// Package template tests template.yaml, samconfig.toml and functions/Makefile.
package template
