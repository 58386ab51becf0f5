//go:build linux

package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// machine is what figures were measured on, and what else it did meanwhile.
type machine struct {
	processor, memory, kernel, files string
	load, loadAfter                  string
	etcd                             string
	// others is the share of the processors that neither this program nor what it started has used, in percent.
	others float64
}

func look(dir string) machine {
	kilobytes, _ := strconv.ParseFloat(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 64)
	return machine{
		processor: fmt.Sprintf("%d cores of %s", runtime.NumCPU(), field("/proc/cpuinfo", "model name")),
		memory:    fmt.Sprintf("%.0f GiB", kilobytes/(1<<20)),
		kernel:    "Linux " + text("/proc/sys/kernel/osrelease"),
		files:     fileSystem(dir),
		load:      load(),
	}
}

// versions are those of what is linked in.
func versions() string {
	client := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "go.etcd.io/etcd/client/v3" {
				client = strings.TrimPrefix(module.Version, "v")
			}
		}
	}
	return fmt.Sprintf("%s, clientv3 %s", strings.Replace(runtime.Version(), "go", "Go ", 1), client)
}

func text(path string) string {
	read, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(read))
}

// field is the value of the first line `name: value` of a file.
func field(path, name string) string {
	for line := range strings.Lines(text(path)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// scheduling is the policy that the process runs under, and its children.
//
// Under the usual one a thread that was parked in a sync may wait for its turn again if others are busy, 4 ms each time, which
// reads as a slow disk; under chrt -r it does not.
func scheduling() string {
	policy, _, errno := syscall.Syscall(syscall.SYS_SCHED_GETSCHEDULER, 0, 0, 0)
	const other, fifo, rr = 0, 1, 2
	names := map[uintptr]string{other: "SCHED_OTHER", fifo: "SCHED_FIFO", rr: "SCHED_RR"}
	if name, ok := names[policy]; ok && errno == 0 {
		return name
	}
	return "another policy"
}

// load is the load average of the last 1, 5 and 15 minutes.
func load() string { return strings.Join(strings.Fields(text("/proc/loadavg"))[:3], " ") }

// fileSystem is the kind of the deepest mount that holds a directory.
func fileSystem(dir string) string {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "unknown"
	}
	kind, deepest := "unknown", 0
	for line := range strings.Lines(text("/proc/self/mounts")) {
		fields := strings.Fields(line)
		inside := fields[1] == "/" || dir == fields[1] || strings.HasPrefix(dir, fields[1]+"/")
		if inside && len(fields[1]) >= deepest {
			kind, deepest = fields[2], len(fields[1])
		}
	}
	return kind
}

// threads is how many threads of the operating system the process has.
func threads() int {
	count, err := strconv.Atoi(field("/proc/self/status", "Threads"))
	if err != nil {
		panic("the system does not tell of threads")
	}
	return count
}

// A cpuWatch knows what the processors and this program had done when it began.
type cpuWatch struct {
	began     time.Time
	busy, own time.Duration
}

func startCPU() cpuWatch { return cpuWatch{time.Now(), busy(), own()} }

// others is the share of the processors' time since then that was neither idle nor this program's or its children's, in
// percent. Of children it knows what those have used that have ended.
func (w cpuWatch) others() float64 {
	all := time.Since(w.began) * time.Duration(runtime.NumCPU())
	return max(0, 100*float64((busy()-w.busy)-(own()-w.own))/float64(all))
}

// busy is what all processors have done since the start of the system, stolen time included: user, nice, system, irq, softirq and
// steal, in hundredths of a second.
func busy() time.Duration {
	file, err := os.Open("/proc/stat")
	if err != nil {
		return 0
	}
	defer file.Close()
	line, _ := bufio.NewReader(file).ReadString('\n')
	fields := strings.Fields(line)
	var ticks int64
	for _, at := range []int{1, 2, 3, 6, 7, 8} {
		if at < len(fields) {
			count, _ := strconv.ParseInt(fields[at], 10, 64)
			ticks += count
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func own() time.Duration {
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var usage syscall.Rusage
		if syscall.Getrusage(who, &usage) == nil {
			sum += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
		}
	}
	return sum
}

// A floor is the least that a durable write can cost: a frame of one put is written into a file that is full of zeros already, and
// fdatasync makes it durable.
type floor struct {
	file   *os.File
	offset int64
}

const (
	floorBytes = 16 << 20
	// A key and a value, and what a log needs for headers and checksums.
	frameBytes = 192
)

func newFloor(dir string) (*floor, error) {
	file, err := os.Create(filepath.Join(dir, "floor"))
	if err != nil {
		return nil, err
	}
	if _, err := file.Write(make([]byte, floorBytes)); err != nil {
		return nil, err
	}
	return &floor{file: file}, file.Sync()
}

func (f *floor) sync(i int) error {
	frame := [frameBytes]byte{0: byte(i)}
	if _, err := f.file.WriteAt(frame[:], f.offset); err != nil {
		return err
	}
	f.offset = (f.offset + frameBytes) % (floorBytes - frameBytes)
	return syscall.Fdatasync(int(f.file.Fd()))
}

func (f *floor) close() {
	_ = f.file.Close()
	_ = os.Remove(f.file.Name())
}
