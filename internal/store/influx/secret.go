package influx

import (
	"encoding/base64"
	"fmt"
	"os"
	"strings"

	"flowsensor/internal/setting"
)

// maxSecret bounds what is read from a secret's file.
const maxSecret = 16 << 10

// credentials is the value of the Authorization header and the words of it that must not be repeated.
type credentials struct {
	header string
	words  []string
}

// readCredentials reads the files that c names.
func readCredentials(c Config) (credentials, error) {
	if c.Username != "" {
		password, err := readSecret(c.PasswordFile)
		if err != nil {
			return credentials{}, setting.KeyError{Key: "password_file", Err: err}
		}
		basic := base64.StdEncoding.EncodeToString([]byte(c.Username + ":" + password))
		return credentials{header: "Basic " + basic, words: []string{basic, password}}, nil
	}
	if c.TokenFile == "" {
		return credentials{}, nil
	}
	token, err := readSecret(c.TokenFile)
	if err != nil {
		return credentials{}, setting.KeyError{Key: "token_file", Err: err}
	}
	if token == "" {
		return credentials{}, nil
	}
	scheme := "Token "
	if c.API == V3 {
		scheme = "Bearer "
	}
	cr := credentials{header: scheme + token, words: []string{token}}
	if _, password, ok := strings.Cut(token, ":"); ok && password != "" { // InfluxDB 1.8 takes user:password as a token
		cr.words = append(cr.words, password)
	}
	return cr, nil
}

// readSecret reads one line of printable ASCII from a file that not everybody may read. Its errors do not repeat it.
func readSecret(path string) (string, error) {
	info, err := os.Stat(path) // follows links: systemd hands credentials over as one
	if err != nil {
		return "", err
	}
	switch {
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is not a regular file", path)
	case info.Mode().Perm()&0o007 != 0:
		return "", fmt.Errorf("%s is open to everybody (mode %04o): chmod 0640 %s", path, info.Mode().Perm(), path)
	case info.Size() > maxSecret:
		return "", fmt.Errorf("%s is too long for a secret: %d bytes", path, info.Size())
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(raw))
	for _, r := range secret {
		if r < ' ' || r > '~' {
			return "", fmt.Errorf("%s must hold one line of printable ASCII", path)
		}
	}
	return secret, nil
}

// redact takes the secrets out of text that came from elsewhere.
func (c credentials) redact(text string) string {
	for _, word := range c.words {
		if word != "" {
			text = strings.ReplaceAll(text, word, "[redacted]")
		}
	}
	return text
}
