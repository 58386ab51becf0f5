//go:build linux

// Command bench measures what the Go module costs: beside etcd's own client and a server on loopback, beside as many threads in
// Rust, and beside the least that the disk and the machine can do. `make -C bindings/go bench` runs it; the output is Markdown.
//
// All stores and etcd's data are on one disk, in folders of one directory. Whatever is compared is measured in turns, in several
// rounds, and compared within each round, so that a machine that is busy for a while spoils no comparison; figures and ratios
// are the medians of the rounds. On a machine that is busy all the time `make bench RUN="chrt -r 1"` helps. What is told of threads and wake-ups comes from processes of their own, which this
// program starts as itself: a Go process never gives threads back, so it would tell what went before.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// settings are what the command line says.
type settings struct {
	dir     string
	etcd    string
	rust    string
	part    string
	verbose bool
	rounds  int
	turns   int
	puts    int
	gets    int
	writers int
	few     int
	watches int
	wakeups int
	value   int
	seconds time.Duration
}

func parse() settings {
	var s settings
	flag.StringVar(&s.dir, "dir", os.TempDir(), "`directory` on the disk to be measured; all is removed again")
	flag.StringVar(&s.etcd, "etcd", "etcd", "the server's `program`")
	flag.StringVar(&s.rust, "rust", "", "the `command` that is given --threads, --seconds, --value and --dir: benches/writers.rs; without it there is nothing of Rust")
	flag.StringVar(&s.part, "part", "", "for the program's own use: only this `part`")
	flag.BoolVar(&s.verbose, "v", false, "write the figures of each round to the standard error, in nanoseconds, as JSON")
	flag.IntVar(&s.rounds, "rounds", 5, "rounds of what runs in processes of its own")
	flag.IntVar(&s.turns, "turns", 20, "turns of the latencies, which are shorter")
	flag.IntVar(&s.puts, "puts", 200, "durable puts by one goroutine a turn")
	flag.IntVar(&s.gets, "gets", 2000, "gets by one goroutine a turn")
	flag.IntVar(&s.writers, "writers", 1000, "goroutines, or threads, that write at once")
	flag.IntVar(&s.few, "few", 64, "threads that write in Rust a second time, which has its best with fewer")
	flag.IntVar(&s.watches, "watches", 1000, "idle watches")
	flag.IntVar(&s.wakeups, "wakeups", 1000, "puts that wake a watcher a round")
	flag.IntVar(&s.value, "value", 100, "length of values in bytes")
	flag.DurationVar(&s.seconds, "time", 3*time.Second, "for how long many write in each round")
	flag.Parse()
	return s
}

func main() {
	if err := run(parse()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(s settings) error {
	if s.part != "" {
		return runPart(s)
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(s.dir, "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s.dir = dir
	if s.rust != "" {
		// It may have to be built first, which is no time to measure anything in.
		if _, err := rustWriters(s, 1, 10*time.Millisecond); err != nil {
			return err
		}
	}
	r, err := measure(s)
	if err != nil {
		return err
	}
	r.print(os.Stdout)
	if s.verbose {
		return json.NewEncoder(os.Stderr).Encode([]any{r.latency, r.writing, r.idle, r.wakeup})
	}
	return nil
}

// results are the figures of all rounds.
type results struct {
	settings
	machine machine
	// By contestant and question.
	latency map[string]map[string]*rounds
	// By contestant; rust and rustFew are among them.
	writing map[string]*writing
	idle    []idleWatches
	wakeup  wakeups
}

func measure(s settings) (*results, error) {
	server, err := startEtcd(s)
	if err != nil {
		return nil, err
	}
	defer server.stop()
	r := &results{settings: s, machine: look(s.dir), writing: map[string]*writing{}}
	r.machine.etcd = server.version
	watch := startCPU()
	if r.latency, err = latencies(s, server); err != nil {
		return nil, err
	}
	for range s.rounds {
		if err := r.round(server); err != nil {
			return nil, err
		}
	}
	server.stop()
	r.machine.loadAfter, r.machine.others = load(), watch.others()
	return r, nil
}

// round is one of all that runs in processes of its own.
func (r *results) round(server *server) error {
	if r.rust != "" {
		for name, threads := range map[string]int{rust: r.writers, rustFew: r.few} {
			if err := r.wrote(name, func() (writing, error) { return rustWriters(r.settings, threads, r.seconds) }); err != nil {
				return err
			}
		}
	}
	for _, name := range contestants {
		if err := r.wrote(name, func() (writing, error) {
			return child[writing](r.settings, "writers", name, server.address)
		}); err != nil {
			return err
		}
	}
	idle, err := child[idleWatches](r.settings, "idle", etclites, "")
	if err != nil {
		return err
	}
	r.idle = append(r.idle, idle)
	woken, err := child[wakeups](r.settings, "wakeups", etclites, "")
	r.wakeup.add(woken)
	return err
}

func (r *results) wrote(name string, write func() (writing, error)) error {
	one, err := write()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if r.writing[name] == nil {
		r.writing[name] = &writing{}
	}
	r.writing[name].add(one)
	return nil
}

// child is what this program answers as a process that measures one part for one contestant.
func child[T any](s settings, part, contestant, address string) (T, error) {
	var answer T
	self, err := os.Executable()
	if err != nil {
		return answer, err
	}
	command := exec.Command(self, "-part", part, "-dir", s.dir, "-time", s.seconds.String(),
		"-writers", fmt.Sprint(s.writers), "-watches", fmt.Sprint(s.watches), "-wakeups", fmt.Sprint(s.wakeups),
		"-value", fmt.Sprint(s.value), contestant, address)
	err = answerOf(command, &answer)
	return answer, err
}

func answerOf(command *exec.Cmd, answer any) error {
	var complaints strings.Builder
	command.Stderr = &complaints
	out, err := command.Output()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(command.Args, " "), err, complaints.String())
	}
	return json.Unmarshal(out, answer)
}

// runPart is the other side of child.
func runPart(s settings) error {
	contestant, address := flag.Arg(0), flag.Arg(1)
	dir, err := os.MkdirTemp(s.dir, s.part+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	store := filepath.Join(dir, "store")
	var answer any
	switch s.part {
	case "writers":
		answer, err = measureWriters(s, contestant, store, address)
	case "idle":
		answer, err = measureIdle(s, store)
	case "wakeups":
		answer, err = measureWakeups(s, dir)
	default:
		err = fmt.Errorf("there is no part %s", s.part)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(answer)
}
