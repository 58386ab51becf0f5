package capi

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// output is what a command that must fail says.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	said, err := cmd.CombinedOutput()
	if err == nil {
		t.Errorf("%v went well", cmd)
	}
	return string(said)
}

func TestWithoutCgoTheCompilerSaysSo(t *testing.T) {
	cmd := exec.Command("go", "build", ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said := output(t, cmd); !strings.Contains(said, "set_CGO_ENABLED_to_1") {
		t.Errorf("%s", said)
	}
}

func TestWithoutTheArchiveTheCompilerSaysSo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "capi")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bridge.h", "etclite.h"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cc, err := exec.Command("go", "env", "CC").Output()
	if err != nil {
		t.Fatal(err)
	}
	compile := func(args ...string) *exec.Cmd {
		return exec.Command(strings.TrimSpace(string(cc)), append(args, "-fsyntax-only", "-x", "c", filepath.Join(dir, "bridge.h"))...)
	}
	if said := output(t, compile("-DETCLITE_ARCHIVE")); !strings.Contains(said, "make -C bindings/go lib") {
		t.Errorf("%s", said)
	}
	// An installed library needs no archive.
	if said, err := compile().CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, said)
	}
}
