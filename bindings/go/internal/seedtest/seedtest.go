// Package seedtest builds the programs of testdata/seeds, changed as little as it takes, and compares what they print with what
// was recorded. Tests of this module and of module etcdv3 use it.
package seedtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// OpeningLine is the expression by which each program opens its client.
const OpeningLine = `clientv3.New(clientv3.Config{Endpoints: []string{"localhost:2379"}, DialTimeout: 5 * time.Second})`

// The end of a program that was too late to show what it is to show.
const tooBusy = 75

// runsMax bounds how often such a program is run; each run has to end within runTime.
const (
	runsMax = 5
	runTime = 5 * time.Minute
)

// Replace replaces a text of a program, which must be there.
func Replace(t testing.TB, source, old, new string) string {
	t.Helper()
	if !strings.Contains(source, old) {
		t.Fatalf("the program does not have %q", old)
	}
	return strings.ReplaceAll(source, old, new)
}

// Run runs all programs in dir in parallel, each in a subtest. rewrite is given the source of a program and a folder of its own,
// which does not exist yet; what it returns is built as a package of the module that the test belongs to, with the race detector if
// the test has it.
func Run(t *testing.T, dir string, rewrite func(t testing.TB, source, store string) string) {
	programs, err := filepath.Glob(filepath.Join(dir, "*", "main.go"))
	if err != nil || len(programs) == 0 {
		t.Fatalf("no programs in %s: %v", dir, err)
	}
	for _, program := range programs {
		seed := filepath.Dir(program)
		t.Run(filepath.Base(seed), func(t *testing.T) {
			t.Parallel()
			source, want := read(t, program), read(t, filepath.Join(seed, "output"))
			if strings.Count(source, OpeningLine) != 1 {
				t.Fatalf("%s has no opening line, or many", program)
			}
			args, err := os.ReadFile(filepath.Join(seed, "args"))
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			got := runInTime(t, strings.Fields(string(args)), func(store string) string { return rewrite(t, source, store) })
			if got != want {
				t.Errorf("it printed\n%s\ninstead of\n%s", got, want)
			}
		})
	}
}

// Output is what one program prints, built as Run does it, in a folder that is empty.
func Output(t testing.TB, source string) string {
	t.Helper()
	dir := t.TempDir()
	binary := build(t, t.TempDir(), source)
	run := exec.CommandContext(t.Context(), binary)
	run.Dir = dir
	var complaints bytes.Buffer
	run.Stderr = &complaints
	out, err := run.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, &complaints)
	}
	return string(out)
}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// runInTime is what a program prints, run again with another store while it says that it was too late.
func runInTime(t testing.TB, args []string, rewrite func(store string) string) string {
	t.Helper()
	for range runsMax {
		dir := t.TempDir()
		binary := build(t, dir, rewrite(filepath.Join(dir, "store.etcl")))
		ctx, cancel := context.WithTimeout(context.Background(), runTime)
		var out, complaints bytes.Buffer
		run := exec.CommandContext(ctx, binary, args...)
		run.Stdout, run.Stderr = &out, &complaints
		err := run.Run()
		cancel()
		if run.ProcessState != nil && run.ProcessState.ExitCode() == tooBusy {
			t.Log("too late, once more")
			continue
		}
		if err != nil {
			t.Fatalf("%v\n%s%s", err, &out, &complaints)
		}
		return out.String()
	}
	t.Fatalf("too late %d times", runsMax)
	panic("unreachable")
}

// build builds a program as if it were in a folder of the module.
func build(t testing.TB, dir, source string) string {
	t.Helper()
	module, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	real, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "program")
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(module, "zz_seed", "main.go"): real}})
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string][]byte{real: []byte(source), filepath.Join(dir, "overlay.json"): overlay} {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", binary}
	if race {
		args = append(args, "-race")
	}
	command := exec.Command("go", append(args, "./zz_seed")...)
	// What the test asks of the collector is meant for the program, not for the compiler.
	command.Env = append(os.Environ(), "GOGC=100")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(command.Args[1:], " "), err, out)
	}
	return binary
}
