package main

import (
	"bufio"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const buffer = 128

// All numbers below n.
func upTo(n uint64) uint64 { return n * (n - 1) / 2 }

func yield(n uint64) result {
	var wg sync.WaitGroup
	done := [2]struct {
		n uint64
		_ [56]byte
	}{}
	for i, share := range []uint64{n / 2, n - n/2} {
		wg.Add(1)
		go func() {
			for ; done[i].n < share; done[i].n++ {
				runtime.Gosched()
			}
			wg.Done()
		}()
	}
	wg.Wait()
	sum := done[0].n + done[1].n
	check(sum == n, "yields")
	return result{sum: sum}
}

func pingPong(n uint64) result {
	there, back := make(chan uint64), make(chan uint64)
	go func() {
		for v := range there {
			back <- v
		}
		close(back)
	}()
	var sum uint64
	for i := uint64(0); i < n; i++ {
		there <- i
		sum += <-back
	}
	close(there)
	<-back
	check(sum == upTo(n), "ping-pong")
	return result{sum: sum}
}

func buffered(n uint64) result {
	c := make(chan uint64, buffer)
	var sum uint64
	for i := uint64(0); i < n; i++ {
		c <- i
		sum += <-c
	}
	check(sum == upTo(n), "buffered")
	return result{sum: sum}
}

func through(n, many uint64) result {
	c := make(chan uint64, buffer)
	var senders, receivers sync.WaitGroup
	sums := make([]uint64, many)
	for i := uint64(0); i < many; i++ {
		senders.Add(1)
		receivers.Add(1)
		go func() {
			for v := n * i / many; v < n*(i+1)/many; v++ {
				c <- v
			}
			senders.Done()
		}()
		go func() {
			var sum uint64
			for v := range c {
				sum += v
			}
			sums[i] = sum
			receivers.Done()
		}()
	}
	senders.Wait()
	close(c)
	receivers.Wait()
	var sum uint64
	for _, s := range sums {
		sum += s
	}
	check(sum == upTo(n), "values through one channel")
	return result{sum: sum}
}

func selectReady(n uint64) result {
	a, b := make(chan uint64, 1), make(chan uint64, 1)
	txs := [2]chan uint64{a, b}
	var sum uint64
	for i := uint64(0); i < n; i++ {
		txs[i&1] <- i
		select {
		case v := <-a:
			check(i&1 == 0, "the first is ready")
			sum += v
		case v := <-b:
			check(i&1 == 1, "the second is ready")
			sum += v
		}
	}
	check(sum == upTo(n), "select")
	return result{sum: sum}
}

func defaultOne(n uint64) result {
	a := make(chan uint64, 1)
	var sum uint64
	for i := uint64(0); i < n; i++ {
		select {
		case <-a:
		default:
			sum++
		}
	}
	check(sum == n, "defaults")
	return result{sum: sum}
}

func defaultTwo(n uint64) result {
	a, b := make(chan uint64, 1), make(chan uint64, 1)
	var sum uint64
	for i := uint64(0); i < n; i++ {
		select {
		case <-a:
		case <-b:
		default:
			sum++
		}
	}
	check(sum == n, "defaults")
	return result{sum: sum}
}

func spawn(n, batch uint64) result {
	var counter atomic.Uint64
	var wg sync.WaitGroup
	for done := uint64(0); done < n; done += batch {
		wg.Add(int(batch))
		for i := uint64(0); i < batch; i++ {
			go func() {
				counter.Add(1)
				wg.Done()
			}()
		}
		wg.Wait()
		check(counter.Load() == done+batch, "spawned")
	}
	return result{sum: counter.Load()}
}

// A new timer each time, as programs in Go do it.
func timerNew(n uint64) result {
	var sum uint64
	for i := uint64(0); i < n; i++ {
		if time.AfterFunc(time.Hour, func() { check(false, "the timer never fires") }).Stop() {
			sum++
		}
	}
	check(sum == n, "armed and stopped")
	return result{sum: sum}
}

// One timer again and again, which saves the allocation.
func timerAgain(n uint64) result {
	t := time.AfterFunc(time.Hour, func() { check(false, "the timer never fires") })
	check(t.Stop(), "it was armed")
	var sum uint64
	for i := uint64(0); i < n; i++ {
		t.Reset(time.Hour)
		if t.Stop() {
			sum++
		}
	}
	check(sum == n, "armed and stopped")
	return result{sum: sum}
}

// The classic program, but that the chain is taken down at the end, as ours is: it would go on beside the next run.
func sieve(n uint64) result {
	c := make(chan uint64)
	var stop atomic.Bool
	go func() {
		for i := uint64(2); !stop.Load(); i++ {
			c <- i
		}
		close(c)
	}()
	var sum, prime uint64
	rx := c
	for i := uint64(0); i < n; i++ {
		prime = <-rx
		sum += prime
		tx := make(chan uint64)
		go func(rx <-chan uint64, tx chan<- uint64, prime uint64) {
			for v := range rx {
				if v%prime != 0 {
					tx <- v
				}
			}
			close(tx)
		}(rx, tx, prime)
		rx = tx
	}
	stop.Store(true)
	for range rx {
	}
	check(n != 500 || prime == 3571, "the last prime")
	return result{sum: sum}
}

func fib(n uint64) uint64 {
	if n < 2 {
		return n
	}
	var wg sync.WaitGroup
	var left uint64
	wg.Add(1)
	go func() {
		left = fib(n - 1)
		wg.Done()
	}()
	right := fib(n - 2)
	wg.Wait()
	return left + right
}

func node(tx chan<- uint64, first, size uint64) {
	if size == 1 {
		tx <- first
		return
	}
	tx <- children(first, size)
}

func children(first, size uint64) uint64 {
	const fanout = 10
	c := make(chan uint64)
	for i := uint64(0); i < fanout; i++ {
		go node(c, first+i*(size/fanout), size/fanout)
	}
	var sum uint64
	for i := 0; i < fanout; i++ {
		sum += <-c
	}
	return sum
}

func skynet(n uint64) result {
	sum := children(0, n)
	check(sum == upTo(n), "the sum of the leaves")
	return result{sum: sum}
}

// Bytes of this process that are its own: pages and what maps them.
func resident() int64 {
	f, err := os.Open("/proc/self/status")
	check(err == nil, "/proc/self/status")
	defer f.Close()
	var sum int64
	for s := bufio.NewScanner(f); s.Scan(); {
		if strings.HasPrefix(s.Text(), "RssAnon:") || strings.HasPrefix(s.Text(), "VmPTE:") {
			kib, _ := strconv.ParseInt(strings.Fields(s.Text())[1], 10, 64)
			sum += kib * 1024
		}
	}
	return sum
}

func parked(n uint64) result {
	c := make(chan struct{})
	var started, woken atomic.Uint64
	var wg sync.WaitGroup
	before := resident()
	for i := uint64(0); i < n; i++ {
		wg.Add(1)
		go func() {
			started.Add(1)
			<-c
			woken.Add(1)
			wg.Done()
		}()
	}
	for started.Load() < n {
		runtime.Gosched()
	}
	each := float64(resident()-before) / float64(n)
	close(c)
	wg.Wait()
	check(woken.Load() == n, "woken")
	return result{sum: woken.Load(), measure: each}
}
