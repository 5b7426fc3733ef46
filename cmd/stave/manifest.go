// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/distribution/reference"
	"github.com/urfave/cli/v2"

	"stave/engine/manifests"
	"stave/registry"
	"stave/registry/remote"
)

// manifestCommand makes lists of images for several platforms.
func manifestCommand() *cli.Command {
	insecure := func() cli.Flag { return on("insecure", "", "speak to the registries without TLS, if they have none") }
	return group("manifest", "put images for several platforms under one name",
		verb(&cli.Command{
			Name: "create", Usage: "make a list of manifests that are in a registry, to be pushed", ArgsUsage: "MANIFEST_LIST MANIFEST [MANIFEST...]",
			Flags: []cli.Flag{on("amend", "a", "add to a list that is there already"), insecure()},
		}, 2, -1, createList),
		verb(&cli.Command{
			Name: "annotate", Usage: "say what platform a manifest of a list is for", ArgsUsage: "MANIFEST_LIST MANIFEST",
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "arch", Usage: "the `architecture`, as Go calls it"},
				&cli.StringFlag{Name: "os", Usage: "the operating `system`, as Go calls it"},
				&cli.StringSliceFlag{Name: "os-features", Usage: "a `feature` that the operating system needs", KeepSpace: true},
				&cli.StringFlag{Name: "os-version", Usage: "the operating system's `version`"},
				&cli.StringFlag{Name: "variant", Usage: "the architecture's `variant`"},
			},
		}, 2, 2, annotateManifest),
		verb(&cli.Command{
			Name: "inspect", Usage: "show a list that is put together here, or a manifest or list of a registry", ArgsUsage: "[MANIFEST_LIST] MANIFEST",
			Flags: []cli.Flag{insecure(), on("verbose", "v", "show the descriptor and the manifests of a list, too")},
		}, 1, 2, inspectManifest),
		verb(&cli.Command{
			Name: "push", Usage: "copy a list and its manifests to the registry of its name", ArgsUsage: "MANIFEST_LIST",
			Flags: []cli.Flag{insecure(), on("purge", "p", "forget the list here when it is pushed")},
		}, 1, 1, pushList),
		verb(&cli.Command{
			Name: "rm", Usage: "forget lists that are put together here", ArgsUsage: "MANIFEST_LIST [MANIFEST_LIST...]",
		}, 1, -1, removeLists),
	)
}

// openLists opens the lists of the state folder. With --insecure the registries of some names are spoken to without TLS.
func openLists(c *cli.Context, names ...reference.Named) (*manifests.Lists, error) {
	state, err := stateDir()
	if err != nil {
		return nil, err
	}
	client := registryClient()
	if c.Bool("insecure") {
		for _, name := range names {
			client.PlainHTTP = append(client.PlainHTTP, reference.Domain(name))
		}
	}
	return manifests.Open(state, repositoryOf(client)), nil
}

// repositoryOf opens repositories through a client.
func repositoryOf(client *remote.Client) func(named reference.Named) (registry.Store, error) {
	return func(named reference.Named) (registry.Store, error) { return client.Repository(named) }
}

// namesOf reads the names of the command line.
func namesOf(words []string) (names []reference.Named, err error) {
	for _, word := range words {
		named, err := registry.ParseReference(word)
		if err != nil {
			return nil, err
		}
		names = append(names, named)
	}
	return names, nil
}

// createList makes a list.
func createList(ctx context.Context, c *cli.Context) error {
	names, err := namesOf(c.Args().Slice())
	if err != nil {
		return err
	}
	lists, err := openLists(c, names...)
	if err != nil {
		return err
	}
	if err := lists.Create(ctx, names[0], names[1:], c.Bool("amend")); err != nil {
		return err
	}
	fmt.Println("Created manifest list", names[0])
	return nil
}

// annotateManifest changes what a list says of a manifest.
func annotateManifest(_ context.Context, c *cli.Context) error {
	names, err := namesOf(c.Args().Slice()[:1])
	if err != nil {
		return err
	}
	lists, err := openLists(c)
	if err != nil {
		return err
	}
	return lists.Change(names[0], func(l *manifests.List) (*manifests.List, error) {
		if l == nil {
			_, err := lists.Get(names[0])
			return nil, err
		}
		e, err := l.Find(c.Args().Get(1))
		if err != nil {
			return nil, err
		}
		return l, e.Annotate(manifests.Annotation{
			Architecture: c.String("arch"), OS: c.String("os"), OSVersion: c.String("os-version"), Variant: c.String("variant"), OSFeatures: c.StringSlice("os-features"),
		})
	})
}

// inspectManifest shows a list that is here, a manifest of it, or what a registry has.
func inspectManifest(ctx context.Context, c *cli.Context) error {
	names, err := namesOf(c.Args().Slice()[:1])
	if err != nil {
		return err
	}
	lists, err := openLists(c, names...)
	if err != nil {
		return err
	}
	list, err := lists.Get(names[0])
	switch {
	case c.NArg() == 2 && err != nil:
		return err
	case c.NArg() == 2:
		e, err := list.Find(c.Args().Get(1))
		if err != nil {
			return err
		}
		return showEntries(ctx, c, lists, []manifests.Entry{*e})
	case err == nil && c.Bool("verbose"):
		return showEntries(ctx, c, lists, list.Entries)
	case err == nil:
		return printIndented(list.Index())
	case !errors.Is(err, manifests.ErrNotFound):
		return err
	}
	return showRemote(ctx, c, lists, names[0])
}

// detailed is what --verbose shows of a manifest.
type detailed struct {
	Ref        string
	Descriptor any
	Manifest   json.RawMessage
}

// showRemote shows what a registry has under a name.
func showRemote(ctx context.Context, c *cli.Context, lists *manifests.Lists, named reference.Named) error {
	d, data, err := lists.Fetch(ctx, named)
	if err != nil {
		return err
	}
	if !c.Bool("verbose") {
		return printIndented(json.RawMessage(data))
	}
	if !registry.IsIndex(d.MediaType) {
		return printIndented(detailed{named.String(), d, data})
	}
	index, err := registry.DecodeIndex(d, data)
	if err != nil {
		return err
	}
	list := manifests.List{Name: named.String()}
	for _, one := range index.Manifests {
		byDigest, err := reference.WithDigest(reference.TrimNamed(named), one.Digest)
		if err != nil {
			return err
		}
		list.Entries = append(list.Entries, manifests.Entry{From: byDigest.String(), Descriptor: one})
	}
	return showEntries(ctx, c, lists, list.Entries)
}

// showEntries shows manifests of a list: with --verbose each with its descriptor.
func showEntries(ctx context.Context, c *cli.Context, lists *manifests.Lists, entries []manifests.Entry) error {
	var all []detailed
	for _, e := range entries {
		from, err := reference.ParseNormalizedNamed(e.From)
		if err != nil {
			return err
		}
		byDigest, err := reference.WithDigest(reference.TrimNamed(from), e.Descriptor.Digest)
		if err != nil {
			return err
		}
		_, data, err := lists.Fetch(ctx, byDigest)
		if err != nil {
			return err
		}
		all = append(all, detailed{e.From, e.Descriptor, data})
	}
	switch {
	case c.NArg() == 2 && c.Bool("verbose"):
		return printIndented(all[0])
	case c.NArg() == 2:
		return printIndented(all[0].Manifest)
	}
	return printIndented(all)
}

// printIndented prints JSON for people, with the fields in their order.
func printIndented(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, data, "", "   "); err != nil {
		return err
	}
	_, err = fmt.Fprintln(os.Stdout, out.String())
	return err
}

// pushList pushes a list and prints its digest.
func pushList(ctx context.Context, c *cli.Context) error {
	names, err := namesOf(c.Args().Slice())
	if err != nil {
		return err
	}
	lists, err := openLists(c, names...)
	if err != nil {
		return err
	}
	id, err := lists.Push(ctx, names[0])
	if err != nil {
		return err
	}
	fmt.Println(id)
	if c.Bool("purge") {
		return lists.Remove(names[0])
	}
	return nil
}

// removeLists forgets lists.
func removeLists(_ context.Context, c *cli.Context) error {
	names, err := namesOf(c.Args().Slice())
	if err != nil {
		return err
	}
	lists, err := openLists(c)
	if err != nil {
		return err
	}
	var failed []error
	for _, name := range names {
		failed = append(failed, lists.Remove(name))
	}
	return errors.Join(failed...)
}
