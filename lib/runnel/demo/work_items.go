package main

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"runtime/pprof"
	"time"
)

type result struct {
	value int
	err   error
}

func processWorkItem(item int) result {
	if item == 1 {
		return result{err: errors.New("input/output error")}
	}
	time.Sleep(10 * time.Millisecond)
	return result{value: item * item}
}

func processWorkItems(items []int) (sum int, err error) {
	ch := make(chan result)
	for _, item := range items {
		go func() { ch <- processWorkItem(item) }()
	}
	for range items {
		r := <-ch
		if r.err != nil {
			return 0, r.err // whoever has not sent by now waits for ever
		}
		sum += r.value
	}
	return sum, nil
}

func main() {
	_, err := processWorkItems([]int{1, 2, 3, 4, 5})
	fmt.Println("error:", err)
	time.Sleep(100 * time.Millisecond)

	var profile bytes.Buffer
	pprof.Lookup("goroutineleak").WriteTo(&profile, 2)
	fmt.Println("goroutines:", runtime.NumGoroutine(), "leaked:", bytes.Count(profile.Bytes(), []byte("(leaked)")))
}
