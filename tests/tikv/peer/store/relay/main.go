// Command relay passes TCP connections on, and slows, stops or cuts them on request.
//
//	relay -control HOST:PORT -route LISTEN=TARGET [-route …]
//
// The control address answers HTTP: GET /status; POST /link with conditions as JSON, from then on
// those of all connections; POST /cut breaks all that are open.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// Conditions of every connection, each way by itself.
type conditions struct {
	DelayMs        int  `json:"delay_ms"`
	BytesPerSecond int  `json:"bytes_per_second"` // zero: no limit
	Stopped        bool `json:"stopped"`          // nothing is passed on, nothing is closed
	CutAfter       int  `json:"cut_after"`        // breaks a connection after so many bytes; zero: never
}

type relay struct {
	mutex   sync.Mutex
	changed *sync.Cond
	link    conditions
	open    map[net.Conn]struct{}
}

func main() {
	var routes []string
	control := flag.String("control", "", "where to answer HTTP")
	flag.String("name", "", "what tells this process from others; not used")
	flag.Func("route", "LISTEN=TARGET", func(route string) error {
		routes = append(routes, route)
		return nil
	})
	flag.Parse()
	r := &relay{open: make(map[net.Conn]struct{})}
	r.changed = sync.NewCond(&r.mutex)
	for _, route := range routes {
		listen, target, found := strings.Cut(route, "=")
		listener, err := net.Listen("tcp", listen)
		if err != nil || !found {
			fmt.Fprintln(os.Stderr, "relay:", route, err)
			os.Exit(1)
		}
		go r.accept(listener, target)
	}
	fmt.Fprintln(os.Stderr, "relay:", http.ListenAndServe(*control, r.controls()))
	os.Exit(1)
}

func (r *relay) controls() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /link", func(w http.ResponseWriter, request *http.Request) {
		var link conditions
		decoder := json.NewDecoder(request.Body)
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&link); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.mutex.Lock()
		r.link = link
		r.mutex.Unlock()
		r.changed.Broadcast()
	})
	mux.HandleFunc("POST /cut", func(http.ResponseWriter, *http.Request) {
		r.mutex.Lock()
		defer r.mutex.Unlock()
		for connection := range r.open {
			breakOff(connection)
		}
	})
	return mux
}

// breakOff resets the connection: what is under way is lost.
func breakOff(connection net.Conn) {
	if tcp, ok := connection.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	connection.Close()
}

func (r *relay) accept(listener net.Listener, target string) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		go r.serve(client, target)
	}
}

func (r *relay) serve(client net.Conn, target string) {
	server, err := net.Dial("tcp", target)
	if err != nil {
		breakOff(client)
		return
	}
	r.mutex.Lock()
	r.open[client] = struct{}{}
	r.open[server] = struct{}{}
	r.mutex.Unlock()
	ended := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		go func() {
			r.pass(way[0], way[1])
			ended <- struct{}{}
		}()
	}
	<-ended
	breakOff(client)
	breakOff(server)
	<-ended
	r.mutex.Lock()
	delete(r.open, client)
	delete(r.open, server)
	r.mutex.Unlock()
}

func (r *relay) pass(from, to net.Conn) {
	buffer := make([]byte, 16<<10)
	passed := 0
	for {
		count, err := from.Read(buffer)
		if err != nil {
			return
		}
		r.mutex.Lock()
		for r.link.Stopped {
			r.changed.Wait()
		}
		link := r.link
		r.mutex.Unlock()
		time.Sleep(time.Duration(link.DelayMs) * time.Millisecond)
		if link.BytesPerSecond > 0 {
			time.Sleep(time.Duration(count) * time.Second / time.Duration(link.BytesPerSecond))
		}
		cut := link.CutAfter > 0 && passed+count > link.CutAfter
		if cut {
			count = max(link.CutAfter-passed, 0)
		}
		if _, err := to.Write(buffer[:count]); err != nil || cut {
			return
		}
		passed += count
	}
}
