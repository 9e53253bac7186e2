package packaging

import (
	"archive/zip"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"slices"
	"time"
)

// File is a file of a zip.
type File struct {
	Name       string // with slashes
	Content    []byte
	Executable bool
}

// Every file of a zip has this time. A zip cannot have an earlier one.
var earliest = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// Zip returns a zip of files, in the order of their names. It depends only on their names, contents and whether they can be executed.
func Zip(files []File) ([]byte, error) {
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	for _, file := range slices.SortedFunc(slices.Values(files), func(a, b File) int { return cmp.Compare(a.Name, b.Name) }) {
		header := &zip.FileHeader{Name: file.Name, Method: zip.Deflate, Modified: earliest}
		mode := fs.FileMode(0o644)
		if file.Executable {
			mode = 0o755
		}
		header.SetMode(mode)
		to, err := archive.CreateHeader(header)
		if err != nil {
			return nil, err
		}
		if _, err := to.Write(file.Content); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Key returns the key of an object in a bucket for artifacts, which depends only on its content.
func Key(content []byte, extension string) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:16]) + extension
}
