package rpctypes

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"
)

// The table has every status of the library's header, under the same name and number, and no other.
func TestStatusesAreThoseOfTheHeader(t *testing.T) {
	header, err := os.ReadFile("../../../include/etclite.h")
	if err != nil {
		t.Fatal(err)
	}
	defined := map[string]int{}
	for _, found := range regexp.MustCompile(`(?m)^#define ETCLITE_([A-Z_]+) (-?\d+)$`).FindAllStringSubmatch(string(header), -1) {
		if defined[found[1]], err = strconv.Atoi(found[2]); err != nil {
			t.Fatal(err)
		}
	}
	known := map[string]bool{}
	for _, status := range Statuses() {
		name := "E_" + status.Name
		known[name] = true
		if number, ok := defined[name]; !ok || number != int(status.Number) {
			t.Errorf("%s is %d, in the header %d", name, status.Number, number)
		}
	}
	for name, number := range defined {
		if number < 0 && !known[name] {
			t.Errorf("%s is not in the table", name)
		}
	}
	for name, number := range map[string]int{"OK": StatusOK, "NOT_FOUND": StatusNotFound, "TIMEOUT": StatusTimeout, "END": StatusEnd,
		"NOT_ACQUIRED": StatusNotAcquired} {
		if got, ok := defined[name]; !ok || got != number {
			t.Errorf("%s is %d, in the header %d", name, number, got)
		}
	}
}

// gRPC's classes and etcd's messages are those of the library's own table, of which there is one.
func TestStatusesAreThoseOfTheLibrary(t *testing.T) {
	source, err := os.ReadFile("../../../src/error/code.rs")
	if err != nil {
		t.Fatal(err)
	}
	classes := map[string]string{}
	for _, found := range regexp.MustCompile(`(?m)^const GRPC_([A-Z_]+): u32 = (\d+);$`).FindAllStringSubmatch(string(source), -1) {
		classes[found[1]] = found[2]
	}
	row := regexp.MustCompile(`(?m)^    ([A-Z_]+) = (-\d+), \w+, "[^"]*", GRPC_([A-Z_]+),\s*"([^"]*)";$`)
	found := row.FindAllStringSubmatch(string(source), -1)
	if len(found) != len(statuses) {
		t.Fatalf("%d errors instead of %d", len(statuses), len(found))
	}
	for i, status := range statuses {
		want := found[i][1:]
		got := []string{status.Name, strconv.Itoa(int(status.Number)), strconv.Itoa(int(status.Code)), status.Etcd}
		if want[2] = classes[want[2]]; !slices.Equal(got, want) {
			t.Errorf("%q instead of %q", got, want)
		}
	}
}

// An error's class is that of its row, but for the one that etcd has under a name of its own.
func TestClassesOfErrorsAreThoseOfTheirStatuses(t *testing.T) {
	for _, status := range statuses {
		if code := status.Err.(EtcdError).Code(); code != status.Code && status.Err != ErrDeadlineExceeded {
			t.Errorf("%s: %v instead of %v", status.Name, code, status.Code)
		}
	}
}
