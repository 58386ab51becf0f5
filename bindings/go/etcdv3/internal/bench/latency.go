//go:build linux

package main

import (
	"fmt"
	"path/filepath"
	"time"
)

// The questions of one goroutine that calls again and again.
const (
	puts             = "durable put"
	gets             = "get"
	serializableGets = "get, serializable"
	floors           = "fdatasync floor"
)

var questions = []string{puts, gets, serializableGets}

// keys is how many keys are written and read in turn.
const keys = 256

// latencies asks every contestant all questions in each round, another one first each time, with the floor before them.
func latencies(s settings, server *server) (map[string]map[string]*rounds, error) {
	floor, err := newFloor(s.dir)
	if err != nil {
		return nil, err
	}
	defer floor.close()
	entered := make([]contestant, len(contestants))
	answers := map[string]map[string]*rounds{floors: {puts: {}}}
	for i, name := range contestants {
		entrant, err := enter(name, filepath.Join(s.dir, fmt.Sprint("latency-", i)), server.address)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		defer entrant.close()
		entered[i] = entrant
		answers[name] = map[string]*rounds{puts: {}, gets: {}, serializableGets: {}}
		if err := warmUp(s, entrant); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	for round := range s.turns {
		synced, err := laps(s.puts, floor.sync)
		if err != nil {
			return nil, err
		}
		answers[floors][puts].add(synced)
		for i := range entered {
			at := (round + i) % len(entered)
			if err := ask(s, entered[at], answers[contestants[at]]); err != nil {
				return nil, fmt.Errorf("%s: %w", contestants[at], err)
			}
		}
	}
	return answers, nil
}

func key(i int) string { return fmt.Sprintf("key%04d", i%keys) }

// warmUp writes every key, so that all gets find one, and reads them.
func warmUp(s settings, c contestant) error {
	for i := range keys {
		if err := c.put(key(i), valueOf(s)); err != nil {
			return err
		}
		if err := c.get(key(i)); err != nil {
			return err
		}
	}
	return nil
}

func ask(s settings, c contestant, answers map[string]*rounds) error {
	value := valueOf(s)
	for _, question := range []struct {
		name  string
		count int
		call  func(i int) error
	}{
		{puts, s.puts, func(i int) error { return c.put(key(i), value) }},
		{gets, s.gets, func(i int) error { return c.get(key(i)) }},
		{serializableGets, s.gets, func(i int) error { return c.getSerializable(key(i)) }},
	} {
		took, err := laps(question.count, question.call)
		if err != nil {
			return err
		}
		answers[question.name].add(took)
	}
	return nil
}

// laps is what each of many calls in a row takes.
func laps(count int, call func(i int) error) ([]time.Duration, error) {
	took := make([]time.Duration, count)
	last := time.Now()
	for i := range took {
		if err := call(i); err != nil {
			return nil, err
		}
		now := time.Now()
		took[i], last = now.Sub(last), now
	}
	return took, nil
}
