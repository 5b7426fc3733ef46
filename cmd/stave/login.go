// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"stave/registry/credentials"
)

// hub is the registry of names that name none.
const hub = "docker.io"

// loginCommand logs in to a registry.
func loginCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "login", Usage: "log in to a registry", ArgsUsage: "[SERVER]",
		Description: "Asks the registry (Docker Hub if none is named) whether it knows the user, and keeps the password where docker does: in\n" +
			"config.json in ~/.docker or $DOCKER_CONFIG, or with the credential helper that is named there.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "username", Aliases: []string{"u"}, Usage: "the user's `name`"},
			&cli.StringFlag{Name: "password", Aliases: []string{"p"}, Usage: "the `password` or token, for all to see in the list of processes"},
			on("password-stdin", "", "read the password or token from standard input"),
		},
	}, 0, 1, login)
}

// login asks for what the options leave out, then the registry, and keeps the answer.
func login(ctx context.Context, c *cli.Context) error {
	host := hostOf(c.Args().First())
	store := credentials.Default(os.Getenv)
	credential, err := loginCredential(ctx, c, store, host)
	if err != nil {
		return err
	}
	kept, err := registryClient().Login(ctx, host, credential)
	if err != nil {
		return err
	}
	if err := store.Put(ctx, host, kept); err != nil {
		return err
	}
	fmt.Println("Login Succeeded")
	return nil
}

// loginCredential is what the options say of the user, or what he types; of one who isn't named, what is known.
func loginCredential(ctx context.Context, c *cli.Context, store credentials.Store, host string) (credentials.Credential, error) {
	credential := credentials.Credential{Username: c.String("username"), Password: c.String("password")}
	fromInput := c.Bool("password-stdin")
	switch {
	case c.IsSet("password") && fromInput:
		return credential, exitError{codeOwn, errors.New("--password and --password-stdin are two ways to say the same: leave one out")}
	case (c.IsSet("password") || fromInput) && credential.Username == "":
		return credential, exitError{codeOwn, errors.New("whose password? Name the user with --username")}
	case c.IsSet("password"):
		fmt.Fprintln(os.Stderr, "WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
		return credential, nil
	case fromInput:
		text, err := io.ReadAll(io.LimitReader(input(ctx), 1<<16))
		credential.Password = strings.TrimRight(string(text), "\r\n")
		if err == nil && credential.Password == "" {
			err = errors.New("--password-stdin: standard input is empty")
		}
		return credential, err
	}
	if known, err := store.Get(ctx, host); err == nil && !known.Empty() && credential.Username == "" {
		fmt.Println("Authenticating with existing credentials...")
		if _, err := registryClient().Login(ctx, host, known); err == nil {
			return known, nil
		}
	}
	return typed(ctx, credential, host)
}

// typed asks on the terminal for what is missing.
func typed(ctx context.Context, credential credentials.Credential, host string) (credentials.Credential, error) {
	in := int(os.Stdin.Fd())
	if !term.IsTerminal(in) {
		return credential, errors.New("there is no terminal to ask for user and password on: give --username and --password-stdin")
	}
	if credential.Username == "" {
		fmt.Printf("Username for %s: ", host)
		name, err := line(ctx)
		if err != nil {
			return credential, fmt.Errorf("read the user's name: %w", err)
		}
		if credential.Username = strings.TrimSpace(name); credential.Username == "" {
			return credential, errors.New("the user's name is empty")
		}
	}
	fmt.Print("Password: ")
	password, err := hidden(ctx, in)
	fmt.Println()
	if err != nil {
		return credential, fmt.Errorf("read the password: %w", err)
	}
	if credential.Password = password; credential.Password == "" {
		return credential, errors.New("the password is empty")
	}
	return credential, nil
}

// logoutCommand forgets a password.
func logoutCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "logout", Usage: "log out from a registry", ArgsUsage: "[SERVER]",
	}, 0, 1, func(ctx context.Context, c *cli.Context) error {
		host := hostOf(c.Args().First())
		found, err := credentials.Default(os.Getenv).Erase(ctx, host)
		if err != nil {
			return err
		}
		if !found {
			fmt.Println("Not logged in to", host)
			return nil
		}
		fmt.Println("Removing login credentials for", host)
		return nil
	})
}

// hostOf is the registry that a word of the command line means, which may be a URL as docker login takes it.
func hostOf(word string) string {
	word = strings.TrimPrefix(strings.TrimPrefix(word, "https://"), "http://")
	word, _, _ = strings.Cut(word, "/")
	switch word {
	case "", "index.docker.io", "registry-1.docker.io":
		return hub
	}
	return word
}
