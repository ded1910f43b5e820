package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
)

// exportFolder holds an export that realtime/client made (test/export.test.ts), and the test key that opens it.
const exportFolder = "../../realtime/client/testdata"

type exportKey struct {
	Identity string   `json:"identity"`
	Texts    []string `json:"texts"`
}

type exportHeader struct {
	Vigil    string `json:"vigil"`
	Session  string `json:"session"`
	Messages int    `json:"messages"`
}

type exportLine struct {
	Position int64   `json:"position"`
	Text     *string `json:"text"`
	Verified bool    `json:"verified"`
}

func readExport(t *testing.T) (sealed []byte, key exportKey) {
	t.Helper()
	sealed, err := os.ReadFile(filepath.Join(exportFolder, "export.age"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(exportFolder, "export-key.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &key); err != nil {
		t.Fatal(err)
	}
	return sealed, key
}

// TestAnExportOpensWithAge opens with age's own library, and nothing of Vigil's, what a browser exported: a person must be able
// to read it when there is no Vigil any more.
func TestAnExportOpensWithAge(t *testing.T) {
	t.Parallel()
	sealed, key := readExport(t)
	for _, text := range key.Texts {
		if bytes.Contains(sealed, []byte(text)) {
			t.Fatal("the export holds plaintext")
		}
	}
	identity, err := age.ParseX25519Identity(key.Identity)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := age.Decrypt(bytes.NewReader(sealed), identity)
	if err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(plain)
	if !scanner.Scan() {
		t.Fatal("the export is empty")
	}
	var header exportHeader
	if err := json.Unmarshal(scanner.Bytes(), &header); err != nil {
		t.Fatal(err)
	}
	if header.Vigil != "export/1" || header.Session == "" || header.Messages != len(key.Texts) {
		t.Errorf("header: %+v", header)
	}
	var got []string
	for scanner.Scan() {
		var line exportLine
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if line.Text == nil || !line.Verified || line.Position != int64(len(got)+1) {
			t.Fatalf("line %d: %+v", len(got)+1, line)
		}
		got = append(got, *line.Text)
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	if strings.Join(got, "\x00") != strings.Join(key.Texts, "\x00") {
		t.Errorf("got %q, want %q", got, key.Texts)
	}
}

// TestAnExportOpensForNobodyElse tries another key, and every part of the file with a bit changed.
func TestAnExportOpensForNobodyElse(t *testing.T) {
	t.Parallel()
	sealed, key := readExport(t)
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := age.Decrypt(bytes.NewReader(sealed), stranger); err == nil {
		t.Error("a stranger's key opens the export")
	}
	identity, err := age.ParseX25519Identity(key.Identity)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(sealed); at += 7 {
		changed := bytes.Clone(sealed)
		changed[at] ^= 1
		plain, err := age.Decrypt(bytes.NewReader(changed), identity)
		if err == nil {
			_, err = io.ReadAll(plain)
		}
		if err == nil {
			t.Errorf("the export opens with a bit of byte %d changed", at)
		}
	}
}
