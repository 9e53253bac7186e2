package infra

import (
	"crypto/sha256"
	_ "embed" // the template
	"encoding/hex"
)

//go:embed template.yaml
var template []byte

// TemplateVersion returns the version of the template that this program was built with: what infra/deploy puts into the output TemplateVersion.
func TemplateVersion() string {
	sum := sha256.Sum256(template)
	return hex.EncodeToString(sum[:6])
}

// NotStamped marks the output TemplateVersion of a stack that was deployed in another way.
const NotStamped = "not-stamped"
