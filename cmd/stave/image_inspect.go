// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"
)

// inspectImagesCommand tells all about images.
func inspectImagesCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "inspect", Usage: "tell all about one or more images, in JSON", ArgsUsage: "IMAGE [IMAGE...]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: "print by a `template`: json, or a Go template such as '{{.Os}}'"},
			platformFlag("fail unless the image is for this platform, `os/arch[/variant]`"),
		},
	}, 1, -1, inspectImages)
}

// inspectImages prints what is known of images; those that are not there are an error in the end.
func inspectImages(ctx context.Context, c *cli.Context) error {
	wanted, err := platform(c)
	if err != nil {
		return err
	}
	store, err := openImages(c)
	if err != nil {
		return err
	}
	var found []any
	var failed []error
	for _, word := range c.Args().Slice() {
		image, err := store.Find(ctx, word)
		if err == nil {
			err = image.For(wanted)
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		found = append(found, store.Inspect(image))
	}
	return errors.Join(append([]error{inspect(os.Stdout, c.String("format"), found)}, failed...)...)
}

// inspect prints objects as docker inspect does: in a list of JSON, or each by a template. A template may name fields as they are in Go
// or as they are in JSON.
func inspect(w io.Writer, format string, objects []any) error {
	if format == "" {
		if objects == nil {
			objects = []any{}
		}
		return printJSON(w, objects)
	}
	if format == "json" {
		format = "{{json .}}"
	}
	t, err := parseTemplate(format)
	if err != nil {
		return err
	}
	for _, object := range objects {
		var line bytes.Buffer
		if t.Execute(&line, object) != nil {
			raw, err := plainJSON(object)
			if err != nil {
				return err
			}
			line.Reset()
			if err := t.Execute(&line, raw); err != nil {
				return exitError{codeFailed, fmt.Errorf("--format: %s", strings.TrimPrefix(err.Error(), "template: "))}
			}
		}
		fmt.Fprintln(w, line.String())
	}
	return nil
}

// printJSON prints a value in JSON, indented by four blanks.
func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "    ")
	return encoder.Encode(v)
}

// plainJSON is an object as a reader of its JSON sees it.
func plainJSON(object any) (plain any, err error) {
	data, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	err = decoder.Decode(&plain)
	return plain, err
}
