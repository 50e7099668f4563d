package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// A server is the server's process, as its parent uses it.
type server struct {
	command   *exec.Cmd
	orders    io.WriteCloser
	answers   *json.Decoder
	addresses map[setting]string
}

// startServer runs this program as a child process, which uses one processor. If this
// process ends, the child ends as well.
func startServer(key string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.Command(self, serveFlag, key)
	command.Env = append(os.Environ(), "GOMAXPROCS=1")
	command.Stderr = os.Stderr
	orders, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	answers, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	s := &server{command: command, orders: orders, answers: json.NewDecoder(answers), addresses: map[setting]string{}}
	var listening []string
	if err := s.answers.Decode(&listening); err != nil || len(listening) != len(settings) {
		_ = s.stop()
		return nil, fmt.Errorf("the server reported the addresses %q (%v); want %d", listening, err, len(settings))
	}
	for n, way := range settings {
		s.addresses[way] = listening[n]
	}
	return s, nil
}

// order sends a command to the server, and returns the processor time that the server
// has used so far.
func (s *server) order(word string) (cpu time.Duration, err error) {
	if _, err := fmt.Fprintln(s.orders, word); err != nil {
		return 0, fmt.Errorf("cannot send a command to the server: %w", err)
	}
	if err := s.answers.Decode(&cpu); err != nil {
		return 0, fmt.Errorf("the server does not answer: %w", err)
	}
	return cpu, nil
}

// stop makes the process end and waits until it has. If the process does not end in
// time, stop kills it.
func (s *server) stop() error {
	stuck := time.AfterFunc(patience, func() { _ = s.command.Process.Kill() })
	defer stuck.Stop()
	_ = s.orders.Close()
	if err := s.command.Wait(); err != nil {
		return fmt.Errorf("the server process failed: %w", err)
	}
	return nil
}
