//go:build linux

package main

import (
	"slices"
	"testing"
	"time"
)

func TestFigures(t *testing.T) {
	var r rounds
	took := make([]time.Duration, 101)
	for i := range took {
		took[i] = time.Duration(len(took) - i)
	}
	r.add(took)
	r.add([]time.Duration{-5})
	if want := (rounds{{51, 100}, {-5, -5}}); !slices.Equal(r, want) {
		t.Errorf("%v instead of %v", r, want)
	}
	if got := median(r.p50()); got != 23 {
		t.Errorf("the median is %v", got)
	}
	if got := ratio([]float64{2, 9, 3}, []float64{1, 1, 1}); got != 3 {
		t.Errorf("the ratio is %v", got)
	}
}

func TestWhatIsShown(t *testing.T) {
	for nanoseconds, want := range map[float64]string{
		796: "796 ns", -3700: "-3.7 µs", 31_900: "31.9 µs", 127_400: "127 µs", 8_250_000: "8.25 ms",
	} {
		if got := duration(nanoseconds); got != want {
			t.Errorf("%s instead of %s", got, want)
		}
	}
	for got, want := range map[string]string{
		perSecond(740): "740/s", perSecond(74_100): "74.1 k/s", times(1.24): "1.2", times(136.2): "136", thousands(64): "64", thousands(1000): "1,000",
	} {
		if got != want {
			t.Errorf("%s instead of %s", got, want)
		}
	}
}

// What the system tells of this process and its machine is understood.
func TestTheMachine(t *testing.T) {
	if threads() < 1 {
		t.Error("there are no threads")
	}
	if m := look(t.TempDir()); m.files == "unknown" || m.memory == "0 GiB" || m.load == "" {
		t.Errorf("%+v", m)
	}
	floor, err := newFloor(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer floor.close()
	if took, err := laps(2, floor.sync); err != nil || len(took) != 2 || took[0] <= 0 {
		t.Errorf("%v, %v", took, err)
	}
}
