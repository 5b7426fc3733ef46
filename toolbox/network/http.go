// SPDX-License-Identifier: Apache-2.0

package network

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"stave/toolbox/tool"
)

// Wget fetches a file: wget [-q] [-S] [-O FILE] [-T SECONDS] [--header LINE]… [--post-data TEXT] URL. -O - is standard output.
func Wget(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "qSO:T:H:D:P:", "quiet=q", "header=H", "post-data=D", "timeout=T", "output-document=O")
	if err == nil && len(o.Args) != 1 {
		err = errors.New("which URL?")
	}
	if err == nil {
		err = fetch(std, o, o.Args[0])
	}
	if err != nil {
		return std.Fail(args[0], err)
	}
	return 0
}

// fetch makes the request and stores the answer.
func fetch(std tool.IO, o *tool.Options, text string) error {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return err
	}
	patience, err := seconds(o.Value('T', "60"))
	if err != nil {
		return err
	}
	method, body := http.MethodGet, io.Reader(nil)
	if o.Has("D") {
		method, body = http.MethodPost, strings.NewReader(o.Value('D', ""))
	}
	request, err := http.NewRequest(method, text, body)
	if err != nil {
		return err
	}
	if o.Has("D") {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, line := range o.Values('H') {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return fmt.Errorf("--header %q: NAME: VALUE, please", line)
		}
		request.Header.Set(name, strings.TrimSpace(value))
	}
	client := &http.Client{Timeout: patience}
	answer, err := client.Do(request)
	if err != nil {
		return unreached(err)
	}
	defer answer.Body.Close()
	if o.Has("S") {
		fmt.Fprintf(std.Err, "  %s %s\n", answer.Proto, answer.Status)
	}
	if answer.StatusCode >= 400 {
		return fmt.Errorf("server returned error: %s %s", answer.Proto, answer.Status)
	}
	return store(std, o, u, answer.Body)
}

// unreached is an error of a request in the user's words: without a name server, where to look for the reason.
func unreached(err error) error {
	var name *net.DNSError
	switch {
	case !errors.As(err, &name):
		return err
	case name.IsNotFound:
		return fmt.Errorf("%s: no such host", name.Name)
	}
	return fmt.Errorf("%s: no name server (is there a network? see ip addr)", name.Name)
}

// store writes the answer to the file of -O, or to one named as the end of the path.
func store(std tool.IO, o *tool.Options, u *url.URL, body io.Reader) error {
	name := o.Value('O', path.Base(u.Path))
	if name == "-" {
		_, err := io.Copy(std.Out, body)
		return err
	}
	if !o.Has("O") && (name == "." || name == "/") {
		name = "index.html"
	}
	f, err := os.Create(path.Join(o.Value('P', ""), name))
	if err != nil {
		return err
	}
	n, err := io.Copy(f, body)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil && !o.Has("q") {
		fmt.Fprintf(std.Err, "saved %s, %d bytes\n", f.Name(), n)
	}
	return err
}

// Httpd serves a folder in the foreground: httpd [-f] [-v] [-p [HOST:]PORT] [-h FOLDER]. -v prints each request.
func Httpd(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "fvp:h:")
	if err == nil && len(o.Args) > 0 {
		err = fmt.Errorf("%s: unknown operand", o.Args[0])
	}
	if err != nil {
		return std.Fail(args[0], err)
	}
	address := o.Value('p', "80")
	if !strings.Contains(address, ":") {
		address = ":" + address
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return std.Fail(args[0], err)
	}
	folder := http.FileServer(http.Dir(o.Value('h', ".")))
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if o.Has("v") {
			fmt.Fprintf(std.Out, "%s %s %s\n", r.RemoteAddr, r.Method, r.URL.Path)
		}
		folder.ServeHTTP(w, r)
	})
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 30 * time.Second}
	return std.Fail(args[0], server.Serve(listener))
}
