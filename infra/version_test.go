package infra_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/infra"
)

func TestTheVersionOfTheTemplateIsWhatTheDeploymentPutsIn(t *testing.T) {
	text, err := os.ReadFile("template.yaml")
	require.NoError(t, err)
	sum := sha256.Sum256(text)

	require.Equal(t, hex.EncodeToString(sum[:])[:12], infra.TemplateVersion())
	require.Equal(t, infra.NotStamped, read(t).outputs["TemplateVersion"]["Value"])
}
