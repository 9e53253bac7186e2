package localstack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// findCheckout returns the project's top folder, which is the working directory or above it: tests run in their package's folder, programs of the
// Makefile in the top folder.
func findCheckout() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the project's checkout: %w", err)
	}
	for folder := start; ; folder = filepath.Dir(folder) {
		if _, err := os.Stat(filepath.Join(folder, "localstack", "emulator.py")); err == nil {
			return folder, nil
		}
		if folder == filepath.Dir(folder) {
			return "", fmt.Errorf("finding the project's checkout: there is no localstack/emulator.py in %s or above", start)
		}
	}
}

// installPython brings .local/venv up to date and returns its interpreter. If nothing has changed, it takes a fraction of a second.
func installPython(ctx context.Context, checkout string) (string, error) {
	python := os.Getenv("PYTHON")
	if python == "" {
		python = "python3"
	}
	install := exec.CommandContext(ctx, python, filepath.Join(checkout, "localstack", "environment.py"))
	var said bytes.Buffer
	install.Stderr = &said
	venv, err := install.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("installing the emulator: %w: Drover's local AWS needs Python 3.11 or later", err)
	}
	if err != nil {
		return "", fmt.Errorf("installing the emulator: %w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	return filepath.Join(string(bytes.TrimSpace(venv)), "bin", "python3"), nil
}
