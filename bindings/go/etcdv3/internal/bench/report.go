//go:build linux

package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// What README promises.
const (
	rustShareMin      = 60
	writersThreadsMax = 16
	watchesThreadsMax = 2
	wakeupMax         = 60 * time.Microsecond
)

// print writes all there is as Markdown.
func (r *results) print(out io.Writer) {
	fmt.Fprintf(out, "| | fdatasync floor | %s | %s | %s %s |\n|---|---|---|---|---|\n", etclites, etcdv3s, etcds, r.machine.etcd)
	for _, question := range questions {
		r.printLatency(out, question, "p50", rounds.p50)
		r.printLatency(out, question, "p99", rounds.p99)
	}
	r.printWriting(out)
	fmt.Fprintf(out, "\n| | measured | wanted | |\n|---|---|---|---|\n")
	r.printWanted(out)
	fmt.Fprintf(out, "\n%s\n", r.conditions())
}

// printLatency is one row: in brackets how many times as long as package etclite each takes.
func (r *results) printLatency(out io.Writer, question, name string, of func(rounds) []float64) {
	floor := ""
	if synced, ok := r.latency[floors][question]; ok {
		floor = duration(median(of(*synced)))
	}
	ours := of(*r.latency[etclites][question])
	fmt.Fprintf(out, "| %s, %s | %s | %s |", question, name, floor, duration(median(ours)))
	for _, other := range contestants[1:] {
		theirs := of(*r.latency[other][question])
		fmt.Fprintf(out, " %s (%s) |", duration(median(theirs)), times(ratio(theirs, ours)))
	}
	fmt.Fprintln(out)
}

// printWriting is two rows: in brackets how many times as much package etclite gets through.
func (r *results) printWriting(out io.Writer) {
	ours := r.writing[etclites].PerSecond
	fmt.Fprintf(out, "| durable puts, %s goroutines | | %s |", thousands(r.writers), perSecond(median(ours)))
	for _, other := range contestants[1:] {
		theirs := r.writing[other].PerSecond
		fmt.Fprintf(out, " %s (%s) |", perSecond(median(theirs)), times(ratio(ours, theirs)))
	}
	fmt.Fprintf(out, "\n| threads of the process meanwhile | |")
	for _, name := range contestants {
		fmt.Fprintf(out, " %d |", most(r.writing[name].Threads))
	}
	fmt.Fprintln(out)
}

func (r *results) printWanted(out io.Writer) {
	row := func(what, measured, wanted string, met bool) {
		fmt.Fprintf(out, "| %s | %s | %s | %s |\n", what, measured, wanted, map[bool]string{true: "met", false: "missed"}[met])
	}
	plain := func(what, measured string) { fmt.Fprintf(out, "| %s | %s | | |\n", what, measured) }
	writers := thousands(r.writers)
	if rusts := r.writing[rust]; rusts != nil {
		share := 100 * ratio(r.writing[etclites].PerSecond, rusts.PerSecond)
		row(fmt.Sprintf("%s goroutines, of what as many threads put in Rust, which is %s", writers, perSecond(median(rusts.PerSecond))),
			fmt.Sprintf("%.0f %%", share), fmt.Sprintf("at least %d %%", rustShareMin), share >= rustShareMin)
		few := r.writing[rustFew]
		plain(fmt.Sprintf("the same, of what %d threads put in Rust, which is %s", r.few, perSecond(median(few.PerSecond))),
			fmt.Sprintf("%.0f %%", 100*ratio(r.writing[etclites].PerSecond, few.PerSecond)))
	}
	threads := most(r.writing[etclites].Threads)
	row(fmt.Sprintf("threads of a process with %s goroutines that write", writers), fmt.Sprint(threads),
		fmt.Sprintf("at most %d", writersThreadsMax), threads <= writersThreadsMax)
	idle, told := 0, 0
	for _, counts := range r.idle {
		idle, told = max(idle, counts.Idle-counts.Before), max(told, counts.Told-counts.Before)
	}
	watches := thousands(r.watches)
	row(fmt.Sprintf("threads that %s idle watches add", watches), fmt.Sprint(idle), fmt.Sprintf("at most %d", watchesThreadsMax),
		idle <= watchesThreadsMax)
	plain("the same once all were told of an event", fmt.Sprint(told))
	woken := median(r.wakeup.AfterSync.p50())
	row(fmt.Sprintf("a watcher has the event, after the sync, p50, beside %s idle watches", watches), duration(woken),
		"at most "+duration(float64(wakeupMax)), woken <= float64(wakeupMax))
	plain("the same, p99", duration(median(r.wakeup.AfterSync.p99())))
	plain("after the return of the put, p50, p99", pair(r.wakeup.AfterPut))
	plain("a goroutine that waits for a pipe runs, after a sync and a write to it, p50, p99", pair(r.wakeup.Bare))
}

func pair(of rounds) string { return duration(median(of.p50())) + ", " + duration(median(of.p99())) }

func (r *results) conditions() string {
	m := r.machine
	return strings.Join([]string{
		fmt.Sprintf("Medians of %d rounds (latencies: %d) in turns; in brackets the median of the rounds' ratios: latencies of the "+
			"others to package etclite's, its writes per second to theirs.", r.rounds, r.turns),
		fmt.Sprintf("Durable: synced before the call returns; etclite's default, and the server's. Values of %d bytes, %d keys; "+
			"latencies by one goroutine, %d puts and %d gets a round; %s of writing.", r.value, keys, r.puts, r.gets, r.seconds),
		fmt.Sprintf("%s, %s, %s, %s, %s; %s.", m.processor, m.memory, m.kernel, m.files, scheduling(), versions()),
		fmt.Sprintf("Load average at the start %s, at the end %s; others used %.0f %% of the processors.", m.load, m.loadAfter, m.others),
	}, "\n")
}

func most(of []int) int {
	most := 0
	for _, one := range of {
		most = max(most, one)
	}
	return most
}

// duration shows nanoseconds with three digits.
func duration(nanoseconds float64) string {
	switch abs := max(nanoseconds, -nanoseconds); {
	case abs < 1e3:
		return fmt.Sprintf("%.0f ns", nanoseconds)
	case abs < 1e5:
		return fmt.Sprintf("%.1f µs", nanoseconds/1e3)
	case abs < 1e6:
		return fmt.Sprintf("%.0f µs", nanoseconds/1e3)
	default:
		return fmt.Sprintf("%.2f ms", nanoseconds/1e6)
	}
}

func perSecond(count float64) string {
	if count < 1e3 {
		return fmt.Sprintf("%.0f/s", count)
	}
	return fmt.Sprintf("%.1f k/s", count/1e3)
}

func times(ratio float64) string {
	if ratio < 20 {
		return fmt.Sprintf("%.1f", ratio)
	}
	return fmt.Sprintf("%.0f", ratio)
}

func thousands(count int) string {
	if count < 1000 {
		return fmt.Sprint(count)
	}
	return fmt.Sprintf("%d,%03d", count/1000, count%1000)
}
