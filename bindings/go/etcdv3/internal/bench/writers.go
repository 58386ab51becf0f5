//go:build linux

package main

import (
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// writing is how many durable writes a second many get through at once, and how many threads the process then has; one of each a
// round.
type writing struct {
	PerSecond []float64
	Threads   []int
}

func (w *writing) add(more writing) {
	w.PerSecond = append(w.PerSecond, more.PerSecond...)
	w.Threads = append(w.Threads, more.Threads...)
}

const (
	// Until every goroutine runs and the log has its first segments; benches/writers.rs has the same.
	writersWarmUp = 500 * time.Millisecond
	// How many keys each writes to, again and again, as there.
	writersKeys = 100
	// How often threads are counted meanwhile.
	threadsEvery = 20 * time.Millisecond
)

// measureWriters lets many goroutines put keys of their own, one after another.
func measureWriters(s settings, name, store, address string) (writing, error) {
	c, err := enter(name, store, address)
	if err != nil {
		return writing{}, err
	}
	defer c.close()
	var written atomic.Int64
	var stop atomic.Bool
	var failed atomic.Pointer[error]
	var running sync.WaitGroup
	for writer := range s.writers {
		running.Add(1)
		go func() {
			defer running.Done()
			value := valueOf(s)
			for round := 0; !stop.Load(); round++ {
				if err := c.put(fmt.Sprintf("writer%04d/%02d", writer, round%writersKeys), value); err != nil {
					failed.Store(&err)
					return
				}
				written.Add(1)
			}
		}()
	}
	most := mostThreads(writersWarmUp)
	began, before := time.Now(), written.Load()
	most = max(most, mostThreads(s.seconds))
	took, after := time.Since(began), written.Load()
	stop.Store(true)
	running.Wait()
	if err := failed.Load(); err != nil {
		return writing{}, *err
	}
	return writing{PerSecond: []float64{float64(after-before) / took.Seconds()}, Threads: []int{max(most, threads())}}, nil
}

// mostThreads is the most that the process has during a time, which it waits for.
func mostThreads(wait time.Duration) int {
	most := threads()
	ticker := time.NewTicker(threadsEvery)
	defer ticker.Stop()
	for end := time.After(wait); ; {
		select {
		case <-ticker.C:
			most = max(most, threads())
		case <-end:
			return most
		}
	}
}

// rustWriters runs the same in Rust, with threads.
func rustWriters(s settings, count int, duration time.Duration) (writing, error) {
	fields := strings.Fields(s.rust)
	arguments := append(fields[1:], "--threads", fmt.Sprint(count), "--seconds", fmt.Sprint(duration.Seconds()),
		"--value", fmt.Sprint(s.value), "--dir", s.dir)
	var answer struct {
		WritesPerSecond float64 `json:"writes_per_second"`
		Threads         int
	}
	err := answerOf(exec.Command(fields[0], arguments...), &answer)
	return writing{PerSecond: []float64{answer.WritesPerSecond}, Threads: []int{answer.Threads}}, err
}
