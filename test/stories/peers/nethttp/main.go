// The same two handlers as examples/http on Go's net/http, for comparison. Prints its address.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
)

func answer(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, text)
	}
}

func main() {
	http.HandleFunc("GET /{$}", answer("hello\n"))
	http.HandleFunc("GET /test", answer("test\n"))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, "nethttp:", err)
		os.Exit(1)
	}
	fmt.Printf("listening http=%s\n", l.Addr())
	fmt.Fprintln(os.Stderr, "nethttp:", http.Serve(l, nil))
	os.Exit(1)
}
