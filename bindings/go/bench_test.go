package etclite

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// Each benchmark has the store's durability, the size of values and the number of goroutines in its name.

func BenchmarkGet(b *testing.B) {
	for _, size := range []int{16, 1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("value=%d", size), func(b *testing.B) {
			c := memory(b)
			put(b, c, "key", strings.Repeat("v", size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Get(background, "key"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkGetByAThousandGoroutines(b *testing.B) {
	c := memory(b)
	put(b, c, "key", "value")
	b.SetParallelism(1000 / runtime.GOMAXPROCS(0))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := c.Get(background, "key"); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkRange(b *testing.B) {
	c := memory(b)
	for i := range 1000 {
		put(b, c, fmt.Sprintf("key%04d", i), strings.Repeat("v", 64))
	}
	b.ReportAllocs()
	for b.Loop() {
		if got, err := c.Get(background, "key", WithPrefix()); err != nil || len(got.Kvs) != 1000 {
			b.Fatal(err)
		}
	}
}

var durabilities = []struct {
	name string
	open func(b *testing.B) *Client
}{
	{"memory", func(b *testing.B) *Client { return memory(b) }},
	{"buffered", func(b *testing.B) *Client { return disk(b, WithDurability(Buffered)) }},
	{"written", func(b *testing.B) *Client { return disk(b, WithDurability(Written)) }},
	{"synced", func(b *testing.B) *Client { return disk(b) }},
}

func BenchmarkPut(b *testing.B) {
	for _, durability := range durabilities {
		b.Run(durability.name+"/value=100", func(b *testing.B) {
			c := durability.open(b)
			value := strings.Repeat("v", 100)
			b.ReportAllocs()
			for b.Loop() {
				put(b, c, "key", value)
			}
		})
	}
}

func BenchmarkPutByAThousandGoroutines(b *testing.B) {
	for _, durability := range durabilities {
		b.Run(durability.name+"/value=100", func(b *testing.B) {
			c := durability.open(b)
			value := strings.Repeat("v", 100)
			b.SetParallelism(1000 / runtime.GOMAXPROCS(0))
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					if _, err := c.Put(background, fmt.Sprint("key", i%100), value); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// From the put's return, so after its sync, until the watcher has the event; 1000 other watches are idle meanwhile.
func BenchmarkWakeUpAfterPut(b *testing.B) {
	for _, durability := range durabilities {
		b.Run(durability.name+"/watches=1001", func(b *testing.B) {
			c := durability.open(b)
			for range 1000 {
				c.Watch(background, "idle")
			}
			watch := c.Watch(background, "key")
			seen := make(chan time.Time)
			go func() {
				for range watch {
					seen <- time.Now()
				}
				close(seen)
			}()
			var total time.Duration
			for b.Loop() {
				put(b, c, "key", "v")
				done := time.Now()
				// It may be there before the put has returned.
				total += max(0, (<-seen).Sub(done))
			}
			b.ReportMetric(float64(total.Nanoseconds())/float64(b.N), "ns/wakeup")
		})
	}
}

// One put that wakes a thousand watches, until the last of them has it.
func BenchmarkWakeUpOfAThousand(b *testing.B) {
	c := memory(b)
	var all sync.WaitGroup
	for range 1000 {
		watch := c.Watch(background, "key")
		go func() {
			for range watch {
				all.Done()
			}
		}()
	}
	for b.Loop() {
		all.Add(1000)
		put(b, c, "key", "v")
		all.Wait()
	}
}
