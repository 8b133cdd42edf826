// A server on Go's OpAMP library, and clients that load it over WebSocket: the peer of `make bench-agents`.
//
//	opamp serve                          prints its address
//	opamp load ADDR AGENTS HEARTBEATS    as fast as answered; prints how many were answered
//
// The server does for a heartbeat what it must: it finds the agent, notes that it was seen, answers. Heartbeats
// carry no samples, since the library knows nothing of them.
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"github.com/open-telemetry/opamp-go/protobufs"
	"github.com/open-telemetry/opamp-go/server"
	"github.com/open-telemetry/opamp-go/server/types"
	"google.golang.org/protobuf/proto"
)

type agents struct {
	lock sync.RWMutex
	seen map[[16]byte]*atomic.Int64
}

func (a *agents) note(uid []byte) {
	var key [16]byte
	copy(key[:], uid)
	a.lock.RLock()
	at := a.seen[key]
	a.lock.RUnlock()
	if at == nil {
		at = new(atomic.Int64)
		a.lock.Lock()
		a.seen[key] = at
		a.lock.Unlock()
	}
	at.Store(time.Now().UnixNano())
}

func serve() error {
	all := &agents{seen: map[[16]byte]*atomic.Int64{}}
	callbacks := types.ConnectionCallbacks{
		OnMessage: func(_ context.Context, _ types.Connection, m *protobufs.AgentToServer) *protobufs.ServerToAgent {
			all.note(m.InstanceUid)
			return &protobufs.ServerToAgent{InstanceUid: m.InstanceUid}
		},
	}
	s := server.New(nil)
	settings := server.Settings{Callbacks: types.Callbacks{
		OnConnecting: func(*http.Request) types.ConnectionResponse {
			return types.ConnectionResponse{Accept: true, ConnectionCallbacks: callbacks}
		},
	}}
	handler, connContext, err := s.Attach(settings)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/opamp", http.HandlerFunc(handler))
	fmt.Printf("listening opamp=%s\n", l.Addr())
	return (&http.Server{Handler: mux, ConnContext: connContext}).Serve(l)
}

// One agent: a heartbeat, its answer, the next.
func agent(addr string, id uint64, left, answered *atomic.Int64) error {
	c, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/v1/opamp", nil)
	if err != nil {
		return err
	}
	defer c.Close()
	uid := make([]byte, 16)
	binary.BigEndian.PutUint64(uid[8:], id+1)
	for seq := uint64(0); left.Add(-1) >= 0; seq++ {
		body, err := proto.Marshal(&protobufs.AgentToServer{InstanceUid: uid, SequenceNum: seq, Capabilities: 0x2001})
		if err != nil {
			return err
		}
		if err := c.WriteMessage(websocket.BinaryMessage, append([]byte{0}, body...)); err != nil {
			return err
		}
		if _, _, err := c.ReadMessage(); err != nil {
			return err
		}
		answered.Add(1)
	}
	return nil
}

func load(addr string, n, heartbeats int) error {
	var left, answered atomic.Int64
	var wait sync.WaitGroup
	errs := make(chan error, n)
	left.Store(int64(heartbeats))
	for i := 0; i < n; i++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			if err := agent(addr, uint64(i), &left, &answered); err != nil {
				errs <- err
			}
		}()
	}
	wait.Wait()
	select {
	case err := <-errs:
		return err
	default:
	}
	fmt.Printf("answered %d\n", answered.Load())
	return nil
}

func main() {
	var err error
	switch {
	case len(os.Args) == 2 && os.Args[1] == "serve":
		err = serve()
	case len(os.Args) == 5 && os.Args[1] == "load":
		n, _ := strconv.Atoi(os.Args[3])
		heartbeats, _ := strconv.Atoi(os.Args[4])
		err = load(os.Args[2], n, heartbeats)
	default:
		log.Fatal("opamp: wrong usage: opamp serve | opamp load ADDR AGENTS HEARTBEATS")
	}
	if err != nil {
		log.Fatal("opamp: ", err)
	}
}
