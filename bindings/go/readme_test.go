package etclite_test

import (
	"os"
	"strings"
	"testing"

	"github.com/etclite/etclite/bindings/go/internal/seedtest"
)

// The README's program for Go, as it stands there, prints what stands there.
func TestReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(readme), "<!-- go -->\n```go\n")
	source, section, ended := strings.Cut(section, "```\n")
	_, session, shown := strings.Cut(section, "./hello\n")
	want, _, closed := strings.Cut(session, "```\n<!-- /go -->")
	if !found || !ended || !shown || !closed {
		t.Fatal("the README has no program for Go")
	}
	if got := seedtest.Output(t, source); got != want {
		t.Errorf("it printed\n%s\ninstead of\n%s", got, want)
	}
}
