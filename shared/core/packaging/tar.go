package packaging

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
)

// Tar returns a tar of files, compressed by gzip, in the order of their names. It depends on the same as a zip.
func Tar(files []File) ([]byte, error) {
	var out bytes.Buffer
	compressed := gzip.NewWriter(&out)
	archive := tar.NewWriter(compressed)
	for _, file := range ordered(files) {
		header := &tar.Header{Name: file.Name, Size: int64(len(file.Content)), Mode: int64(file.mode()), ModTime: earliest, Format: tar.FormatUSTAR}
		if err := archive.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := archive.Write(file.Content); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(archive.Close(), compressed.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
