// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"

	"github.com/docker/docker-credential-helpers/credentials"
)

// Credential is what a registry is told about its user. The zero value is a user without a name.
type Credential struct {
	Username, Password string
	// IdentityToken is what a registry's token service gave in exchange for the password (an OAuth 2 refresh token).
	IdentityToken string
	// RegistryToken is a bearer token to be sent as it is.
	RegistryToken string
}

// Empty says whether there is nothing to tell.
func (c Credential) Empty() bool { return c == Credential{} }

// tokenUser is the user name under which a credential helper keeps an identity token.
const tokenUser = "<token>"

// entry is what config.json says of one registry:
//
//	"auths": {"registry.example": {"auth": "dXNlcjpwYXNzd29yZA==", "identitytoken": "…"}}
type entry struct {
	Auth          string `json:"auth"`
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

// decodeEntry reads one value of auths.
func decodeEntry(text json.RawMessage) (Credential, error) {
	var e entry
	if err := json.Unmarshal(text, &e); err != nil {
		return Credential{}, err
	}
	c := Credential{Username: e.Username, Password: e.Password, IdentityToken: e.IdentityToken, RegistryToken: e.RegistryToken}
	if e.Auth == "" {
		return c, nil
	}
	plain, err := base64.StdEncoding.DecodeString(e.Auth)
	if err != nil {
		return Credential{}, errors.New("its auth is not base64")
	}
	user, password, found := strings.Cut(string(plain), ":")
	if !found || user == "" {
		return Credential{}, errors.New("its auth is not USER:PASSWORD in base64")
	}
	c.Username, c.Password = user, strings.Trim(password, "\x00")
	return c, nil
}

// encodeEntry writes a credential into a value of auths, of which old may be an earlier one with further fields.
func encodeEntry(c Credential, old json.RawMessage) (json.RawMessage, error) {
	fields := map[string]json.RawMessage{}
	if len(old) == 0 || json.Unmarshal(old, &fields) != nil || fields == nil { // an old value that is no object is replaced
		fields = map[string]json.RawMessage{}
	}
	password := c.Password
	if c.IdentityToken != "" {
		password = "" // the token is there in its place
	}
	auth := ""
	if c.Username != "" {
		auth = base64.StdEncoding.EncodeToString([]byte(c.Username + ":" + password))
	}
	for name, value := range map[string]string{"auth": auth, "username": "", "password": "", "identitytoken": c.IdentityToken, "registrytoken": c.RegistryToken} {
		delete(fields, name)
		if value == "" {
			continue
		}
		text, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		fields[name] = text
	}
	return json.Marshal(fields)
}

// ofHelper is the credential that a helper gave.
func ofHelper(c *credentials.Credentials) Credential {
	if c.Username == tokenUser {
		return Credential{IdentityToken: c.Secret}
	}
	return Credential{Username: c.Username, Password: c.Secret}
}

// forHelper is a credential as a helper keeps it.
func forHelper(server string, c Credential) *credentials.Credentials {
	if c.IdentityToken != "" {
		return &credentials.Credentials{ServerURL: server, Username: tokenUser, Secret: c.IdentityToken}
	}
	return &credentials.Credentials{ServerURL: server, Username: c.Username, Secret: c.Password}
}
