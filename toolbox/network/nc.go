// SPDX-License-Identifier: Apache-2.0

package network

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"time"

	"golang.org/x/term"
	"stave/toolbox/tool"
)

// Nc joins standard input and output with a connection: nc [-uUnvz] [-w SECONDS] HOST PORT, nc -l [-uk] -p PORT. -U is a Unix socket, -z only
// tries, -k serves one after the other, -e COMMAND puts a program at the other end.
func Nc(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "lukUnvzNp:w:e:s:")
	if err != nil {
		return std.Fail(args[0], err)
	}
	if o.Has("l") {
		err = listen(std, o)
	} else {
		err = connect(std, o)
	}
	if err != nil {
		return std.Fail(args[0], err)
	}
	return 0
}

// kind is the network that the options mean.
func kind(o *tool.Options) string {
	switch {
	case o.Has("U"):
		return "unix"
	case o.Has("u"):
		return "udp"
	}
	return "tcp"
}

// connect is the side that calls.
func connect(std tool.IO, o *tool.Options) error {
	address := ""
	switch {
	case o.Has("U") && len(o.Args) == 1:
		address = o.Args[0]
	case !o.Has("U") && len(o.Args) == 2:
		address = net.JoinHostPort(o.Args[0], o.Args[1])
	default:
		return errors.New("usage: nc HOST PORT, or nc -l -p PORT")
	}
	patience, err := seconds(o.Value('w', "0"))
	if err != nil {
		return err
	}
	c, err := net.DialTimeout(kind(o), address, patience)
	if err != nil {
		return unreached(err)
	}
	defer c.Close()
	if o.Has("v") {
		fmt.Fprintf(std.Err, "connected to %s\n", c.RemoteAddr())
	}
	if o.Has("z") {
		return nil
	}
	return join(std, o, c)
}

// listen is the side that waits to be called.
func listen(std tool.IO, o *tool.Options) error {
	address := o.Value('p', "")
	if address == "" && len(o.Args) > 0 {
		address = o.Args[len(o.Args)-1]
	}
	if address == "" {
		return errors.New("which port? nc -l -p PORT")
	}
	if !o.Has("U") {
		address = net.JoinHostPort(o.Value('s', ""), address)
	}
	if o.Has("u") {
		return listenUDP(std, o, address)
	}
	l, err := net.Listen(kind(o), address)
	if err != nil {
		return err
	}
	defer l.Close()
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		if o.Has("v") {
			fmt.Fprintf(std.Err, "connection from %s\n", c.RemoteAddr())
		}
		err = join(std, o, c)
		c.Close()
		if !o.Has("k") {
			return err
		}
	}
}

// packets is a UDP socket that answers whom it heard first.
type packets struct {
	*net.UDPConn
	peer chan net.Addr
	to   net.Addr
}

// Read reads a packet and notes who sent the first one.
func (p *packets) Read(b []byte) (int, error) {
	n, from, err := p.ReadFrom(b)
	if err == nil {
		select {
		case p.peer <- from:
		default:
		}
	}
	return n, err
}

// Write sends to whom was heard first, once there is one.
func (p *packets) Write(b []byte) (int, error) {
	if p.to == nil {
		p.to = <-p.peer
	}
	return p.WriteTo(b, p.to)
}

// listenUDP waits for packets.
func listenUDP(std tool.IO, o *tool.Options, address string) error {
	a, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return err
	}
	c, err := net.ListenUDP("udp", a)
	if err != nil {
		return err
	}
	defer c.Close()
	return join(std, o, &packets{UDPConn: c, peer: make(chan net.Addr, 1)})
}

// join carries bytes both ways. The end of standard input is passed on as a half-closed connection (shutdown(2)).
// The end of the other side may be such a half, too: it ends it all at a terminal only, else standard input is sent to its end.
// UDP has no end: -w ends it after so many silent seconds.
func join(std tool.IO, o *tool.Options, c net.Conn) error {
	if program := o.Value('e', ""); program != "" {
		cmd := exec.Command(program)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = c, c, std.Err
		return cmd.Run()
	}
	patience, err := seconds(o.Value('w', "0"))
	if err != nil {
		return err
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.Copy(c, std.In) // what can't be sent shows as an end of the other direction
		if half, ok := c.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}()
	if err := receive(std, c, patience); err != nil {
		return err
	}
	if in, ok := std.In.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		return nil
	}
	var late <-chan time.Time
	if patience > 0 {
		late = time.After(patience)
	}
	select {
	case <-sent:
	case <-late:
	}
	return nil
}

// receive copies what comes to standard output until the other side ends, or is silent for longer than patience, if that is not 0.
func receive(std tool.IO, c net.Conn, patience time.Duration) error {
	buffer := make([]byte, 64<<10)
	for {
		if patience > 0 {
			if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
				return err
			}
		}
		n, err := c.Read(buffer)
		if n > 0 {
			if _, err := std.Out.Write(buffer[:n]); err != nil {
				return err
			}
		}
		var timeout net.Error
		if err == io.EOF || errors.As(err, &timeout) && timeout.Timeout() {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
