package rpctypes

import (
	"os"
	"regexp"
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
