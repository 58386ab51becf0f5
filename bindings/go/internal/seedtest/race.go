//go:build race

package seedtest

const race = true
