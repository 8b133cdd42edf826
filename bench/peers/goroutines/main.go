// goroutines [--workers N] WORK TIMES: the works of bench/runnel in Go, the same way, first cold, then warm.
//
// Exit 1: a work was not done.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"syscall"
	"time"
)

const warm = 3

type result struct {
	sum     uint64
	measure float64 // of works that don't measure their time as a whole
}

type work struct {
	run  func(n uint64) result
	once bool // a second time in the same process would measure something else
}

var works = map[string]work{
	"yield":       {yield, false},
	"ping-pong":   {pingPong, false},
	"buffered":    {buffered, false},
	"pipe":        {func(n uint64) result { return through(n, 1) }, false},
	"4x4":         {func(n uint64) result { return through(n, 4) }, false},
	"spawn":       {func(n uint64) result { return spawn(n, 1) }, false},
	"spawn-batch": {func(n uint64) result { return spawn(n, 1000) }, false},
	"select":      {selectReady, false},
	"default-one": {defaultOne, false},
	"default-two": {defaultTwo, false},
	"timer":       {timerNew, false},
	"timer-again": {timerAgain, false},
	"sieve":       {sieve, false},
	"fib":         {func(n uint64) result { return result{sum: fib(n)} }, false},
	"skynet":      {skynet, false},
	"parked":      {parked, true},
}

func check(ok bool, what string) {
	if !ok {
		fmt.Fprintln(os.Stderr, "not so:", what)
		os.Exit(1)
	}
}

// Nanoseconds of one on the wall, or what the work itself measured; and of the processor, all threads.
type took struct{ wall, cpu float64 }

func cpu() int64 {
	var u syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil, "getrusage")
	return u.Utime.Nano() + u.Stime.Nano()
}

func pass(w work, n uint64) (uint64, took) {
	start, used := time.Now(), cpu()
	r := w.run(n)
	t := took{float64(time.Since(start).Nanoseconds()) / float64(n), float64(cpu()-used) / float64(n)}
	if r.measure != 0 {
		t.wall = r.measure
	}
	return r.sum, t
}

func main() {
	args := os.Args[1:]
	workers := 1
	if len(args) > 2 && args[0] == "--workers" {
		workers, _ = strconv.Atoi(args[1])
		args = args[2:]
	}
	check(len(args) == 2 && workers > 0, "usage: goroutines [--workers N] WORK TIMES")
	w, known := works[args[0]]
	n, err := strconv.ParseUint(args[1], 10, 64)
	check(known && err == nil && n > 0, "usage: goroutines [--workers N] WORK TIMES")
	runtime.GOMAXPROCS(workers)

	sum, cold := pass(w, n)
	all := []took{cold}
	if !w.once {
		all = all[:0]
		for i := 0; i < warm; i++ {
			var t took
			sum, t = pass(w, n)
			all = append(all, t)
		}
		sort.Slice(all, func(i, j int) bool { return all[i].wall < all[j].wall })
	}
	middle := all[len(all)/2]
	fmt.Printf("{\"work\": %q, \"sum\": %d, \"cold\": %.2f, \"warm\": %.2f, \"cpu\": %.2f, \"by\": %q}\n", args[0], sum, cold.wall,
		middle.wall, middle.cpu, runtime.Version())
}
