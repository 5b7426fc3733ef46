// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"stave/registry/server"
)

// registryCommand is what has to do with registries besides their images.
func registryCommand() *cli.Command {
	serve := &cli.Command{
		Name:      "serve",
		Usage:     "serve images from a folder to stave, docker, podman and others",
		ArgsUsage: " ",
		Description: "Each repository is a folder below the root, an OCI image layout that skopeo and others can read.\n" +
			"/ is a page for people, /healthz says whether the registry works, /metrics has numbers for Prometheus.\n" +
			"What no manifest needs is collected every --gc-interval, and on SIGUSR1. SIGTERM and SIGINT end the registry once the\n" +
			"requests under way are answered; what of an upload has come by then is kept, so that the client can go on later.\n" +
			"Passwords: htpasswd -B -c FILE NAME makes the file for --htpasswd, which is read again when it changes.",
		Flags:        registryFlags(),
		Action:       serveRegistry,
		OnUsageError: usageError,
	}
	return &cli.Command{
		Name: "registry", Usage: "run a registry", HideHelpCommand: true, Subcommands: []*cli.Command{serve},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return fmt.Errorf("unknown command %q; stave registry --help lists them", c.Args().First())
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

// registryFlags are the options of stave registry serve.
func registryFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "addr", Value: "127.0.0.1:5000", Usage: "listen on this `HOST:PORT`; port 0 takes a free one"},
		&cli.StringFlag{Name: "root", Usage: "keep the images in this `folder` (registry below stave's state otherwise)"},
		&cli.StringFlag{Name: "tls-cert", Usage: "the server's certificate, and what it was signed with, in a PEM `file`"},
		&cli.StringFlag{Name: "tls-key", Usage: "the key of the certificate in a PEM `file`"},
		&cli.BoolFlag{Name: "insecure", Usage: "speak plain http on an address that others can reach", DisableDefaultText: true},
		&cli.StringFlag{Name: "htpasswd", Usage: "ask for a name and password of this `file` (bcrypt)"},
		&cli.StringFlag{Name: "auth", Value: "basic", Usage: "`how` they are asked for: basic, each time; or token, once for each token of five minutes"},
		&cli.BoolFlag{Name: "read-only", Usage: "refuse every change", DisableDefaultText: true},
		&cli.DurationFlag{Name: "gc-interval", Value: time.Hour, Usage: "collect what no manifest needs each `time`; 0: on SIGUSR1 alone"},
		&cli.DurationFlag{Name: "gc-grace", Value: 24 * time.Hour, Usage: "keep a new blob without a manifest, and an upload that nobody goes on with, for this `time`"},
		&cli.BoolFlag{Name: "delete-untagged", Usage: "collect manifests without a tag, too", DisableDefaultText: true},
		&cli.BoolFlag{Name: "mount-any", Usage: "let a push take a layer over from any repository, not from a named one alone", DisableDefaultText: true},
		&cli.BoolFlag{Name: "log", Usage: "write a line for each request to standard error", DisableDefaultText: true},
	}
}

// serveRegistry serves until a signal comes.
func serveRegistry(c *cli.Context) error {
	if c.Args().Present() {
		return fmt.Errorf("registry serve takes no arguments, but got %q; --root names the folder", c.Args().Slice())
	}
	o, err := registryOptions(c)
	if err != nil {
		return err
	}
	security, err := registryTLS(c)
	if err != nil {
		return err
	}
	listener, err := listenRegistry(c.String("addr"), security, c.Bool("insecure"))
	if err != nil {
		return err
	}
	defer listener.Close()
	root, err := registryRoot(c)
	if err != nil {
		return err
	}
	handler, err := server.Open(root, o)
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	defer handler.Close()
	scheme := "http"
	if security != nil {
		scheme = "https"
	}
	fmt.Printf("serving %s on %s://%s\n", root, scheme, listener.Addr())
	var interval time.Duration
	if !o.ReadOnly {
		interval = c.Duration("gc-interval")
	}
	return runRegistry(handler, listener, security, interval, !o.ReadOnly)
}

// registryRoot is the folder of the images.
func registryRoot(c *cli.Context) (string, error) {
	if root := c.String("root"); root != "" {
		return root, nil
	}
	state, err := stateDir()
	return filepath.Join(state, "registry"), err
}

// registryOptions are the options of the registry proper.
func registryOptions(c *cli.Context) (server.Options, error) {
	o := server.Options{
		ReadOnly: c.Bool("read-only"), Grace: c.Duration("gc-grace"), DeleteUntagged: c.Bool("delete-untagged"),
		MountAny: c.Bool("mount-any"), Problem: registryProblem,
	}
	if c.Bool("log") {
		o.Log = os.Stderr
	}
	if o.Grace <= 0 || c.Duration("gc-interval") < 0 {
		return o, errors.New("--gc-grace is above 0, or a push could lose its blobs before its manifest comes; --gc-interval is not below 0")
	}
	switch how := c.String("auth"); {
	case how != "basic" && how != "token":
		return o, fmt.Errorf("--auth is basic or token, not %q", how)
	case c.String("htpasswd") == "" && c.IsSet("auth"):
		return o, errors.New("--auth needs --htpasswd FILE with the names and passwords; htpasswd -B -c FILE NAME makes one")
	case c.String("htpasswd") == "":
		return o, nil
	}
	accounts, err := server.OpenAccounts(c.String("htpasswd"), registryProblem)
	if err != nil {
		return o, fmt.Errorf("--htpasswd: %w", err)
	}
	o.Accounts, o.Tokens = accounts, c.String("auth") == "token"
	return o, nil
}

// registryProblem tells of what no client is told.
func registryProblem(err error) { fmt.Fprintln(os.Stderr, "stave: registry:", err) }

// registryTLS reads the certificate and its key; nil is plain http.
func registryTLS(c *cli.Context) (*tls.Config, error) {
	certificate, key := c.String("tls-cert"), c.String("tls-key")
	if certificate == "" && key == "" {
		return nil, nil
	}
	if certificate == "" || key == "" {
		return nil, errors.New("--tls-cert and --tls-key belong together: give both")
	}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert %s, --tls-key %s: %w", certificate, key, err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// listenRegistry listens. Passwords and images must not go over a network in the clear unless somebody says so.
func listenRegistry(address string, security *tls.Config, insecure bool) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("--addr %s is not of the form HOST:PORT: %w", address, err)
	}
	ip := net.ParseIP(host)
	if loopback := host == "localhost" || ip != nil && ip.IsLoopback(); security == nil && !loopback && !insecure {
		return nil, fmt.Errorf("--addr %s can be reached from elsewhere: give --tls-cert and --tls-key, or --insecure for plain http", address)
	}
	listener, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("--addr %s is in use by another program: choose another port, or 0 for a free one", address)
	}
	return listener, err
}

// runRegistry answers requests until SIGTERM or SIGINT, and collects each interval and on SIGUSR1.
func runRegistry(handler *server.Server, listener net.Listener, security *tls.Config, interval time.Duration, collects bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	web := &http.Server{
		Handler: handler, TLSConfig: security, ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, ErrorLog: log.New(problemWriter{}, "", 0),
	}
	collector := make(chan struct{})
	go func() {
		defer close(collector)
		collectRegistry(ctx, handler, interval, collects)
	}()
	served := make(chan error, 1)
	go func() {
		if security != nil {
			served <- web.ServeTLS(listener, "", "")
			return
		}
		served <- web.Serve(listener)
	}()
	select {
	case err := <-served:
		stop()
		<-collector
		return err
	case <-ctx.Done():
	}
	stop() // a second signal ends it at once
	patience, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err := web.Shutdown(patience)
	if errors.Is(err, context.DeadlineExceeded) {
		err = web.Close() // an upload that has been cut off is kept
	}
	<-collector
	return err
}

// problemWriter tells what net/http has to say, but for handshakes that clients broke off: a port scan is no problem.
type problemWriter struct{}

// Write tells one line.
func (problemWriter) Write(line []byte) (int, error) {
	if text := strings.TrimSpace(string(line)); !strings.Contains(text, "TLS handshake error") {
		registryProblem(errors.New(text))
	}
	return len(line), nil
}

// collectRegistry collects until the context ends. A signal that comes while a collection runs is served after it.
func collectRegistry(ctx context.Context, handler *server.Server, interval time.Duration, collects bool) {
	now := make(chan os.Signal, 1)
	signal.Notify(now, syscall.SIGUSR1)
	defer signal.Stop(now)
	var tick <-chan time.Time
	if interval > 0 {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-now:
			asked = true
		case <-tick:
		}
		if !collects {
			registryProblem(errors.New("it is read-only: nothing is collected"))
			continue
		}
		done, err := handler.Collect(ctx)
		if err != nil {
			registryProblem(fmt.Errorf("collection: %w", err))
		}
		if asked || done.Blobs+done.Uploads+done.Manifests > 0 {
			fmt.Printf("collected %d blobs, %d uploads and %d manifests, %d bytes\n", done.Blobs, done.Uploads, done.Manifests, done.Bytes)
		}
	}
}
