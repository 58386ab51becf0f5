//go:build linux

package main

import (
	"slices"
	"time"
)

// figures are the median and the 99th percentile of one round, in nanoseconds.
type figures struct{ P50, P99 float64 }

// rounds are the figures of all rounds, in order.
type rounds []figures

// add reduces what the calls of a round took.
func (r *rounds) add(took []time.Duration) {
	slices.Sort(took)
	at := func(percent int) float64 { return float64(took[(len(took)-1)*percent/100]) }
	*r = append(*r, figures{at(50), at(99)})
}

func (r rounds) p50() []float64 {
	return each(r, func(f figures) float64 { return f.P50 })
}

func (r rounds) p99() []float64 {
	return each(r, func(f figures) float64 { return f.P99 })
}

func each[T any](of []T, figure func(T) float64) []float64 {
	var all []float64
	for _, one := range of {
		all = append(all, figure(one))
	}
	return all
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	if len(sorted)%2 == 0 {
		return (sorted[len(sorted)/2-1] + sorted[len(sorted)/2]) / 2
	}
	return sorted[len(sorted)/2]
}

// ratio is the median of what the rounds' ratios are.
func ratio(of, to []float64) float64 {
	var all []float64
	for i := range of {
		all = append(all, of[i]/to[i])
	}
	return median(all)
}
