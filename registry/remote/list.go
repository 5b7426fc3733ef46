// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/distribution/reference"
)

// The limits of lists: of the bytes of a page, of pages, and of names.
const (
	maxPage  = 4 << 20
	maxPages = 2_000
	maxNames = 1_000_000
	pageSize = "1000"
)

// pages gets a list page by page and gives each to take. The next page is where the header Link points to, on the same host.
func (c *Client) pages(ctx context.Context, q *request, take func(*http.Response, []byte) error) error {
	seen := map[string]bool{}
	for range maxPages {
		seen[q.url.String()] = true
		response, err := c.ok(ctx, q, http.StatusOK)
		if err != nil {
			return err
		}
		text, err := readAll(response.Body, maxPage)
		drain(response)
		if err != nil {
			return err
		}
		if err := take(response, text); err != nil {
			return err
		}
		target, found := parseLink(response.Header.Values("Link"))
		if !found {
			return nil
		}
		next, err := q.url.Parse(target)
		switch {
		case err != nil || !sameHost(next, q.url):
			return fmt.Errorf("%w: the next page is somewhere else: %s", errRefused, printable(target, 200))
		case seen[next.String()]:
			return fmt.Errorf("%w: the pages go in circles: %s", errRefused, printable(target, 200))
		}
		further := *q
		further.url = next
		q = &further
	}
	return fmt.Errorf("%w: a list of more than %d pages", errRefused, maxPages)
}

// parseLink finds the next page in the values of Link (RFC 8288):
//
//	Link: </v2/_catalog?last=app&n=100>; rel="next"
func parseLink(values []string) (target string, found bool) {
	for _, rest := range values {
		for {
			_, after, ok := strings.Cut(rest, "<")
			if !ok {
				break
			}
			target, parameters, ok := strings.Cut(after, ">")
			if !ok {
				break
			}
			parameters, rest, _ = strings.Cut(parameters, ",")
			for parameter := range strings.SplitSeq(parameters, ";") {
				name, value, _ := strings.Cut(parameter, "=")
				relations := strings.Fields(strings.Trim(strings.TrimSpace(value), `"`))
				if strings.EqualFold(strings.TrimSpace(name), "rel") && slices.ContainsFunc(relations, isNext) {
					return strings.TrimSpace(target), true
				}
			}
		}
	}
	return "", false
}

// isNext says whether a relation is the one to the next page.
func isNext(relation string) bool { return strings.EqualFold(relation, "next") }

// names gets a list of names, of which each page is an object with them in one field, and puts them in order.
func (c *Client) names(ctx context.Context, q *request, field string, valid func(string) bool) ([]string, error) {
	var all []string
	err := c.pages(ctx, q, func(_ *http.Response, text []byte) error {
		var page map[string]json.RawMessage
		var names []string
		if err := json.Unmarshal(text, &page); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		if value, ok := page[field]; ok {
			if err := json.Unmarshal(value, &names); err != nil {
				return fmt.Errorf("read the answer: %s: %w", field, err)
			}
		}
		for _, name := range names {
			if !valid(name) {
				return fmt.Errorf("%w: the answer has a name that is none: %s", errRefused, printable(fmt.Sprintf("%q", name), 150))
			}
		}
		if all = append(all, names...); len(all) > maxNames {
			return fmt.Errorf("%w: a list of more than %d names", errRefused, maxNames)
		}
		return nil
	})
	slices.Sort(all)
	return slices.Compact(all), err
}

// Tags lists the tags of the repository. They are asked for when the first one is wanted, and all at once: registries give
// them in orders of their own.
func (r *Repository) Tags(ctx context.Context) iter.Seq2[string, error] {
	q := func() *request {
		return r.request(ctx, r.upstream(), http.MethodGet, "tags/list", url.Values{"n": {pageSize}})
	}
	return sequence(func() ([]string, error) {
		names, err := r.client.names(ctx, q(), "tags", func(name string) bool { return reference.TagRegexp.FindString(name) == name && name != "" })
		if err != nil {
			return nil, fmt.Errorf("list the tags of %s: %w", r.Name(), err)
		}
		return names, nil
	})
}

// Catalog lists the repositories of a registry. Many registries don't allow that, Docker Hub among them.
func (c *Client) Catalog(ctx context.Context, host string) iter.Seq2[string, error] {
	return sequence(func() ([]string, error) {
		names, err := c.catalog(ctx, host)
		if err != nil {
			return nil, fmt.Errorf("list the repositories of %s: %w", host, err)
		}
		return names, nil
	})
}

// catalog gets the names of all repositories.
func (c *Client) catalog(ctx context.Context, host string) ([]string, error) {
	e := upstream(host)
	q := &request{
		method: http.MethodGet, url: c.url(ctx, e, "_catalog", url.Values{"n": {pageSize}}), where: e,
		scope: "registry:catalog:*", tries: c.retries(),
	}
	return c.names(ctx, q, "repositories", func(name string) bool {
		_, err := reference.WithName(name)
		return err == nil
	})
}

// sequence gives names one by one, or the error that there was in their place.
func sequence(get func() ([]string, error)) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		names, err := get()
		if err != nil {
			yield("", err)
			return
		}
		for _, name := range names {
			if !yield(name, nil) {
				return
			}
		}
	}
}
