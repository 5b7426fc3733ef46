// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"stave/registry"
)

// Found is a repository that a search found. Its texts have no control characters.
type Found struct {
	Name        string // as the registry calls it: library/busybox, or busybox at Docker Hub
	Description string
	Stars       int
	Official    bool
	Automated   bool
}

// maxFound is how many repositories a search may find.
const maxFound = 100

// Search finds repositories of a registry by a word, at most limit (1 to 100). Docker Hub has a search; of a registry that has none
// the names are looked through.
func (c *Client) Search(ctx context.Context, host, term string, limit int) ([]Found, error) {
	if limit < 1 || limit > maxFound {
		return nil, fmt.Errorf("search for %d repositories: the limit is between 1 and %d", limit, maxFound)
	}
	found, err := c.search(ctx, host, term, limit)
	var answer *Error
	if errors.As(err, &answer) && (answer.Is(registry.ErrNotFound) || answer.Is(registry.ErrUnsupported) || answer.Status == http.StatusBadRequest) {
		found, err = c.searchNames(ctx, host, term, limit)
	}
	if err != nil {
		return nil, fmt.Errorf("search %s for %s: %w", host, term, err)
	}
	return found, nil
}

// search asks the search of a registry, from before there was a distribution-spec:
//
//	{"results": [{"name": "busybox", "description": "…", "star_count": 42, "is_official": true, "is_automated": false}]}
func (c *Client) search(ctx context.Context, host, term string, limit int) ([]Found, error) {
	e := endpoint{registry: host, host: orElse(servers[host].search, host)}
	u := c.url(ctx, e, "", url.Values{"q": {term}, "n": {strconv.Itoa(limit)}})
	u.Path = "/v1/search"
	q := &request{method: http.MethodGet, url: u, where: e, scope: "registry:search", tries: c.retries(), header: http.Header{"Accept": {"application/json"}}}
	response, err := c.ok(ctx, q, http.StatusOK)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := readAll(response.Body, maxPage)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Results []struct {
			Name        string `json:"name"`
			Description string `json:"description"`
			Stars       int    `json:"star_count"`
			Official    bool   `json:"is_official"`
			Automated   bool   `json:"is_automated"`
		} `json:"results"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	var all []Found
	for _, f := range answer.Results[:min(len(answer.Results), limit)] {
		all = append(all, Found{printable(f.Name, 255), printable(f.Description, 1000), f.Stars, f.Official, f.Automated})
	}
	return all, nil
}

// searchNames looks through the names of all repositories.
func (c *Client) searchNames(ctx context.Context, host, term string, limit int) ([]Found, error) {
	names, err := c.catalog(ctx, host)
	var all []Found
	for _, name := range names {
		if strings.Contains(name, strings.ToLower(term)) && len(all) < limit {
			all = append(all, Found{Name: name})
		}
	}
	return all, err
}
