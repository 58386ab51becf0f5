package namespace

import "testing"

// CW-01: what a range of the namespace is in the store, by RV-09 after the prefix is there.
func TestIntervals(t *testing.T) {
	for _, row := range []struct {
		pfx             prefix
		key, end        string
		wantKey, wanted string
	}{
		{"pfx/", "a", "", "pfx/a", ""},
		{"pfx/", "abc", "def", "pfx/abc", "pfx/def"},
		{"pfx/", "abc", "\x00", "pfx/abc", "pfx0"},
		{"pfx/", "\x00", "\x00", "pfx/\x00", "pfx0"},
		{"p\xff", "a", "\x00", "p\xffa", "q"},
		{"\xff\xff", "a", "\x00", "\xff\xffa", "\x00"},
		{"", "a", "\x00", "a", "\x00"},
		{"", "a", "b", "a", "b"},
	} {
		key, end := row.pfx.interval([]byte(row.key), []byte(row.end))
		if string(key) != row.wantKey || string(end) != row.wanted {
			t.Errorf("%q, %q under %q: %q, %q", row.key, row.end, row.pfx, key, end)
		}
	}
}
