package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// A bare exchange is a POST of 1 KiB answered by an empty 200 between net/http
// in this process and net/http in another, over 64 connections that are kept
// alive. Machines of one name differ by half in how many they do, one machine
// from hour to hour, and so do a runner's rates.
const (
	bareConnections = 64
	bareBytes       = 1 << 10
	answerBare      = "answer-bare" // the argument that makes this command the other process
)

// answer is the other process: it tells out where it listens, and answers until
// in ends, as it does with the process that holds its other end.
func answer(in io.Reader, out io.Writer) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })}
	fmt.Fprintln(out, ln.Addr())
	go server.Serve(ln)
	_, err = io.Copy(io.Discard, in)
	return errors.Join(err, server.Close())
}

// bare returns how many bare exchanges a second there are, of as many as there
// are deliveries.
func (b *bench) bare(ctx context.Context) (rate float64, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	server := exec.Command(self, answerBare)
	in, err1 := server.StdinPipe()
	out, err2 := server.StdoutPipe()
	if err := errors.Join(err1, err2, server.Start()); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, in.Close(), server.Wait()) }()
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return 0, fmt.Errorf("read where bare exchanges are answered: %w", err)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: bareConnections}}
	defer client.CloseIdleConnections()
	url := "http://" + strings.TrimSpace(addr)
	if err := exchange(ctx, client, url, 10*bareConnections); err != nil { // it opens the connections
		return 0, err
	}
	start := time.Now()
	err = exchange(ctx, client, url, b.deliveries)
	return float64(b.deliveries) / time.Since(start).Seconds(), err
}

// exchange makes n bare exchanges, on each connection one after the other.
func exchange(ctx context.Context, client *http.Client, url string, n int) error {
	body := make([]byte, bareBytes)
	var begun atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range bareConnections {
		group.Go(func() error {
			for begun.Add(1) <= int64(n) {
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
				if err != nil {
					return err
				}
				resp, err := client.Do(req)
				if err != nil {
					return err
				}
				resp.Body.Close() // it is empty: the connection is kept
			}
			return nil
		})
	}
	return group.Wait()
}
