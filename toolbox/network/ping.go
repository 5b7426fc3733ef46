// SPDX-License-Identifier: Apache-2.0

package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
	"stave/toolbox/tool"
)

// pinger is one run of ping.
type pinger struct {
	std  tool.IO
	fd   int
	raw  bool // a raw socket, which sees every ICMP packet; else the kernel sorts them, see icmp(7)
	six  bool
	id   uint16
	ip   net.IP
	size int
	zone int
}

// Ping asks a host for answers: ping [-c N] [-i TIME] [-W TIME] [-s SIZE] [-4|-6] [-q] HOST. Its code is 1 if none came.
func Ping(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "c:i:W:w:s:46nq")
	if err == nil && len(o.Args) != 1 {
		err = errors.New("which host?")
	}
	if err != nil {
		return std.Fail(args[0], err)
	}
	count, err := o.Int('c', -1)
	size, err2 := o.Int('s', 56)
	interval, err3 := seconds(o.Value('i', "1"))
	patience, err4 := seconds(o.Value('W', "2"))
	if err = errors.Join(err, err2, err3, err4); err != nil || size < 8 || size > 65000 {
		return std.Errorf(args[0], "-c and -s take a number, -i and -W seconds")
	}
	network := "ip"
	if o.Has("4") {
		network = "ip4"
	} else if o.Has("6") {
		network = "ip6"
	}
	addr, err := net.ResolveIPAddr(network, o.Args[0])
	if err != nil {
		return std.Fail(args[0], unreached(err))
	}
	p := &pinger{std: std, ip: addr.IP, six: addr.IP.To4() == nil, id: uint16(os.Getpid()), size: size}
	if i, err := net.InterfaceByName(addr.Zone); addr.Zone != "" && err == nil {
		p.zone = i.Index
	}
	if err := p.open(); err != nil {
		return std.Errorf(args[0], "socket: %v", err)
	}
	defer unix.Close(p.fd)
	fmt.Fprintf(std.Out, "PING %s (%s): %d data bytes\n", o.Args[0], p.ip, size)
	return p.run(o.Args[0], count, interval, patience, o.Has("q"))
}

// seconds reads a time in seconds, with a fraction.
func seconds(text string) (time.Duration, error) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 0 || n > 1e6 {
		return 0, fmt.Errorf("%s: not a time", text)
	}
	return time.Duration(n * float64(time.Second)), nil
}

// open opens a socket: one for everybody if net.ipv4.ping_group_range allows it, else a raw one, which needs CAP_NET_RAW.
func (p *pinger) open() error {
	family, protocol := unix.AF_INET, unix.IPPROTO_ICMP
	if p.six {
		family, protocol = unix.AF_INET6, unix.IPPROTO_ICMPV6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		p.raw = true
		fd, err = unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	}
	p.fd = fd
	return err
}

// run sends, waits and counts, until the count is reached or Ctrl-C.
func (p *pinger) run(host string, count int, interval, patience time.Duration, quiet bool) int {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGINT)
	defer signal.Stop(stop)
	sent, received := 0, 0
	for sent != count {
		start := time.Now()
		sent++
		took, ttl, err := p.once(uint16(sent), patience)
		switch {
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			p.std.Errorf("ping", "%s: %v", p.ip, err)
		case err == nil:
			received++
			if !quiet {
				fmt.Fprintf(p.std.Out, "%d bytes from %s: seq=%d ttl=%d time=%.3f ms\n", p.size+8, p.ip, sent, ttl, float64(took.Microseconds())/1000)
			}
		}
		if sent == count {
			break
		}
		select {
		case <-stop:
			count = sent
		case <-time.After(interval - time.Since(start)):
		}
	}
	fmt.Fprintf(p.std.Out, "\n--- %s ping statistics ---\n%d packets transmitted, %d packets received, %d%% packet loss\n",
		host, sent, received, (sent-received)*100/sent)
	if received == 0 {
		return 1
	}
	return 0
}

// packet is an echo request (RFC 792, RFC 4443): type, code, checksum, id, sequence number, data. The kernel fills in the checksum of
// ICMPv6, and the id where the socket is not raw.
func (p *pinger) packet(seq uint16) []byte {
	b := make([]byte, 8+p.size)
	if b[0] = 8; p.six {
		b[0] = 128
	}
	binary.BigEndian.PutUint16(b[4:], p.id)
	binary.BigEndian.PutUint16(b[6:], seq)
	if !p.six {
		binary.BigEndian.PutUint16(b[2:], checksum(b))
	}
	return b
}

// checksum is the Internet checksum (RFC 1071).
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// once sends one request and waits for its answer; it gives the time it took and the TTL, 0 where the socket doesn't say.
func (p *pinger) once(seq uint16, patience time.Duration) (took time.Duration, ttl int, err error) {
	var to unix.Sockaddr
	if p.six {
		_ = unix.SetsockoptInt(p.fd, unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1)
		to = &unix.SockaddrInet6{Addr: [16]byte(p.ip.To16()), ZoneId: uint32(p.zone)}
	} else {
		to = &unix.SockaddrInet4{Addr: [4]byte(p.ip.To4())}
		_ = unix.SetsockoptInt(p.fd, unix.IPPROTO_IP, unix.IP_RECVTTL, 1) // without it the TTL is shown as 0
	}
	start := time.Now()
	if err := unix.Sendto(p.fd, p.packet(seq), 0, to); err != nil {
		return 0, 0, err
	}
	for {
		left := patience - time.Since(start)
		if left <= 0 {
			return 0, 0, os.ErrDeadlineExceeded
		}
		// The rest of the wait as a timeout of the socket; 0 would be no timeout.
		tv := unix.NsecToTimeval(max(left.Nanoseconds(), 1000))
		if err := unix.SetsockoptTimeval(p.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
			return 0, 0, err
		}
		ttl, ours, err := p.receive(seq)
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, 0, err
		case ours:
			return time.Since(start), ttl, nil
		}
	}
}

// receive reads one packet and reports whether it is the answer to seq.
func (p *pinger) receive(seq uint16) (ttl int, ours bool, err error) {
	b, control := make([]byte, 65536), make([]byte, 128)
	n, controlSize, _, _, err := unix.Recvmsg(p.fd, b, control, 0)
	if err != nil {
		return 0, false, err
	}
	b = b[:n]
	if messages, err := unix.ParseSocketControlMessage(control[:controlSize]); err == nil {
		for _, m := range messages {
			four := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_TTL
			six := m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_HOPLIMIT
			if (four || six) && len(m.Data) >= 4 {
				ttl = int(binary.NativeEndian.Uint32(m.Data))
			}
		}
	}
	if p.raw && !p.six { // a raw IPv4 socket gives the IP header too, whose length is in words of 32 bits
		if len(b) < 20 || len(b) < int(b[0]&15)*4 {
			return 0, false, nil
		}
		b = b[b[0]&15*4:]
	}
	reply := byte(0)
	if p.six {
		reply = 129
	}
	ours = len(b) >= 8 && b[0] == reply && binary.BigEndian.Uint16(b[6:]) == seq && (!p.raw || binary.BigEndian.Uint16(b[4:]) == p.id)
	return ttl, ours, nil
}
