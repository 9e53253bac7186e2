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

// File is a file of an archive.
type File struct {
	Name       string // with slashes
	Content    []byte
	Executable bool
}

// mode returns the file's permissions in an archive.
func (f File) mode() fs.FileMode {
	if f.Executable {
		return 0o755
	}
	return 0o644
}

// Every file of an archive has this time. A zip cannot have an earlier one.
var earliest = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// ordered returns files in the order of their names.
func ordered(files []File) []File {
	return slices.SortedFunc(slices.Values(files), func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
}

// Zip returns a zip of files, in the order of their names. It depends only on their names, contents and whether they can be executed.
func Zip(files []File) ([]byte, error) {
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	for _, file := range ordered(files) {
		header := &zip.FileHeader{Name: file.Name, Method: zip.Deflate, Modified: earliest}
		header.SetMode(file.mode())
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
