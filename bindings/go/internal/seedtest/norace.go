//go:build !race

package seedtest

const race = false
